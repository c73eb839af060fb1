"""Check TFRecords image by image and box by box; print a summary and every fault with shard, record and field.

Exit code 3 if there is any fault.

Example:
  detection validate --input_path='data/train.record-*' --label_map_path=data/label_map.pbtxt
"""

from __future__ import annotations

import sys

from detection import cli
from detection.commands.flags import Flags, Given
from detection.errors import DataError, number_of
from detection.types import MAX_PIXELS

ARGUMENTS = ""


def define(flags: Flags) -> None:
    """Adds the command's flags."""
    flags.add_list("input_path", None, "Record files or patterns, as in a config's input_path.", required=True)
    flags.add_string("label_map_path", "", "Label map that must contain the classes.")
    flags.add_list(
        "proposals_path",
        [],
        "Proposal files or patterns; every image must have a valid entry.",
    )
    flags.add_bool("use_display_name", False, "Use display_name for classes in the report.")
    flags.add_integer(
        "max_image_pixels", MAX_PIXELS, "Maximum size of an image in pixels; larger images are faults.", lower_bound=1
    )
    flags.add_string("report", "", "JSON file for the full report.")
    flags.add_integer("workers", 0, "Number of threads; 0: one per core.", lower_bound=0)


def run(given: Given) -> int:
    """Runs the command; returns the exit code."""
    flags = given.flags
    given.refuse_arguments("quote patterns, as in --input_path='train.record-*'")
    cli.import_tensorflow()
    from detection.config import label_map
    from detection.data.validation.validate import validate_records
    from detection.proposals.check import KnownProposals

    classes = label_map.load(flags.label_map_path) if flags.label_map_path else None
    proposals = KnownProposals.read(flags.proposals_path, "--proposals_path") if flags.proposals_path else None
    report = validate_records(
        flags.input_path,
        classes,
        flags.max_image_pixels,
        flags.workers,
        progress_to=sys.stderr,
        proposals=proposals,
        use_display_name=flags.use_display_name,
    )
    sys.stdout.writelines(f"{line}\n" for line in report.lines())
    if flags.report:
        report.save(flags.report)
    if report.bad:
        raise DataError(f"{report.title}: {number_of(len(report.bad), 'fault')}, first: {report.bad[0]}")
    return 0
