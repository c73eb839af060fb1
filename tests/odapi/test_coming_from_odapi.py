"""docs/coming_from_odapi.md: each of its rows against the code, or against the test that it names.

Run as a program it writes the table of types: python tests/odapi/test_coming_from_odapi.py
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from detection import config  # noqa: E402
from detection.commands import catalogue  # noqa: E402
from detection.commands.call import call  # noqa: E402
from detection.commands.flags import Flags  # noqa: E402
from detection.errors import ConfigError  # noqa: E402
from tests.helpers import detector_configs, keras_ssd  # noqa: E402

PAGE = ROOT / "docs" / "coming_from_odapi.md"
BEGIN, END = "<!-- types: written by python tests/odapi/test_coming_from_odapi.py -->\n", "<!-- end of types -->"
_RESNETS = ("50", "101", "152")
# Registries of the original's model builder.
SSD = [
    *("ssd_inception_v2", "ssd_inception_v3", "ssd_mobilenet_v1", "ssd_mobilenet_v1_fpn", "ssd_mobilenet_v1_ppn"),
    *("ssd_mobilenet_v2", "ssd_mobilenet_v2_fpn", "ssd_mobilenet_v2_mnasfpn", "ssd_mobilenet_v3_large"),
    *("ssd_mobilenet_v3_small", "ssd_mobilenet_edgetpu", "embedded_ssd_mobilenet_v1", "ssd_pnasnet"),
    *(f"ssd_resnet{layers}_v1_{pyramid}" for layers in _RESNETS for pyramid in ("fpn", "ppn")),
    *(f"ssd_mobiledet_{device}" for device in ("cpu", "dsp", "edgetpu", "gpu")),
    *("ssd_spaghettinet", "ssd_mobilenet_v1_keras", "ssd_mobilenet_v1_fpn_keras", "ssd_mobilenet_v2_keras"),
    *("ssd_mobilenet_v2_fpn_keras", *(f"ssd_resnet{layers}_v1_fpn_keras" for layers in _RESNETS)),
    *(f"ssd_efficientnet-b{size}_bifpn_keras" for size in range(8)),
]
FASTER_RCNN = [
    *("faster_rcnn_nas", "faster_rcnn_pnas", "faster_rcnn_inception_resnet_v2", "faster_rcnn_inception_v2"),
    *(f"faster_rcnn_resnet{layers}" for layers in _RESNETS),
    *("faster_rcnn_inception_resnet_v2_keras", *(f"faster_rcnn_resnet{layers}_keras" for layers in _RESNETS)),
    *(f"faster_rcnn_resnet{layers}_fpn_keras" for layers in _RESNETS),
]
CENTER_NET = [
    *("resnet_v2_50", "resnet_v2_101", *(f"resnet_v1_{layers}_fpn" for layers in (18, 34, 50, 101))),
    *(f"hourglass_{layers}" for layers in (10, 20, 32, 52, 104)),
    *("mobilenet_v2", "mobilenet_v2_fpn", "mobilenet_v2_fpn_sep_conv"),
]
META = {"SSD": SSD, "Faster R-CNN": FASTER_RCNN, "CenterNet": CENTER_NET}


def registry(meta: str) -> dict:
    """What a model of a kind may be made of here."""
    from detection.feature_extractors import catalogue as extractors

    name = {"SSD": "SSD_EXTRACTORS", "Faster R-CNN": "TWO_STAGE_EXTRACTORS", "CenterNet": "CENTER_EXTRACTORS"}[meta]
    return getattr(extractors, name, {})


def type_row(meta: str, name: str) -> list[str]:
    """(model, type, runs or refused, object-based) as the code has it."""
    factory = registry(meta).get(name)
    if factory is None:
        return [meta, f"`{name}`", "refused", ""]
    keras = meta == "CenterNet" or ("keras_form", True) in detector_configs.leads_to(factory)[2]
    return [meta, f"`{name}`", "runs", "read and written" if keras else ""]


def types_table() -> str:
    """The table as it has to be."""
    rows = [type_row(meta, name) for meta, names in META.items() for name in names]
    head = ["| model | type | here | object-based |", "|---|---|---|---|"]
    return "\n".join([*head, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


@cache
def tables() -> dict[str, list[list[str]]]:
    """Heading -> the rows of its table, cell by cell."""
    found: dict[str, list[list[str]]] = {}
    heading = ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            heading = line[3:]
        elif line.startswith("| ") or line.startswith("|--"):
            found.setdefault(heading, []).append([cell.strip() for cell in line.strip("|").split("|")])
    return {heading: rows[2:] for heading, rows in found.items()}


def test_every_table_is_looked_at():
    assert list(tables()) == ["Types", "Programs", "Flags", "Imports", "Checkpoints", "Differences"]


def test_types():
    rows = tables()["Types"]
    assert rows == [type_row(meta, name) for meta, names in META.items() for name in names], (
        "run: python tests/odapi/test_coming_from_odapi.py"
    )


@pytest.mark.parametrize("name", [*SSD, *FASTER_RCNN])
def test_a_type_is_refused_by_name_where_the_page_says_so(name):
    if name in SSD:
        text = keras_ssd.config().replace(f'"{keras_ssd.TYPE}"', f'"{name}"')
    else:
        text = detector_configs.faster_rcnn(detector_configs.Settings(name, 64, 64))
    try:
        config.check(config.from_text(text), check_paths=False, training=False)
        said = ""
    except ConfigError as error:  # Of a type that runs, perhaps what it needs besides.
        said = "\n".join(error.lines())
    known = name in {**registry("SSD"), **registry("Faster R-CNN")}
    assert (f"feature_extractor.type ({name!r}) is not supported" in said) == (not known), said


def test_the_types_are_those_of_the_original(shared):
    text = (shared / "reference" / "odapi.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith(("| SSD extractors, TF1", "| Faster R-CNN / R-FCN"))]
    there = {name for row in rows for name in re.findall(r"(?<!\w)(?:embedded_)?(?:ssd|faster_rcnn)_\w+", row)}
    assert len(there) > 25 and there <= {*SSD, *FASTER_RCNN}


def test_programs():
    rows = tables()["Programs"]
    assert [row[0] for row in rows] == [f"`{entry.script}`" for entry in catalogue.ORIGINALS]
    for program, same, _ in rows:
        entry = catalogue.BY_SCRIPT[program.strip("`")]
        assert same.startswith(f"`detection {entry.command}"), program
        assert (ROOT / "scripts" / entry.script).is_file()
        assert f'"scripts/{entry.script}"' in (ROOT / "pyproject.toml").read_text()


REQUIRED = {
    "model_main.py": ("--pipeline_config_path=a", "--model_dir=b"),
    "model_main_tf2.py": ("--pipeline_config_path=a", "--model_dir=b"),
    "exporter_main_v2.py": ("--pipeline_config_path=a", "--trained_checkpoint_dir=b", "--output_directory=c"),
    "export_inference_graph.py": ("--pipeline_config_path=a", "--trained_checkpoint_prefix=b", "--output_directory=c"),
    "create_pet_tf_record.py": ("--data_dir=a", "--output_dir=b"),
    "create_coco_tf_record.py": (),
}


@pytest.mark.parametrize("row", tables()["Flags"], ids=lambda row: " ".join(row[:2]))
def test_flags(row, capfd):
    program, flag, _ = (cell.strip("`") for cell in row)
    assert call(program, *REQUIRED[program], flag) == 2
    name = flag.lstrip("-").partition("=")[0]
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    names = {"tpu_name": "use_tpu", "eval_on_train_data": "eval_training_data"}
    assert f"--{names.get(name, name)}" in said, said
    flags = Flags()
    catalogue.BY_SCRIPT[program].module().define(flags)
    assert name in flags.values


def test_flags_that_say_they_are_not_supported_are_in_the_table():
    listed = {(row[0].strip("`"), row[1].strip("`-").partition("=")[0]) for row in tables()["Flags"]}
    for entry in catalogue.ORIGINALS:
        flags = Flags()
        entry.module().define(flags)
        if "tflite" in entry.name:
            continue
        for name, text in flags.texts.items():
            shared = name.startswith(("side_input", "use_side", "use_tpu", "tpu_name"))
            if text == "Not supported." and not shared:
                assert (entry.script, name) in listed, (entry.script, name)


@pytest.mark.parametrize("row", tables()["Imports"], ids=lambda row: row[0])
def test_imports(row):
    import detection.odapi  # noqa: F401

    module = importlib.import_module(row[0].strip("`"))
    listed = set(re.findall(r"`(\w+)`", row[1]))
    assert all(hasattr(module, name) for name in listed)
    if ".protos." not in row[0]:
        functions = inspect.getmembers(module, inspect.isfunction)
        own = {name for name, each in functions if each.__module__ == module.__name__ and not name.startswith("_")}
        assert listed == own


def test_every_module_is_in_the_table():
    import detection.odapi

    listed = {row[0].strip("`").removeprefix("object_detection.") for row in tables()["Imports"]}
    assert {name for name in detection.odapi.MODULES if "." in name} <= listed


@pytest.mark.parametrize("row", [*tables()["Checkpoints"], *tables()["Differences"]], ids=lambda row: row[0])
def test_rows_name_tests_that_exist(row):
    assert all(row[:2])
    file, _, name = row[-1].strip("`").partition("::")
    assert (ROOT / file).is_file() and re.fullmatch(r"tests/[\w/]+\.py", file), file
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert not name or name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, row[-1]


if __name__ == "__main__":
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}{types_table()}{END}{rest.partition(END)[2]}", encoding="utf-8")
