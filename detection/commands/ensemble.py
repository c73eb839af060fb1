"""Merge several detectors and measure whether that helps: models are chosen on one input and measured on another.

A model is an exported SavedModel, a training run or a checkpoint; or its detections are given, as `evaluate` or
`detect` wrote them. Detections are kept in the output folder: running again with other ways of
choosing and merging runs no model twice.

Examples:
  detection ensemble --models='exports/*' --label_map_path=map.pbtxt --select_input=val.record --input=test.record
  detection ensemble --models=a=runs/a,b=exported/b --stored=c=val.npz,test.npz --pipeline_config_path=my.config
      --k=2 --multicrop=full,corners:0.6,flip
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from detection import cli
from detection.commands.flags import Flags, Given, overrides
from detection.errors import ConfigError

ARGUMENTS = ""
_OPTIONS = (
    *("models", "stored", "pipeline_config_path", "label_map_path", "select_input", "input", "output_dir", "k"),
    *("max_similarity", "hand_selected", "multicrop", "draws", "batch_size", "allow_unused_checkpoint_variables"),
)


def define(flags: Flags) -> None:
    flags.add_list(
        "models", [], "SavedModels, training runs, checkpoints, or globs of them; NAME=PATH gives one a name."
    )
    flags.add_multi_string(
        "stored",
        "NAME=FILE,FILE: detections (.npz, COCO's .json, VOC's comp4_det_test_*.txt) on the selection and on the"
        " evaluation input.",
    )
    flags.add_string(
        "pipeline_config_path", "", "Config whose eval_input_reader says what to measure on; of two the first selects."
    )
    flags.add_overrides("Overrides one field of that config.")
    flags.add_string("label_map_path", "", "Instead of a config, with --input: the classes.")
    flags.add_list("select_input", [], "Records that models are chosen on; by default those of the config.")
    flags.add_list("input", [], "Records that they are measured on; by default those of the config.")
    flags.add_string("output_dir", "ensemble", "Where detections, ensemble.md and ensemble.json go.")
    flags.add_integer("k", 5, "Models in an ensemble.", lower_bound=1)
    flags.add_float(
        "max_similarity",
        None,
        "Models whose APs by category have a cosine of this or more are too similar; by default what selects best.",
    )
    flags.add_list("hand_selected", [], "Names of models to measure together too.")
    flags.add_string(
        "multicrop",
        "",
        "Views of an image, as in full,corners:0.6,flip: whole, mirrored, in four parts; empty: whole images only.",
    )
    flags.add_list(
        "nms_iou",
        ["0.6"],
        "IoU above which a box suppresses a worse one; of several the best on --select_input is taken, here and below.",
    )
    flags.add_list("voting_iou", ["0.6"], "IoU from which boxes vote on the place of one that is kept; 0: they do not.")
    flags.add_list("scores", ["mean"], "mean of the models' scores, or max.")
    flags.add_integer("max_detections", 100, "The best of an image that are kept.", lower_bound=1)
    flags.add_integer("draws", 200, "Resamplings of the images from which the intervals come; 0: none.", lower_bound=0)
    flags.add_integer(
        "batch_size", 8, "Images that go through a model together, where they have one size.", lower_bound=1
    )
    flags.add_bool(
        "allow_unused_checkpoint_variables", False, "Use a checkpoint of another network than its config's too."
    )


def _numbers(name: str, texts: Sequence[str]) -> list[float]:
    try:
        return [float(text) for text in texts]
    except ValueError as error:
        raise ConfigError(f"--{name}={','.join(texts)}: expected numbers, separated by commas ({error})") from None


def run(given: Given) -> int:
    flags = given.flags
    given.refuse_arguments("models are given as --models=A,B, and globs in quotes")
    cli.import_tensorflow()
    from detection.ensemble import merge
    from detection.ensemble import run as ensemble_run

    ways = merge.grid(
        _numbers("nms_iou", flags.nms_iou), _numbers("voting_iou", flags.voting_iou), flags.scores, flags.max_detections
    )
    options: dict[str, Any] = {name: flags[name].value for name in _OPTIONS}
    request = ensemble_run.EnsembleOptions(**options, overrides=overrides(flags), merging=ways)
    print(ensemble_run.run(request).markdown(), end="")
    return 0
