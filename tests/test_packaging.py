"""What is shipped: compiled protos, configs and the program `detection` in the wheel, versions that fit each other."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import google.protobuf
import numpy as np
import pytest

import detection

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
NAME = f"detection-{detection.__version__}"
# Names that are nobody else's; detect.py, benchmark.py and the like are commands of `detection` only.
ON_PATH = {
    "check_config.py",
    "create_coco_tf_record.py",
    "create_kitti_tf_record.py",
    "create_oid_tf_record.py",
    "create_pascal_tf_record.py",
    "create_pet_tf_record.py",
    "create_tf_record.py",
    "export_inference_graph.py",
    "export_saved_model.py",
    "export_tflite_graph_tf2.py",
    "export_tflite_ssd_graph.py",
    "exporter_main_v2.py",
    "inspect_checkpoint.py",
    "make_proposals.py",
    "make_synthetic_dataset.py",
    "model_main.py",
    "model_main_tf2.py",
    "sweep_report.py",
    "validate_records.py",
}
SCHEMA = sorted(path.stem for path in (ROOT / "protos").glob("*.proto"))
GENCODE = (6, 31, 1)


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def test_installed_protobuf_loads_the_generated_code():
    assert GENCODE <= version(google.protobuf.__version__) < (8,)
    requirement = re.search(r'"protobuf>=([\d.]+),<8"', (ROOT / "setup.py").read_text())
    assert requirement and version(requirement[1]) == GENCODE


def test_compiler_is_pinned_and_generated_what_is_stated():
    requires = PROJECT["build-system"]["requires"]
    assert "grpcio-tools==1.74.0" in requires
    import detection.protos

    folder = Path(detection.protos.__file__).parent
    assert len(SCHEMA) == 37
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
    extras = [line for lines in PROJECT["project"]["optional-dependencies"].values() for line in lines]
    optional = {re.split(r"[>=\[]", line)[0] for line in extras}
    assert imported <= required | optional
    assert required - imported <= {"tensorboard"}  # tf.summary imports it.


def test_the_version_is_said_once():
    assert re.fullmatch(r"\d+\.\d+\.\d+", detection.__version__)
    assert "version" in PROJECT["project"]["dynamic"]
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "detection.__version__"}
    assert "version=" not in (ROOT / "setup.py").read_text()


def test_classifiers_name_the_pythons_that_are_allowed():
    named = {line.split(" :: ")[-1] for line in PROJECT["project"]["classifiers"] if "Python :: 3." in line}
    assert named == {"3.11", "3.12", "3.13"}
    assert PROJECT["project"]["requires-python"] == ">=3.11,<3.14"


def test_scripts_are_programs():
    """Without `python` in its first line an installed script would be run by the shell."""
    for script in (ROOT / "scripts").glob("*.py"):
        assert script.read_text().splitlines()[0] == "#!/usr/bin/env python3", script


def test_names_on_path_are_in_nobodys_way():
    assert {Path(path).name for path in PROJECT["tool"]["setuptools"]["script-files"]} == ON_PATH
    assert PROJECT["project"]["scripts"] == {"detection": "detection.commands.entry:main"}


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
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False, env=environment
    )
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
        metadata = archive.read(f"{NAME}.dist-info/METADATA").decode()
    modules = {path.relative_to(checkout).as_posix() for path in (checkout / "detection").rglob("*.py")}
    assert modules <= names
    for name in SCHEMA:
        assert {f"detection/protos/{name}_pb2.py", f"detection/protos/{name}_pb2.pyi"} <= names
    scripts = {name.rpartition("/")[2] for name in names if name.startswith(f"{NAME}.data/scripts/")}
    assert scripts == ON_PATH
    configs = {path.relative_to(checkout).as_posix() for path in (checkout / "configs").rglob("*.*")}
    assert {f"detection/{path}" for path in configs} | {"detection/py.typed"} <= names
    assert {name.split("/")[0] for name in names} == {"detection", f"{NAME}.dist-info", f"{NAME}.data"}
    assert "License-File: LICENSE" in metadata
    assert re.search(r"^Requires-Python: (>=3.11,<3.14|<3.14,>=3.11)$", metadata, re.MULTILINE)


@pytest.fixture(scope="module")
def installed(distributions, tmp_path_factory) -> Path:
    """The folder of programs of a new environment that has the wheel, and everything else from the one that runs
    this."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    (packages,) = folder.rglob("site-packages")
    command = ("-m", "pip", "--python", programs / "python", "install", "--no-deps", distributions[1])
    run(sys.executable, *command, cwd=folder)
    (packages / "others.pth").write_text(f"{Path(np.__file__).parents[1]}\n")
    return programs


@pytest.mark.slow
def test_the_wheel_works_in_an_environment_of_its_own(installed, tmp_path):
    """Help, a config that came with the package, and a script under its old name, with no checkout around."""
    place = run(installed / "python", "-c", "import detection; print(detection.__file__)", cwd=tmp_path)
    assert Path(place.strip()).is_relative_to(installed.parent)
    assert run(installed / "detection", "--version", cwd=tmp_path) == f"detection {detection.__version__}\n"
    assert "Training:" in run(installed / "detection", cwd=tmp_path)
    name = "ssd_mobilenet_v1_050_synthetic"
    assert run(installed / "detection", "config", "copy", name, "my.config", cwd=tmp_path) == "my.config\n"
    assert (tmp_path / "my.config").read_text() == (ROOT / "configs" / f"{name}.config").read_text()
    checked = run(installed / "detection", "check", "--no_paths", "--quiet", "my.config", cwd=tmp_path)
    assert checked == "ok: my.config: 192 x 256, 1008 anchors, 0.355 GFLOPs\n"
    listed = run(installed / "detection", "sweep", "--grid=builtin:sweep/shapes", "--dry_run", cwd=tmp_path)
    assert listed.endswith("92 configurations: 8 ssd, 36 faster_rcnn, 36 rfcn, 12 fast_rcnn; 29 trainings\n")
    assert "usage: model_main.py" in run(installed / "model_main.py", "--help", cwd=tmp_path)
    assert {path.name for path in installed.glob("*.py")} == ON_PATH


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
