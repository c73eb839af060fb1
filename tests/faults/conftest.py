"""Commands as people run them, but in this process: exit code, standard output, and the one line of an error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from detection.commands.call import call
from tests.helpers.commands import Outcome
from tests.helpers.exports import exported, exported_strings, trained
from tests.helpers.modules import load
from tests.helpers.records import example_fixture as example
from tests.helpers.records import options, write
from tests.helpers.records import picture_fixture as picture

__all__ = [
    "command",
    "example",
    "exported",
    "exported_strings",
    "holds_fixture",
    "load",
    "options",
    "picture",
    "trained",
    "write",
]


TESTS = Path(__file__).resolve().parents[1]


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """command("check_config.py", "--quiet", path) -> Outcome; as the script of that name goes."""

    def run(script: str, *arguments: object) -> Outcome:
        capfd.readouterr()
        code = call(script, *arguments)
        out, err = capfd.readouterr()
        return Outcome(code, out, err)

    return run


def holds(text: str, *parts: object) -> None:
    """Asserts that every part stands in the text."""
    missing = [str(part) for part in parts if str(part) not in text]
    assert not missing, f"{missing} not in: {text}"


@pytest.fixture(name="holds", scope="session")
def holds_fixture() -> Callable[..., None]:
    return holds
