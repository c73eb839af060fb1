#!/usr/bin/env python3
"""Finds objects in images with an exported detector: pictures with labelled boxes, and one COCO-style json.

    detect.py --saved_model=exported street.jpg park.png
    detect.py --saved_model=exported --output_dir=found --min_score=0.3 --contact_sheet photos/ 'more/*.jpg'
    detect.py --saved_model=exported --proposal_method=selective_search_fast photos/     for Fast R-CNN, which is given
        its regions
    detect.py --saved_model=exported --proposals_path=photos.proposals.npz photos/       or that make_proposals.py made
        before

Files that are no image are named and left out; the exit code is then 3.
"""

from __future__ import annotations

from detection import cli  # Before all else: from here on Ctrl-C is one line.

# isort: split
from absl import flags

from detection.errors import DataError
from detection.types import MAX_PIXELS

FLAGS = flags.FLAGS
flags.DEFINE_string("saved_model", None, "Folder that export_saved_model.py wrote.", required=True)
flags.DEFINE_string("output_dir", "detections", "Where the pictures and detections.json go.")
flags.DEFINE_float("min_score", 0.5, "Detections below are left out.", lower_bound=0.0, upper_bound=1.0)
flags.DEFINE_integer("max_boxes", 100, "At most so many detections an image.", lower_bound=1)
flags.DEFINE_integer("batch_size", 8, "Images read, and run where they have one size, together.", lower_bound=1)
flags.DEFINE_bool("pictures", True, "Write pictures; otherwise only the json.")
flags.DEFINE_bool("contact_sheet", False, "Write contact_sheet.jpg too: the first pictures side by side.")
flags.DEFINE_integer("max_image_pixels", MAX_PIXELS, "Larger images are not decoded.", lower_bound=1)
flags.DEFINE_list(
    "proposals_path",
    [],
    "For Fast R-CNN: files of proposals (.npz, .json, .mat) or patterns; images are found in them by name.",
)
flags.DEFINE_enum(
    "proposal_method",
    None,
    ["selective_search_fast", "selective_search_quality", "edge_boxes", "grid"],
    "Or how proposals are made, image by image.",
)
flags.DEFINE_string("edge_model", "", "OpenCV's model of edges, for --proposal_method=edge_boxes.")
flags.DEFINE_integer("max_proposals", 2000, "The best so many proposals of an image are used.", lower_bound=1)


def main(argv: list[str]) -> int:
    cli.import_tensorflow()
    from detection.export import annotate
    from detection.proposals.prediction_sources import ProposalRequest

    options = annotate.DetectionOptions(
        min_score=FLAGS.min_score,
        max_boxes=FLAGS.max_boxes,
        batch_size=FLAGS.batch_size,
        pictures=FLAGS.pictures,
        contact_sheet=FLAGS.contact_sheet,
        max_image_pixels=FLAGS.max_image_pixels,
        proposals=ProposalRequest(
            tuple(FLAGS.proposals_path), FLAGS.proposal_method or "", FLAGS.edge_model, FLAGS.max_proposals
        ),
    )
    report = annotate.run(FLAGS.saved_model, argv[1:], FLAGS.output_dir, options)
    print(report.summary())
    return DataError.exit_code if report.bad else 0


if __name__ == "__main__":
    FLAGS.set_gnu_getopt(True)  # Flags may stand behind the images too.
    cli.run(main)
