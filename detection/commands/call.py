"""Runs a command inside the process, and restores the state of the process afterwards."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence

from absl import flags as absl_flags
from absl import logging as absl_logging

from detection import cli
from detection.commands import catalogue, help
from detection.commands.flags import Flags, Given, HelpRequested, process_flags

_LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"


def call(name: str, *arguments: object) -> int:
    """Runs a command in this process, as `detection NAME ARGUMENT...` would in a new one.

    Args:
        name: a command, such as "train", or a script, such as "model_main.py", whose name is then used in messages.
        *arguments: flags and other arguments.

    Returns:
        The exit code. Output goes to sys.stdout and sys.stderr.

    Raises:
        KeyError: there is no such command.
        Exception: an internal error; errors of the input give exit codes.
    """
    entry = catalogue.BY_SCRIPT.get(name) or catalogue.BY_NAME[name]
    program = name if name == entry.script else f"detection {name}"
    with restored():
        try:
            run(entry, program, [str(argument) for argument in arguments])
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else int(bool(end.code))
    return 0


def run(entry: catalogue.Entry, program: str, arguments: Sequence[str]) -> None:
    """Runs a command and exits the process."""
    module = entry.module()
    flags = Flags()
    module.define(flags)
    given: list[Given] = []
    asked: list[str] = []

    def parse(argv: list[str]) -> list[str]:
        process = absl_flags.FLAGS
        process.mark_as_parsed()
        try:
            given.append(flags.parse(argv[0], argv[1:]))
        except HelpRequested as request:
            asked.append(request.kind)
        if process["verbosity"].using_default_value:
            process["verbosity"].value = 0  # Shows info messages, which absl itself sets only once per process.
        if process["only_check_args"].value:
            sys.exit(0)  # As absl does itself.
        return argv

    def main(_: list[str]) -> int:
        if not asked:
            return module.run(given[0])
        if asked[0] == "helpxml":
            flags.values.write_help_in_xml_format(sys.stdout)
        else:
            print(help.of_command(program, module, flags, full=asked[0] == "helpfull"), end="")
        return 0

    cli.run(main, [program, *arguments], parse)


@contextlib.contextmanager
def restored() -> Iterator[None]:
    """Restores what `cli.run` and absl change in the process: streams, log level, handlers, flags, warning filters."""
    streams = sys.stdout, sys.stderr
    environment = os.environ.get(_LOG_LEVEL)
    root = logging.getLogger()
    handlers, levels = list(root.handlers), (root.level, absl_logging.get_absl_logger().level)
    handler = absl_logging.get_absl_handler()
    formatter = handler.python_handler.formatter
    parsed = absl_flags.FLAGS.is_parsed()
    flags = {name: (flag.value, flag.present, flag.using_default_value) for name, flag in process_flags().items()}
    try:
        if handler not in handlers:
            absl_logging.use_absl_handler()
        with warnings.catch_warnings():
            yield
    finally:
        sys.stdout, sys.stderr = streams
        if environment is None:
            os.environ.pop(_LOG_LEVEL, None)
        root.setLevel(logging.WARNING)  # Hides a message of unparse_flags.
        if not parsed:
            absl_flags.FLAGS.unparse_flags()
        for name, flag in process_flags().items():
            flag.value, flag.present, flag.using_default_value = flags[name]
        root.handlers[:] = handlers
        root.setLevel(levels[0])
        absl_logging.get_absl_logger().setLevel(levels[1])
        handler.setFormatter(formatter)
