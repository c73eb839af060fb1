#!/usr/bin/env python3
"""Checks TFRecords, image by image and box by box: what they hold, and every fault by shard, record and field. Exit
code 3 if something is wrong.

validate_records.py --input_path='data/train.record-*' --label_map_path=data/label_map.pbtxt
"""

from __future__ import annotations

from detection import cli  # Before all else: from here on Ctrl-C is one line.

# isort: split
import sys

from absl import flags

from detection.errors import ConfigError, DataError
from detection.types import MAX_PIXELS

FLAGS = flags.FLAGS
flags.DEFINE_list("input_path", None, "Record files or patterns of them, as in a config's input_path.", required=True)
flags.DEFINE_string("label_map_path", "", "Label map that the classes must be in.")
flags.DEFINE_list(
    "proposals_path", [], "Files of proposals, or patterns of them: every image must have an entry, and it must fit."
)
flags.DEFINE_bool("use_display_name", False, "Call classes by display_name in the report.")
flags.DEFINE_integer("max_image_pixels", MAX_PIXELS, "Larger images are wrong.", lower_bound=1)
flags.DEFINE_string("report", "", "Where to write the whole report as JSON.")
flags.DEFINE_integer("workers", 0, "Threads; 0 for one a core.", lower_bound=0)


def main(argv: list[str]) -> None:
    if argv[1:]:
        raise ConfigError(f"unexpected argument {argv[1]!r}; quote patterns, as in --input_path='train.record-*'")
    cli.import_tensorflow()
    from detection.config import label_map
    from detection.data.validation.validate import validate_records
    from detection.proposals.check import KnownProposals

    classes = label_map.load(FLAGS.label_map_path) if FLAGS.label_map_path else None
    proposals = KnownProposals.read(FLAGS.proposals_path, "--proposals_path") if FLAGS.proposals_path else None
    report = validate_records(
        FLAGS.input_path,
        classes,
        FLAGS.max_image_pixels,
        FLAGS.workers,
        progress_to=sys.stderr,
        proposals=proposals,
        use_display_name=FLAGS.use_display_name,
    )
    sys.stdout.writelines(f"{line}\n" for line in report.lines())
    if FLAGS.report:
        report.save(FLAGS.report)
    if report.bad:
        raise DataError(f"{report.title}: {len(report.bad)} faults, first: {report.bad[0]}")


if __name__ == "__main__":
    cli.run(main)
