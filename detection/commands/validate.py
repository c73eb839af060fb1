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
    flags.add_list("input_path", None, "Record files or patterns of them, as in a config's input_path.", required=True)
    flags.add_string("label_map_path", "", "Label map that the classes must be in.")
    flags.add_list(
        "proposals_path",
        [],
        "Files of proposals, or patterns of them: every image must have an entry, and it must fit.",
    )
    flags.add_bool("use_display_name", False, "Call classes by display_name in the report.")
    flags.add_integer("max_image_pixels", MAX_PIXELS, "Larger images are wrong.", lower_bound=1)
    flags.add_string("report", "", "Where to write the whole report as JSON.")
    flags.add_integer("workers", 0, "Threads; 0 for one a core.", lower_bound=0)


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
