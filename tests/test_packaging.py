"""What is shipped: compiled protos in wheel and sdist, scripts that run as commands, versions that fit each other."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import google.protobuf
import pytest

ROOT = Path(__file__).resolve().parents[1]
SCHEMA = sorted(path.stem for path in (ROOT / "protos").glob("*.proto"))
GENCODE = (6, 31, 1)

if not (ROOT / "setup.py").exists():
    pytest.skip("not a checkout", allow_module_level=True)


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def test_installed_protobuf_loads_the_generated_code():
    assert GENCODE <= version(google.protobuf.__version__) < (8,)
    requirement = re.search(r'"protobuf>=([\d.]+),<8"', (ROOT / "setup.py").read_text())
    assert requirement and version(requirement[1]) == GENCODE


def test_compiler_is_pinned_and_generated_what_is_stated():
    requires = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert "grpcio-tools==1.74.0" in requires
    import detection.protos

    folder = Path(detection.protos.__file__).parent
    assert len(SCHEMA) == 35
    for name in SCHEMA:
        stated = re.search(r"Protobuf Python Version: ([\d.]+)", (folder / f"{name}_pb2.py").read_text())
        assert stated and version(stated[1]) == GENCODE, name


def test_everything_imported_is_required():
    """What detection/ and scripts/ import is a dependency by name, and what is a dependency is imported (or stated here
    to be needed otherwise)."""
    distributions = {
        "PIL": "pillow",
        "absl": "absl-py",
        "google": "protobuf",
        "cv2": "opencv-contrib-python-headless",
        "tf_slim": "tf-slim",
    }
    imported = set()
    for path in [*(ROOT / "detection").rglob("*.py"), *(ROOT / "scripts").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
            imported |= {name.split(".")[0] for name in names}
    imported = {distributions.get(name, name) for name in imported - set(sys.stdlib_module_names) - {"detection", ""}}
    setup = (ROOT / "setup.py").read_text()
    required = set(re.findall(r'^    f?"([\w{}-]+)>=', setup, re.MULTILINE)) - {"{TENSORFLOW}"} | {"tensorflow"}
    optional = set(re.findall(r'"([\w-]+)[>="]', setup[setup.index("PROPOSALS") : setup.index("def compile_protos")]))
    assert imported <= required | optional
    assert required - imported <= {"tensorboard"}  # tf.summary imports it.


def test_scripts_are_commands():
    """Without `python` in its first line an installed script would be run by the shell."""
    for script in (ROOT / "scripts").glob("*.py"):
        assert script.read_text().splitlines()[0] == "#!/usr/bin/env python3", script


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A copy as git would clone it: nothing compiled, nothing built."""
    copy = tmp_path_factory.mktemp("checkout") / "detection"
    ignore = shutil.ignore_patterns(
        ".git", "build", "dist", "*.egg-info", "__pycache__", "*_pb2.py", "*_pb2.pyi", ".*_cache", "quickstart", "*venv"
    )
    shutil.copytree(ROOT, copy, ignore=ignore)
    return copy


def run(*command: object, cwd: Path) -> str:
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def distributions(checkout: Path, tmp_path_factory) -> tuple[Path, Path]:
    """The source distribution, and the wheel built from it."""
    pytest.importorskip("build")
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--sdist", "--outdir", folder, checkout, cwd=folder)
    (source,) = folder.glob("*.tar.gz")
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", folder, source, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    return source, wheel


@pytest.mark.slow
def test_sdist_holds_schema_and_compiled_modules(distributions):
    with tarfile.open(distributions[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "setup.py", "pyproject.toml"} <= names
    for name in SCHEMA:
        assert {f"protos/{name}.proto", f"detection/protos/{name}_pb2.py", f"detection/protos/{name}_pb2.pyi"} <= names
    assert not [name for name in names if "__pycache__" in name]


@pytest.mark.slow
def test_wheel_holds_every_module_and_runs(distributions, checkout, tmp_path):
    with zipfile.ZipFile(distributions[1]) as archive:
        names = set(archive.namelist())
        metadata = archive.read("detection-0.1.0.dist-info/METADATA").decode()
    modules = {path.relative_to(checkout).as_posix() for path in (checkout / "detection").rglob("*.py")}
    assert modules <= names
    for name in SCHEMA:
        assert {f"detection/protos/{name}_pb2.py", f"detection/protos/{name}_pb2.pyi"} <= names
    for script in (checkout / "scripts").glob("*.py"):
        assert f"detection-0.1.0.data/scripts/{script.name}" in names
    assert not [name for name in names if name.startswith(("tests", "protos", "build"))]
    assert "License-File: LICENSE" in metadata
    assert re.search(r"^Requires-Python: (>=3.11,<3.14|<3.14,>=3.11)$", metadata, re.MULTILINE)

    run(
        sys.executable,
        "-m",
        "pip",
        "install",
        "--no-deps",
        "--target",
        tmp_path / "site",
        distributions[1],
        cwd=tmp_path,
    )
    code = (
        "import sys; sys.path.insert(0, 'site'); from detection.protos import pipeline_pb2 as p; print(p.__file__,"
        " p.TrainEvalPipelineConfig())"
    )
    assert "site/detection/protos" in run(sys.executable, "-c", code, cwd=tmp_path)


@pytest.mark.slow
def test_editable_install_compiles_into_the_checkout(checkout: Path, tmp_path):
    assert not list((checkout / "detection" / "protos").glob("*_pb2.py"))
    # --ignore-installed: otherwise pip first uninstalls the project from the environment that runs this.
    run(
        sys.executable,
        "-m",
        "pip",
        "install",
        "--no-deps",
        "--ignore-installed",
        "--prefix",
        tmp_path,
        "--editable",
        checkout,
        cwd=tmp_path,
    )
    assert {path.name for path in (checkout / "detection" / "protos").glob("*_pb2.py")} == {
        f"{name}_pb2.py" for name in SCHEMA
    }
