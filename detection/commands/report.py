"""Write figures, tables and an interactive page (index.html) of the results of a sweep.

The figures are those of the survey, with its relations next to those measured, and the optimality frontier.

Example:
  detection report --results=swept --output=report
"""

from __future__ import annotations

import shlex

from detection.commands.flags import Flags, Given
from detection.errors import ConfigError, number_of

ARGUMENTS = ""


def define(flags: Flags) -> None:
    """Adds the command's flags."""
    flags.add_multi_string("results", "Folder written by `detection sweep`, or its results.jsonl.")
    flags.add_string("output", None, "Folder for README.md, index.html and figures/.")
    flags.add_string("device", "", "Only use times of this device, given by its name or a part of it.")
    flags.add_string("title", "Speed, memory and accuracy", "Heading of report and page.")


def run(given: Given) -> int:
    """Runs the command; returns the exit code."""
    flags = given.flags
    if given.arguments or not flags.results or not flags.output:
        raise ConfigError(f"usage: {given.program} --results=FOLDER --output=FOLDER [--device=NAME] [--title=WORDS]")
    from detection.sweep import quantities, results
    from detection.sweep.report import report_folder

    rows = quantities.of_one_device(results.read(flags.results), flags.device)
    command = shlex.join([*given.program.split(), *given.argv])
    written = report_folder.write(rows, flags.output, results=flags.results, command=command, heading=flags.title)
    for name, reason in written.left_out.items():
        print(f"{name} is left out: {reason}")
    print(f"{number_of(len(written.paths), 'file')}; read {written.paths[0]}, open {written.paths[1]}")
    return 0
