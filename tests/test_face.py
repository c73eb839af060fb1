"""What `import detection` offers: without TensorFlow, with named and documented options, and all types that its
signatures name."""

from __future__ import annotations

import dataclasses
import inspect
import re
import subprocess
import sys

import pytest

import detection
from detection.train.options import NamedOptions, RunOptions


def test_importing_it_imports_no_tensorflow():
    code = "import sys, detection, detection.registry; dir(detection); print('tensorflow' in sys.modules, end='')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False"


def test_every_name_is_there_and_no_other():
    for name in detection.__all__:
        assert getattr(detection, name).__name__ == name
    with pytest.raises(AttributeError, match="module 'detection' has no attribute 'Pipelines'"):
        detection.Pipelines  # noqa: B018


def test_the_types_of_its_signatures_can_be_imported_from_it():
    functions = [getattr(detection, name) for name in detection.__all__ if name[0].islower()]
    named = {
        word
        for function in functions
        for annotation in function.__annotations__.values()
        for word in re.findall(r"\b[A-Z]\w+", str(annotation))
    }
    known = {"Iterable", "NamedOptions", "Unpack", "PathLike", "Sequence", "None", "Strategy", "TextIO"}
    assert named - known <= set(detection.__all__)
    assert "Pipeline" in named


def test_the_options_of_a_run_are_named_and_documented():
    page = inspect.getdoc(detection.run_training)
    for option in dataclasses.fields(RunOptions):
        assert NamedOptions.__annotations__[option.name].__forward_arg__ == option.type
        assert f"\n        {option.name}: " in page, option.name
    assert len(NamedOptions.__annotations__) == len(dataclasses.fields(RunOptions))
    for name in inspect.signature(detection.run_training).parameters:
        assert f"\n    {name}:" in page or name == "named"
    with pytest.raises(TypeError, match="unexpected keyword argument 'sed'"):
        detection.run_training(None, "run", sed=4)


def test_options_come_in_one_way():
    with pytest.raises(TypeError, match="pass either options or single options by name, not both"):
        detection.run_training(None, "run", options=RunOptions(seed=3), seed=4)
