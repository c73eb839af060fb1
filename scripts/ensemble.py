#!/usr/bin/env python3
"""Merges several detectors and measures whether that helps: which models on one input, how good they are together on
another.

    ensemble.py --models='exports/*' --label_map_path=label_map.pbtxt --select_input=val.record --input=test.record
        --output_dir=ensemble
    ensemble.py --models=a=runs/a,b=exported/b --stored=c=val.npz,test.npz --pipeline_config_path=my.config --k=2
        --multicrop=full,corners:0.6,flip

A model is an exported SavedModel, a training run, or a checkpoint; or its detections are given, as evaluation or
detect.py wrote them. What the models find is kept in the output folder, so that the same command again, with other ways
of choosing and merging too, runs no model twice.
"""

from __future__ import annotations

from detection import cli  # Before all else: from here on Ctrl-C is one line.

# isort: split
from absl import flags

from detection.errors import ConfigError

FLAGS = flags.FLAGS
flags.DEFINE_list(
    "models", [], "SavedModels, training runs, checkpoints, or globs of them; NAME=PATH gives one a name."
)
flags.DEFINE_multi_string(
    "stored", [], "NAME=FILE,FILE: detections (.npz, or COCO's .json) on the selection and on the evaluation input."
)
flags.DEFINE_string(
    "pipeline_config_path", "", "Config whose eval_input_reader says what to measure on; of two the first selects."
)
flags.DEFINE_multi_string("set", [], "Overrides one field of that config.")
flags.DEFINE_string("label_map_path", "", "Instead of a config, with --input: the classes.")
flags.DEFINE_list("select_input", [], "Records that models are chosen on; by default those of the config.")
flags.DEFINE_list("input", [], "Records that they are measured on; by default those of the config.")
flags.DEFINE_string("output_dir", "ensemble", "Where detections, ensemble.md and ensemble.json go.")
flags.DEFINE_integer("k", 5, "Models in an ensemble.", lower_bound=1)
flags.DEFINE_float(
    "max_similarity",
    None,
    "Models whose APs by category have a cosine of this or more are too similar; by default what selects best.",
)
flags.DEFINE_list("hand_selected", [], "Names of models to measure together too.")
flags.DEFINE_string(
    "multicrop",
    "",
    "Views of an image, as in full,corners:0.6,flip: whole and mirrored, and in four parts; empty: whole images only.",
)
flags.DEFINE_list(
    "nms_iou",
    ["0.6"],
    "IoU above which a box suppresses a worse one; of several the best on --select_input is taken, here and below.",
)
flags.DEFINE_list("voting_iou", ["0.6"], "IoU from which boxes vote on the place of one that is kept; 0: they do not.")
flags.DEFINE_list("scores", ["mean"], "mean of the models' scores, or max.")
flags.DEFINE_integer("max_detections", 100, "The best of an image that are kept.", lower_bound=1)
flags.DEFINE_integer("draws", 200, "Resamplings of the images from which the intervals come; 0: none.", lower_bound=0)
flags.DEFINE_integer(
    "batch_size", 8, "Images that go through a model together, where they have one size.", lower_bound=1
)
flags.DEFINE_bool(
    "allow_unused_checkpoint_variables", False, "Use a checkpoint of another network than its config's too."
)


def numbers(name: str) -> list[float]:
    try:
        return [float(text) for text in FLAGS[name].value]
    except ValueError as error:
        raise ConfigError(
            f"--{name}={','.join(FLAGS[name].value)}: expected numbers, separated by commas ({error})"
        ) from None


def main(argv: list[str]) -> None:
    if argv[1:]:
        raise ConfigError(f"unexpected argument {argv[1]!r}; models are given as --models=A,B, and globs in quotes")
    cli.import_tensorflow()
    from detection.ensemble import merge, run

    ways = merge.grid(numbers("nms_iou"), numbers("voting_iou"), FLAGS.scores, FLAGS.max_detections)
    names = ("models", "stored", "pipeline_config_path", "label_map_path", "select_input", "input", "output_dir")
    names += (
        "k",
        "max_similarity",
        "hand_selected",
        "multicrop",
        "draws",
        "batch_size",
        "allow_unused_checkpoint_variables",
    )
    options = run.EnsembleOptions(
        **{name: FLAGS[name].value for name in names}, overrides=FLAGS["set"].value, merging=ways
    )
    print(run.run(options).markdown(), end="")


if __name__ == "__main__":
    cli.run(main)
