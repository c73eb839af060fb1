"""Rules on the source code: imports between packages, use of protos, length of files."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "detection"

# Each package may import those of the rows above it (and itself), not its neighbours in a row.
ROWS = (
    ("types", "errors"),
    ("files", "npz_files", "paths"),
    ("json_text", "markdown", "progress", "terminal"),
    ("tools",),
    ("registry",),
    ("cli",),
    ("protos",),
    ("config",),
    ("ops", "losses", "optimizers"),
    ("networks",),
    ("feature_extractors", "heads", "data"),
    ("meta_architectures", "proposals", "checkpoints"),
    ("settings",),
    ("pipeline",),
    ("builders",),
    ("evaluate",),
    ("train",),
    ("export",),
    ("benchmark",),
    ("ensemble", "sweep", "odapi"),
    ("commands",),
)
ROW = {name: number for number, row in enumerate(ROWS) for name in row}
# What may not be imported although it stands above: data and networks know nothing of each other, and tensors nothing
# of configs.
FORBIDDEN = {
    **{
        key: {"config", "protos", "files", "progress"}
        for key in ("ops", "losses", "optimizers", "networks", "feature_extractors", "heads", "meta_architectures")
    },
    "data": {"protos", "losses", "networks"},
    # What trains and evaluates is handed a Pipeline.
    "evaluate": {"builders"},
    "train": {"builders"},
}
FORBIDDEN["meta_architectures"] = FORBIDDEN["heads"] | {"data"}
# The face of the package, its program and what commands share: not part of the order. What stands on top may use the
# face, as users do.
OUTSIDE = {"__init__", "__main__", "cli"}
TOP = (*ROWS[-3], *ROWS[-2], *ROWS[-1])
MAX_LINES = 400


def sources() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path.parent.name != "protos")


def scripts() -> list[Path]:
    return sorted((ROOT / "scripts").glob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def module(path: Path) -> str:
    """`config.files` for detection/config/files.py, `config` for its __init__.py."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


@cache
def modules() -> dict[str, Path]:
    return {module(path): path for path in sources()}


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, module below `detection`) of every import in the package.

    Imports in functions and for type checking are included.
    """
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").split(".")[0] == "detection":
            base = (node.module or "").partition(".")[2]
            for alias in node.names:
                name = f"{base}.{alias.name}".lstrip(".")
                yield node.lineno, name if name in modules() or base in ("", "protos") else base
        elif isinstance(node, ast.Import):
            yield from (
                (node.lineno, alias.name.partition(".")[2])
                for alias in node.names
                if alias.name.split(".")[0] == "detection"
            )


def where(path: Path, line: int = 1) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def test_every_package_has_its_row():
    packages = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()} | {
        path.stem for path in PACKAGE.glob("*.py")
    }
    assert packages - OUTSIDE <= set(ROW)


def test_imports_go_one_way():
    wrong = []
    for path in sources():
        importer = module(path).split(".")[0]
        if importer in OUTSIDE:
            continue
        for line, name in imports(path):
            imported = name.split(".")[0]
            if imported == importer or (importer in TOP and not name):
                continue
            if imported not in ROW or ROW[imported] >= ROW[importer] or imported in FORBIDDEN.get(importer, ()):
                wrong.append(f"{where(path, line)}: {importer} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_the_root_modules_import_no_packages():
    """Scripts start, and report errors, before anything slow is imported."""
    for name in (
        "errors",
        "types",
        "files",
        "paths",
        "json_text",
        "markdown",
        "npz_files",
        "progress",
        "terminal",
        "cli",
    ):
        if name in modules():
            assert {imported for _, imported in imports(modules()[name])} <= {
                "errors",
                "types",
                "files",
                "terminal",
            }, name


def test_internals_of_tensorflow_are_used_in_one_place():
    """TensorFlow's private API: `tensorflow.python`, and names with an underscore."""
    wrong = []
    for path in sources():
        if module(path) == "tools.tf_internals":
            continue
        for node in ast.walk(tree(path)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            private = isinstance(node, ast.Attribute) and re.fullmatch(
                r"(tf|keras)(\.\w+)*\._[a-z]\w*", ast.unparse(node)
            )
            if private or any(name.startswith("tensorflow.python") for name in names):
                wrong.append(where(path, node.lineno))
    assert not wrong, "\n".join(wrong)


def test_only_config_and_builders_import_protos():
    for path in [*sources(), *scripts()]:
        if path.relative_to(ROOT).parts[1] not in ("config", "builders", "odapi"):  # The last hands them out.
            for line, name in imports(path):
                assert name.split(".")[0] != "protos", where(path, line)


def test_config_is_read_without_tensorflow():
    for path in (PACKAGE / "config").glob("*.py"):
        for node in ast.walk(tree(path)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.split(".")[0] in ("tensorflow", "keras")], where(path)


def test_files_are_short_and_have_docstrings():
    for path in [*sources(), *scripts()]:
        lines = path.read_text(encoding="utf-8").count("\n")
        assert lines <= MAX_LINES, f"{where(path)} has {lines} lines"
        if path.name != "__init__.py" or lines:
            assert ast.get_docstring(tree(path)), f"{where(path)} has no docstring"


def test_no_stubs_swallowed_errors_or_prints():
    """No stubs, no swallowed errors, and no prints except in commands."""
    wrong = []
    for path in [*sources(), *scripts()]:
        for node in ast.walk(tree(path)):
            line = getattr(node, "lineno", 0)
            if isinstance(node, ast.ExceptHandler) and len(node.body) == 1 and isinstance(node.body[0], ast.Pass):
                wrong.append(f"{where(path, line)}: an error is swallowed")
            if isinstance(node, ast.ExceptHandler) and node.type is None:
                wrong.append(f"{where(path, line)}: a bare except")
            if isinstance(node, ast.Raise) and node.exc is not None and "NotImplementedError" in ast.unparse(node.exc):
                wrong.append(f"{where(path, line)}: a stub")
            called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
            talks = path.name == "cli.py" or path.parent.name == "commands" or not path.is_relative_to(PACKAGE)
            if called == "breakpoint" or (called == "print" and not talks):
                wrong.append(f"{where(path, line)}: {called}()")
        for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if re.search(r"\b(TO" + "DO|FIX" + "ME)\b", text):
                wrong.append(f"{where(path, number)}: something is left to do")
    assert not wrong, "\n".join(wrong)


def test_no_paths_of_a_machine():
    """No file names a folder of the machine on which it was written."""
    here = str(ROOT.parent) if len(ROOT.parent.parts) > 1 else str(ROOT)
    wrong = []
    for path in _project_files():
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
            if here + "/" in line or re.search(r"/home/\w+/|/Users/\w+/", line):
                wrong.append(where(path, number))
    assert not wrong, "\n".join(wrong)


def _project_files() -> Iterator[Path]:
    """Text files of the project, without those that git ignores."""
    skipped = re.compile(r"build|dist|quickstart|__pycache__|venv|.*\.egg-info|\.(?!ci$).*")
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if not skipped.fullmatch(name)]
        for name in names:
            if name.endswith(
                (".py", ".sh", ".md", ".toml", ".in", ".proto", ".config", ".pbtxt", ".json")
            ) and not name.endswith("_pb2.py"):
                yield Path(folder) / name


def test_ruff():
    ruff = shutil.which("ruff") or shutil.which("ruff", path=str(Path(sys.executable).parent))
    if ruff is None:
        pytest.skip("ruff is not installed")
    done = subprocess.run(
        [ruff, "check", "--no-cache", "--output-format=concise", str(ROOT)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
