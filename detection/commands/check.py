"""Explain pipeline configs without training, or report everything that is wrong with them.

For a config that is right: input size, anchors, parameters, operations, learning-rate schedule, data. Otherwise every
problem, a line each, with file, line, field, value and fix. Exit code 2 if any config has a problem.

Examples:
  detection check my.config
  detection check --quiet configs/*.config
  detection check --no_paths --set train_config.batch_size=8 my.config
"""

from __future__ import annotations

from detection import cli
from detection.commands.flags import Flags, Given, overrides
from detection.errors import ConfigError

ARGUMENTS = "CONFIG..."


def define(flags: Flags) -> None:
    """Adds the command's flags."""
    flags.add_bool(
        "no_paths", False, "Do not check that files named by the configs exist: records, label maps, checkpoints."
    )
    flags.add_bool("quiet", False, "One line per config.")
    flags.add_overrides("Overrides one field of each config, e.g. --set model.ssd.num_classes=3.")


def run(given: Given) -> int:
    """Runs the command; returns the exit code."""
    flags = given.flags
    if not given.arguments:
        raise ConfigError(
            f"no config is named; usage: {given.program} [--no_paths] [--quiet] [--set path=value] CONFIG..."
        )
    cli.import_tensorflow()
    from detection.benchmark import config_report

    return config_report.report(given.arguments, overrides(flags), not flags.no_paths, flags.quiet, print)
