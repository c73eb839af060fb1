"""The entry points: the program `detection`, and the scripts in scripts/.

Only entry points import this module, since importing it installs the signal handlers of `detection.cli`.
"""

from __future__ import annotations

from detection import cli  # First, to handle Ctrl-C during the other imports.

# isort: split
import sys
from collections.abc import Callable
from pathlib import Path

from absl import flags as absl_flags

from detection.commands import call, catalogue, help
from detection.errors import ConfigError
from detection.tools.suggest import closest


def main() -> None:
    """The program `detection`; its first argument is the command."""
    arguments = sys.argv[1:] or ["--help"]
    if arguments[0] in ("--help", "-h", "help"):
        if len(arguments) == 1:
            _leave(lambda: help.overview(_version()))
        arguments = [arguments[1], "--help"]
    if arguments[0] == "--version":
        _leave(lambda: f"detection {_version()}\n")
    commands = {entry.name: entry for entry in catalogue.COMMANDS}
    if arguments[0] not in commands:
        _leave(lambda: _refuse(arguments[0]))
    call.run(commands[arguments[0]], f"detection {arguments[0]}", arguments[1:])


def script(name: str) -> None:
    """Runs the command `name` as a script, whose own name is used in messages."""
    call.run(catalogue.BY_NAME[name], Path(sys.argv[0]).name, sys.argv[1:])


def _leave(text: Callable[[], str]) -> None:
    """Prints a text and exits, with exit code 0, or with the exit code of the error that `text` raises."""

    def show(_: list[str]) -> int:
        sys.stdout.write(text())
        return 0

    def parse(argv: list[str]) -> list[str]:
        absl_flags.FLAGS.mark_as_parsed()
        return argv

    cli.run(show, sys.argv, parse)


def _version() -> str:
    import detection

    return detection.__version__


def _refuse(name: str) -> str:
    """Raises ConfigError for an unknown command."""
    if name.startswith("-"):
        raise ConfigError(f"{name}: flags come after the command, as in detection train {name}")
    entry = catalogue.BY_SCRIPT.get(name if name.endswith(".py") else f"{name}.py")
    close = closest(name, [entry.name for entry in catalogue.COMMANDS])
    if entry is not None:
        close = [entry.command or entry.name]
    hint = f"; did you mean {close[0]}?" if close else ";"
    raise ConfigError(f"unknown command {name}{hint} detection --help lists the commands")
