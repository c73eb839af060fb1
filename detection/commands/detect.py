"""Detect objects in images with an exported detector; write pictures with labelled boxes and a COCO-style JSON file.

Files that are not images are reported and skipped; the exit code is then 3.

Examples:
  detection detect --saved_model=exported street.jpg park.png
  detection detect --saved_model=exported --output_dir=found --min_score=0.3 --contact_sheet photos/ 'more/*.jpg'
Fast R-CNN classifies given regions; compute them with --proposal_method, or name files of `detection propose`:
  detection detect --saved_model=exported --proposal_method=selective_search_fast photos/
  detection detect --saved_model=exported --proposals_path=photos.proposals.npz photos/
"""

from __future__ import annotations

from detection import cli
from detection.commands.flags import Flags, Given
from detection.errors import DataError
from detection.types import MAX_PIXELS

ARGUMENTS = "IMAGE..."


def define(flags: Flags) -> None:
    """Adds the command's flags."""
    flags.add_string("saved_model", None, "Folder written by `detection export`.", required=True)
    flags.add_string("output_dir", "detections", "Folder for pictures and detections.json.")
    flags.add_float("min_score", 0.5, "Minimum score of detections.", lower_bound=0.0, upper_bound=1.0)
    flags.add_integer("max_boxes", 100, "Maximum number of detections per image.", lower_bound=1)
    flags.add_integer(
        "batch_size", 8, "Images read at a time, and per batch if they have the same size.", lower_bound=1
    )
    flags.add_bool("pictures", True, "Write pictures in addition to the JSON file.")
    flags.add_bool("contact_sheet", False, "Also write contact_sheet.jpg with the first pictures side by side.")
    flags.add_integer(
        "max_image_pixels",
        MAX_PIXELS,
        "Maximum size of an image in pixels; larger images are not decoded.",
        lower_bound=1,
    )
    flags.add_list(
        "proposals_path",
        [],
        "For Fast R-CNN: files of proposals (.npz, .json, .mat) or patterns; images are found in them by name.",
    )
    flags.add_enum(
        "proposal_method",
        None,
        ["selective_search_fast", "selective_search_quality", "edge_boxes", "grid"],
        "Or a method to compute proposals for each image.",
    )
    flags.add_string("edge_model", "", "OpenCV's model of edges, for --proposal_method=edge_boxes.")
    flags.add_integer("max_proposals", 2000, "Maximum number of proposals per image, best first.", lower_bound=1)


def run(given: Given) -> int:
    """Runs the command; returns the exit code."""
    flags = given.flags
    cli.import_tensorflow()
    from detection.export import annotate
    from detection.proposals.prediction_sources import ProposalRequest

    options = annotate.DetectionOptions(
        min_score=flags.min_score,
        max_boxes=flags.max_boxes,
        batch_size=flags.batch_size,
        pictures=flags.pictures,
        contact_sheet=flags.contact_sheet,
        max_image_pixels=flags.max_image_pixels,
        proposals=ProposalRequest(
            tuple(flags.proposals_path), flags.proposal_method or "", flags.edge_model, flags.max_proposals
        ),
    )
    report = annotate.run(flags.saved_model, given.arguments, flags.output_dir, options)
    print(report.summary())
    return DataError.exit_code if report.bad else 0
