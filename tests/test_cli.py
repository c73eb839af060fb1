"""Scripts that are asked to stop, at every stage, and disks that cannot be written."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted((ROOT / "scripts").glob("*.py"))
STOP = "import os, signal; os.kill(os.getpid(), signal.SIGINT)\n"
HEAD = "from detection import cli\n"
PUT_IN_ORDER = """
def main(argv):
    open("work", "w").close()
    try:
        {act}
    finally:
        os.remove("work")
        {tidy}
if __name__ == "__main__":
    cli.run(main)
"""


def run(folder: Path, text: str, prepare=None, **modules: str) -> subprocess.CompletedProcess:
    for name, source in {"script": text, **modules}.items():
        (folder / f"{name}.py").write_text(source)
    command = [sys.executable, str(folder / "script.py")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=prepare,
        timeout=120,
    )


def ends(done: subprocess.CompletedProcess, code: int, line: str) -> None:
    assert (done.returncode, done.stderr.splitlines()) == (code, [line]), done.stderr


def first_import(path: Path) -> str:
    first, second, *_ = [
        node
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert ast.unparse(first) == "from __future__ import annotations"
    return ast.unparse(second)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_scripts_import_the_handler_of_ctrl_c_before_all_else(path):
    assert first_import(path) in ("from detection import cli", "from detection.commands import entry")


def test_so_do_the_entry_points():
    package = ROOT / "detection"
    assert first_import(package / "commands" / "entry.py") == "from detection import cli"
    assert first_import(package / "__main__.py") == "from detection.commands import entry"
    statements = ast.parse((package / "commands" / "__init__.py").read_text(encoding="utf-8")).body
    assert [type(statement) for statement in statements] == [ast.Expr], "a docstring, and nothing that takes time"


def test_a_script_that_only_imports_ends_at_once(tmp_path):
    ends(run(tmp_path, HEAD + "import slow\nprint('too late')\n", slow=STOP), 130, "interrupted")


def test_an_import_that_catches_all_exceptions_does_not_lose_the_stop(tmp_path):
    """Many libraries import others within a bare `except:`.

    During startup nothing needs cleaning up, so the process exits at once.
    """
    swallow = "try:\n    import slow\nexcept BaseException:\n    print('swallowed')\n"
    text = HEAD + "def main(argv):\n    import swallow\n    print('went on')\ncli.run(main)\n"
    done = run(tmp_path, text, swallow=swallow, slow=STOP)
    ends(done, 130, "interrupted")
    assert not done.stdout


@pytest.mark.parametrize(
    ("number", "code", "line"),
    [(2, 130, "interrupted"), (15, 143, "stopped by SIGTERM"), (1, 129, "stopped by SIGHUP: the terminal is closed")],
)
def test_work_is_cleaned_up(tmp_path, number, code, line):
    text = (
        HEAD
        + "import os, time\n"
        + PUT_IN_ORDER.format(act=f"os.kill(os.getpid(), {number}); time.sleep(60)", tidy="0")
    )
    ends(run(tmp_path, text), code, line)
    assert not (tmp_path / "work").exists()


def test_an_import_during_work_is_finished_first(tmp_path):
    swallow = "try:\n    import slow\nexcept BaseException:\n    print('swallowed')\n"
    helper = "def help():\n    import swallow\n    import time\n    time.sleep(60)\n"
    text = HEAD + "import os, helper\n" + PUT_IN_ORDER.format(act="helper.help()", tidy="0")
    done = run(tmp_path, text, helper=helper, swallow=swallow, slow=STOP)
    ends(done, 130, "interrupted")
    assert not done.stdout and not (tmp_path / "work").exists()


def test_a_signal_in_a_destructor_is_not_lost(tmp_path):
    """Python cannot raise an exception from a destructor: it shows a traceback and continues."""
    thing = (
        "class Thing:\n    def __del__(self):\n        os.kill(os.getpid(), 2)\n        for _ in range(1000): pass\n"
    )
    text = HEAD + "import os, time\n" + thing + PUT_IN_ORDER.format(act="Thing(); time.sleep(60)", tidy="0")
    ends(run(tmp_path, text), 130, "interrupted")
    assert not (tmp_path / "work").exists()


def test_the_second_signal_exits_at_once(tmp_path):
    stop = "os.kill(os.getpid(), 2); time.sleep(60)"
    text = HEAD + "import os, time\n" + PUT_IN_ORDER.format(act=stop, tidy=stop)
    ends(run(tmp_path, text), 130, "interrupted")


def test_a_signal_after_the_work_is_one_line_too(tmp_path):
    late = "atexit.register(lambda: (os.kill(os.getpid(), 2), time.sleep(60)))\n"
    text = HEAD + "import atexit, os, time\n" + late + "cli.run(lambda argv: print('done'))\n"
    done = run(tmp_path, text)
    ends(done, 130, "interrupted")
    assert done.stdout == "done\n"


def test_running_threads_do_not_delay_a_stop(tmp_path):
    pool = "from concurrent.futures import ThreadPoolExecutor\n"
    act = "pool = ThreadPoolExecutor(2); wait = pool.submit(time.sleep, 0.2); os.kill(os.getpid(), 2); wait.result()"
    ends(run(tmp_path, HEAD + "import os, time\n" + pool + PUT_IN_ORDER.format(act=act, tidy="0")), 130, "interrupted")


def test_ignored_signals_stay_ignored(tmp_path):
    """As in background jobs of a shell, and with `nohup`."""

    def ignore() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    text = (
        HEAD
        + "import os\n"
        + PUT_IN_ORDER.format(act="os.kill(os.getpid(), 2); os.kill(os.getpid(), 1); print('went on')", tidy="0")
    )
    done = run(tmp_path, text, prepare=ignore)
    assert (done.returncode, done.stdout, done.stderr) == (0, "went on\n", "")


def test_a_module_that_is_imported_by_a_test_leaves_signals_alone():
    before = signal.getsignal(signal.SIGINT)
    from detection import cli

    assert signal.getsignal(signal.SIGINT) is before and cli._signals is None


@pytest.mark.parametrize(
    ("act", "line"),
    [
        ("raise OSError(28, 'No space left on device', '/data/a')", "error: /data/a: no space left on device"),
        ("raise OSError(122, 'Disk quota exceeded', 'a')", "error: a: disk quota exceeded"),
        ("raise OSError(30, 'Read-only file system', 'a')", "error: a: read-only file system"),
        ("open('n' * 300, 'w')", f"error: {'n' * 300}: file name too long"),
        ("open('absent/a')", "error: absent/a: no such file or directory"),
        ("open('script.py/a', 'w')", "error: script.py/a: not a directory"),
    ],
)
def test_an_unusable_path_is_one_line(tmp_path, act, line):
    done = run(tmp_path, HEAD + f"def main(argv):\n    {act}\ncli.run(main)\n")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and done.stderr.startswith(line), done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_standard_output_is_one_line(tmp_path):
    (tmp_path / "script.py").write_text(HEAD + "cli.run(lambda argv: print('x' * 100))\n")
    with open("/dev/full", "w") as full:
        command = [sys.executable, str(tmp_path / "script.py")]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""}
        done = subprocess.run(
            command, env=environment, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=120
        )
    assert (done.returncode, done.stderr) == (2, "error: standard output: no space left on device\n")


def test_a_bug_stays_a_traceback(tmp_path):
    done = run(tmp_path, HEAD + "def main(argv):\n    {}['x']\ncli.run(main)\n")
    assert done.returncode == 1 and "KeyError" in done.stderr


def console_script(tmp_path: Path) -> list[str]:
    """The script that pip writes for an entry point."""
    program = tmp_path / "detection"
    program.write_text(
        "import sys\nfrom detection.commands.entry import main\nif __name__ == '__main__':\n    sys.exit(main())\n"
    )
    return [sys.executable, str(program)]


@pytest.mark.parametrize("module", [False, True])
def test_the_entry_point_handles_ctrl_c_while_it_imports(tmp_path, module):
    """absl is the first import after the handler."""
    (tmp_path / "absl.py").write_text(STOP)
    command = [sys.executable, "-m", "detection"] if module else console_script(tmp_path)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    done = subprocess.run(
        [*command, "check", "--help"], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    ends(done, 130, "interrupted")


def test_the_entry_point_handles_ctrl_c_in_a_command(tmp_path):
    """Imports at the start of a command exit at once, like those of a script."""
    (tmp_path / "tensorflow.py").write_text(STOP)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    done = subprocess.run(
        [*console_script(tmp_path), "check", "x.config"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    ends(done, 130, "interrupted")


def test_a_test_that_imports_the_entry_point_leaves_signals_alone():
    before = signal.getsignal(signal.SIGINT)
    from detection.commands import call, entry

    assert signal.getsignal(signal.SIGINT) is before and call.cli._signals is None and entry.cli is call.cli
