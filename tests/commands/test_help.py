"""`--help` of every command, without TensorFlow, in well under a second."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from detection.commands import catalogue, help
from detection.commands.call import call
from detection.commands.flags import Flags

ROOT = Path(__file__).resolve().parents[2]
NAMES = [entry.name for entry in catalogue.BY_NAME.values()]


def test_every_file_of_the_folder_is_a_command_or_a_helper():
    files = {path.stem for path in (ROOT / "detection" / "commands").glob("*.py")}
    assert files - {"__init__", "call", "catalogue", "entry", "flags", "help"} == set(NAMES)


def test_scripts_and_commands_match():
    scripts = {path.name: path.read_text() for path in (ROOT / "scripts").glob("*.py")}
    for entry in catalogue.BY_SCRIPT.values():
        assert f'entry.script("{entry.name}")' in scripts[entry.script], entry.script


@pytest.mark.parametrize("name", NAMES)
def test_help_of_a_command(name, capfd):
    """Exit code 0, with usage, description, an example and every flag."""
    entry = catalogue.BY_NAME[name]
    words = entry.script if entry in catalogue.ORIGINALS else name
    assert call(words, "--help") == 0
    text = capfd.readouterr().out
    program = words if entry in catalogue.ORIGINALS else f"detection {name}"
    assert text.startswith(f"usage: {program}")
    assert re.search(rf"^Examples?:\n  .*{program}", text, re.MULTILINE), "an example that can be copied"
    flags = Flags()
    entry.module().define(flags)
    for flag in flags.own():
        assert re.search(rf"^  --(\[no\])?{flag.name}\b", text, re.MULTILINE), flag.name
    assert max(map(len, text.splitlines())) <= 120
    assert not re.search(r"\.;|\n {6}repeat this", text)  # what absl adds


def test_examples_name_flags_that_exist():
    tables: dict[str, Flags] = {}
    for entry in catalogue.COMMANDS:
        tables[entry.name] = Flags()
        entry.module().define(tables[entry.name])
    found = 0
    texts = [entry.module().__doc__ for entry in catalogue.COMMANDS] + [help.overview("1")]
    for line in "\n".join(texts).splitlines():
        for name, words in re.findall(r"^ +detection (\w+) (.*)", line):
            for flag in re.findall(r"--(\w+)", words):
                assert flag in tables[name].values, line
                found += 1
    assert found > 40


def test_the_overview_lists_every_command_once():
    text = help.overview("1.2.3")
    for entry in catalogue.COMMANDS:
        assert text.count(f"\n  {entry.name} ") == 1
    assert max(map(len, text.splitlines())) <= 120


def test_full_help_lists_the_flags_of_the_process(capfd):
    assert call("check", "--helpfull") == 0
    text = capfd.readouterr().out
    assert (
        "--verbosity=" in text
        and "--flagfile=FILE" in text
        and "--quiet" not in text.split("Flags of every command")[1]
    )
    assert call("check", "-h") == 0
    assert "--verbosity=" not in capfd.readouterr().out


def test_help_imports_nothing_slow():
    """One process for all commands: a module that none of them imports is not imported by any single one."""
    code = (
        "import sys\n"
        "from detection.commands import catalogue\n"
        "from detection.commands.call import call\n"
        "for name in catalogue.BY_NAME: assert call(name, '--help') == 0\n"
        "slow = {'tensorflow', 'keras', 'numpy', 'PIL', 'google', 'matplotlib', 'cv2', 'tqdm'}\n"
        "sys.exit(repr(slow & set(sys.modules)) if slow & set(sys.modules) else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_commands_import_slow_modules_only_in_run():
    """Module-level imports of a command are fast, so that the test above holds for each."""
    for path in (ROOT / "detection" / "commands").glob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("detection."):
                allowed = r"detection\.(commands|errors|files|registry|tools|types)(\.\w+)?"
                assert re.fullmatch(allowed, node.module), f"{path.name}: {ast.unparse(node)}"
