#!/usr/bin/env python3
"""Says what pipeline configs mean, without training: input, anchors, parameters, operations, schedule, data; or what is
wrong with them."""

from __future__ import annotations

from detection import cli  # Before all else: from here on Ctrl-C is one line.

# isort: split
from absl import flags

from detection.errors import ConfigError

FLAGS = flags.FLAGS
flags.DEFINE_bool(
    "no_paths", False, "Do not look for the files that the configs name: records, label maps, checkpoints."
)
flags.DEFINE_bool("quiet", False, "One line a config.")
flags.DEFINE_multi_string(
    "set", [], "Overrides one field of each config, e.g. --set model.ssd.num_classes=3. May be repeated."
)


def main(argv: list[str]) -> int:
    if not argv[1:]:
        raise ConfigError(
            "no config is named; usage: check_config.py [--no_paths] [--quiet] [--set path=value] CONFIG..."
        )
    cli.import_tensorflow()
    from detection.benchmark import config_report

    return config_report.report(argv[1:], FLAGS.set, not FLAGS.no_paths, FLAGS.quiet, print)


if __name__ == "__main__":
    cli.run(main)
