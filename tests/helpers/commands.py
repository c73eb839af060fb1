"""Runs commands in this process, and captures exit code, standard output and standard error."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from typing import NamedTuple

import pytest

from detection.commands.call import call


class Outcome(NamedTuple):
    """The result of a command."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """The error lines, without `error: `."""
        return [line.removeprefix("error: ") for line in self.err.splitlines() if line.startswith("error: ")]

    @property
    def error(self) -> str:
        """The first error line, without `error: `; asserts that nothing follows the error lines."""
        lines = [line for line in self.err.splitlines() if line.strip()]
        assert self.errors and lines[-len(self.errors) :] == [f"error: {error}" for error in self.errors], self.err
        return self.errors[0]


def run(name: str, *words: object) -> Outcome:
    """Runs a command (`check`) or the equivalent script (`check_config.py`).

    Output of TensorFlow's C++ code is not captured.
    """
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = call(name, *words)
    return Outcome(code, out.getvalue(), err.getvalue())


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """command("check_config.py", "--quiet", path) -> Outcome, like `run`, including log messages."""

    def run_caught(name: str, *words: object) -> Outcome:
        capfd.readouterr()
        code = call(name, *words)
        out, err = capfd.readouterr()
        return Outcome(code, out, err)

    return run_caught
