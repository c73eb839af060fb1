"""Commands in this process, small records, an export; and what a text must hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.commands import command
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


def holds(text: str, *parts: object) -> None:
    """Asserts that every part stands in the text."""
    missing = [str(part) for part in parts if str(part) not in text]
    assert not missing, f"{missing} not in: {text}"


@pytest.fixture(name="holds", scope="session")
def holds_fixture() -> Callable[..., None]:
    return holds
