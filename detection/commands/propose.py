"""Make region proposals for Fast R-CNN, once for a data set, and report how many objects they find.

The same command again continues where it was stopped. A config names the file that is written:
train_input_reader { proposals_path: "data/train.proposals.npz" }.

Example:
  detection propose --input_path='data/train.record-*' --method=selective_search_fast
      --output=data/train.proposals.npz
"""

from __future__ import annotations

import sys

from detection import cli
from detection.commands.flags import Flags, Given, overrides
from detection.errors import ConfigError, number_of

ARGUMENTS = ""


def define(flags: Flags) -> None:
    """Adds the command's flags."""
    flags.add_list("input_path", [], "Record files or patterns, as in a config's input_path.")
    flags.add_string("image_dir", "", "Or a folder of images.")
    flags.add_string("output", None, "The .npz file to write; a report is written next to it.", required=True)
    flags.add_string(
        "method", "selective_search_fast", "selective_search_fast, selective_search_quality, edge_boxes, grid or rpn."
    )
    flags.add_integer("max_proposals", 0, "Maximum number of proposals per image, best first; 0: all.", lower_bound=0)
    flags.add_float(
        "min_side",
        10,
        "Drop boxes with a side shorter than this, in pixels of the searched image.",
        lower_bound=0,
    )
    flags.add_integer(
        "max_image_side", 500, "Shrink larger images to this before they are searched; 0: never.", lower_bound=0
    )
    flags.add_integer(
        "base_k",
        50,
        "Selective search: smaller values give smaller initial segments and more boxes.",
        lower_bound=1,
    )
    flags.add_integer("grid_boxes", 45000, "Approximate number of boxes of --method=grid.", lower_bound=1)
    flags.add_string("edge_model", "", "OpenCV's model of edges, for --method=edge_boxes.")
    flags.add_integer("seed", 0, "Seed of the order of proposals, for methods without scores.", lower_bound=0)
    flags.add_string("pipeline_config_path", "", "For --method=rpn: the config of a trained Faster R-CNN.")
    flags.add_string("checkpoint", "", "For --method=rpn: its checkpoint or model_dir.")
    flags.add_bool(
        "allow_unused_checkpoint_variables", False, "Also accept a checkpoint of another network than the config's."
    )
    flags.add_overrides(
        "For --method=rpn: overrides a field of the config, as in model.faster_rcnn.first_stage_nms_iou_threshold=0.9.",
    )
    flags.add_integer("limit", 0, "Only use the first images, for a quick test; 0: all.", lower_bound=0)
    flags.add_integer("workers", 0, "Number of threads; 0: one per core.", lower_bound=0)
    flags.add_bool("overwrite", False, "Replace an output that was made with other settings.")


def run(given: Given) -> int:
    """Runs the command; returns the exit code."""
    flags = given.flags
    given.refuse_arguments("quote patterns, as in --input_path='train.record-*'")
    if bool(flags.input_path) == bool(flags.image_dir):
        raise ConfigError("give either --input_path or --image_dir: the images to make proposals for")
    if flags.method == "rpn" and not (flags.pipeline_config_path and flags.checkpoint):
        raise ConfigError("--method=rpn needs --pipeline_config_path and --checkpoint, of a trained Faster R-CNN")
    cli.import_tensorflow()
    from detection.proposals import making, methods, searched_images

    names = ("method", "max_proposals", "min_side", "max_image_side", "base_k", "grid_boxes", "edge_model", "seed")
    settings = methods.ProposalSettings(**{name: getattr(flags, name) for name in names})
    source = (
        searched_images.Records(tuple(flags.input_path))
        if flags.input_path
        else searched_images.Folder(flags.image_dir)
    )
    more = {}
    if flags.method == "rpn":
        from detection.checkpoints import checkpoint_files
        from detection.export import region_proposals

        allow = flags.allow_unused_checkpoint_variables
        method = region_proposals.region_proposal_network(
            flags.pipeline_config_path, flags.checkpoint, flags.max_proposals, overrides(flags), allow_unused=allow
        )
        more = {
            "config": flags.pipeline_config_path,
            "checkpoint": str(checkpoint_files.locate(flags.checkpoint)),
            "set": overrides(flags),
        }
    else:
        method = methods.build(settings)
    made = making.make(
        source,
        method,
        settings,
        flags.output,
        more_settings=more,
        limit=flags.limit,
        workers=flags.workers,
        overwrite=flags.overwrite,
        progress_to=sys.stderr,
    )
    print(
        f"{made.path}: {number_of(made.new_images, 'image') + ' searched' if made.new_images else 'was there already'}"
    )
    sys.stdout.writelines(f"{line}\n" for line in made.report.lines())
    return 0
