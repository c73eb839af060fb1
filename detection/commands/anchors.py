"""Measure whether the anchors of a config fit the boxes of its data, and find values that fit better.

Shows, by size, which share of the boxes no anchor overlaps enough to be matched, now and with anchors from clusters of
the boxes (k-means; Huang et al. 2017, section 2). The numbers of scales and aspect ratios stay as they are.

Examples:
  detection anchors my.config
  detection anchors --output=fitted.config my.config
  detection anchors --input_path='data/train.record-*' my.config
"""

from __future__ import annotations

from pathlib import Path

from detection import cli
from detection.commands.flags import Flags, Given, overrides
from detection.errors import ConfigError

ARGUMENTS = "CONFIG"


def define(flags: Flags) -> None:
    """Adds the command's flags."""
    flags.add_list("input_path", [], "Records with the boxes; by default those of the config's train_input_reader.")
    flags.add_string("output", "", "Write the config with the better anchors to this file, without its comments.")
    flags.add_integer("seed", 0, "Decides where the clusters start.", lower_bound=0)
    flags.add_bool("overwrite", False, "Replace an output that exists.")
    flags.add_overrides("Overrides one field of the config, e.g. --set model.ssd.num_classes=3.")


def run(given: Given) -> int:
    """Runs the command; returns the exit code."""
    flags = given.flags
    if len(given.arguments) != 1:
        raise ConfigError(f"give one config; usage: {given.program} [--output=FILE] CONFIG")
    if flags.output and Path(flags.output).exists() and not flags.overwrite:
        raise ConfigError(f"--output={flags.output}: exists already; pass --overwrite, or another --output")
    cli.import_tensorflow()
    from detection.benchmark import anchor_report

    report = anchor_report.fit(given.arguments[0], overrides(flags), tuple(flags.input_path), flags.output, flags.seed)
    print(f"{given.arguments[0]}: {report.place.generator}")
    for line in report.lines():
        print(line)
    if flags.output:
        print(f"  written: {flags.output}")
    return 0
