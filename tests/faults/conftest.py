"""Commands as people run them, but in this process: exit code, standard output, and the one line of an error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from absl import flags

from detection import cli
from tests.helpers.exports import exported, exported_strings, trained
from tests.helpers.modules import load
from tests.helpers.records import example_fixture as example
from tests.helpers.records import options, write
from tests.helpers.records import picture_fixture as picture

TESTS = Path(__file__).resolve().parents[1]
SCRIPTS = TESTS.parent / "scripts"


__all__ = [
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


TESTS = Path(__file__).resolve().parents[1]
SCRIPTS = TESTS.parent / "scripts"


class Outcome(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The line of the error, without `error: `, of several (a config's problems come all at once) the first;
        nothing may follow them."""
        lines = [line for line in self.err.splitlines() if line.strip()]
        errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        assert errors and lines[-len(errors) :] == [f"error: {error}" for error in errors], self.err
        return errors[0]


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Outcome]]:
    """command("check_config.py", "--quiet", path) -> Outcome; through `cli.run`, as the script itself goes."""
    made: set[str] = set()

    def forget() -> None:
        for name in made & set(flags.FLAGS):
            delattr(flags.FLAGS, name)
        made.clear()

    def run(script: str, *arguments: object) -> Outcome:
        before = set(flags.FLAGS)
        module = load(SCRIPTS / script)
        made.update(set(flags.FLAGS) - before)
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        capfd.readouterr()
        try:
            with pytest.raises(SystemExit) as left:
                cli.run(module.main)
        finally:
            forget()
        out, err = capfd.readouterr()
        return Outcome(left.value.code or 0, out, err)

    yield run
    flags.FLAGS.unparse_flags()


def holds(text: str, *parts: object) -> None:
    """Asserts that every part stands in the text."""
    missing = [str(part) for part in parts if str(part) not in text]
    assert not missing, f"{missing} not in: {text}"


@pytest.fixture(name="holds", scope="session")
def holds_fixture() -> Callable[..., None]:
    return holds
