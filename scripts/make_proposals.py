#!/usr/bin/env python3
"""Makes proposals for Fast R-CNN, once for a data set, and says how many objects they find. The same command again goes
on where it stopped.

    make_proposals.py --input_path='data/train.record-*' --method=selective_search_fast
        --output=data/train.proposals.npz

A config then names the file: train_input_reader { proposals_path: "data/train.proposals.npz" }.
"""

from __future__ import annotations

from detection import cli  # Before all else: from here on Ctrl-C is one line.

# isort: split
import sys

from absl import flags

from detection.errors import ConfigError

FLAGS = flags.FLAGS
flags.DEFINE_list("input_path", [], "Record files or patterns of them, as in a config's input_path.")
flags.DEFINE_string("image_dir", "", "Or a folder of images.")
flags.DEFINE_string("output", None, "The .npz to write; a report goes beside it.", required=True)
flags.DEFINE_string(
    "method", "selective_search_fast", "selective_search_fast, selective_search_quality, edge_boxes, grid or rpn."
)
flags.DEFINE_integer("max_proposals", 0, "Keep the best so many of each image; 0: all.", lower_bound=0)
flags.DEFINE_float(
    "min_side", 10, "Leave out boxes with a side shorter than this, in pixels of the image as searched.", lower_bound=0
)
flags.DEFINE_integer(
    "max_image_side", 500, "Shrink larger images to this before they are searched; 0: never.", lower_bound=0
)
flags.DEFINE_integer(
    "base_k",
    50,
    "Of selective search: the smaller, the smaller the segments that it starts from, and the more boxes.",
    lower_bound=1,
)
flags.DEFINE_integer("grid_boxes", 45000, "About how many boxes --method=grid makes.", lower_bound=1)
flags.DEFINE_string("edge_model", "", "OpenCV's model of edges, for --method=edge_boxes.")
flags.DEFINE_integer("seed", 0, "Decides the order where a method has none.", lower_bound=0)
flags.DEFINE_string("pipeline_config_path", "", "For --method=rpn: the config of a trained Faster R-CNN.")
flags.DEFINE_string("checkpoint", "", "For --method=rpn: its checkpoint, or the folder that it was trained in.")
flags.DEFINE_bool(
    "allow_unused_checkpoint_variables", False, "Take a checkpoint of another network than the config's too."
)
flags.DEFINE_multi_string(
    "set",
    [],
    "For --method=rpn: overrides a field of the config, as in model.faster_rcnn.first_stage_nms_iou_threshold=0.9.",
)
flags.DEFINE_integer("limit", 0, "Only the first so many images, to try things out; 0: all.", lower_bound=0)
flags.DEFINE_integer("workers", 0, "Threads; 0 for one a core.", lower_bound=0)
flags.DEFINE_bool("overwrite", False, "Replace an output that was made otherwise.")


def main(argv: list[str]) -> None:
    if argv[1:]:
        raise ConfigError(f"unexpected argument {argv[1]!r}; quote patterns, as in --input_path='train.record-*'")
    if bool(FLAGS.input_path) == bool(FLAGS.image_dir):
        raise ConfigError("give either --input_path or --image_dir: the images to make proposals for")
    if FLAGS.method == "rpn" and not (FLAGS.pipeline_config_path and FLAGS.checkpoint):
        raise ConfigError("--method=rpn needs --pipeline_config_path and --checkpoint, of a trained Faster R-CNN")
    cli.import_tensorflow()
    from detection.proposals import making, methods, searched_images

    names = ("method", "max_proposals", "min_side", "max_image_side", "base_k", "grid_boxes", "edge_model", "seed")
    settings = methods.ProposalSettings(**{name: getattr(FLAGS, name) for name in names})
    source = (
        searched_images.Records(tuple(FLAGS.input_path))
        if FLAGS.input_path
        else searched_images.Folder(FLAGS.image_dir)
    )
    more = {}
    if FLAGS.method == "rpn":
        from detection.checkpoints import checkpoint_files
        from detection.export import region_proposals

        allow = FLAGS.allow_unused_checkpoint_variables
        method = region_proposals.region_proposal_network(
            FLAGS.pipeline_config_path, FLAGS.checkpoint, FLAGS.max_proposals, FLAGS.set, allow_unused=allow
        )
        more = {
            "config": FLAGS.pipeline_config_path,
            "checkpoint": str(checkpoint_files.locate(FLAGS.checkpoint)),
            "set": FLAGS.set,
        }
    else:
        method = methods.build(settings)
    made = making.make(
        source,
        method,
        settings,
        FLAGS.output,
        more_settings=more,
        limit=FLAGS.limit,
        workers=FLAGS.workers,
        overwrite=FLAGS.overwrite,
        progress_to=sys.stderr,
    )
    print(f"{made.path}: {f'{made.new_images} images searched' if made.new_images else 'was there already'}")
    sys.stdout.writelines(f"{line}\n" for line in made.report.lines())


if __name__ == "__main__":
    cli.run(main)
