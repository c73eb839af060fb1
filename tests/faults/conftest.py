"""Commands in this process, a good config, small records, an export; and what a text must hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from detection.config import label_map
from tests.config.conftest import TEXT as CONFIG
from tests.helpers.commands import command
from tests.helpers.exports import exported, exported_strings, trained
from tests.helpers.records import example_fixture as example
from tests.helpers.records import options, write
from tests.helpers.records import picture_fixture as picture

__all__ = [
    "CONFIG",
    "command",
    "example",
    "exported",
    "exported_strings",
    "holds_fixture",
    "options",
    "picture",
    "trained",
    "write",
]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A good config, and all it names, in the folder of the test, which is entered."""
    monkeypatch.chdir(tmp_path)
    for name in ("train.record", "val.record"):
        (tmp_path / name).write_bytes(b"")
    label_map.save("label_map.pbtxt", ["a", "b", "c"])
    path = tmp_path / "my.config"
    path.write_text(CONFIG)
    return path


def holds(text: str, *parts: object) -> None:
    """Asserts that every part stands in the text."""
    missing = [str(part) for part in parts if str(part) not in text]
    assert not missing, f"{missing} not in: {text}"


@pytest.fixture(name="holds", scope="session")
def holds_fixture() -> Callable[..., None]:
    return holds
