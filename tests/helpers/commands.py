"""Commands as people run them, but in this process: exit code, standard output, and the one line of an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

from detection.commands.call import call


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
def command(capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """command("check_config.py", "--quiet", path) -> Outcome; as the script of that name goes."""

    def run(script: str, *arguments: object) -> Outcome:
        capfd.readouterr()
        code = call(script, *arguments)
        out, err = capfd.readouterr()
        return Outcome(code, out, err)

    return run
