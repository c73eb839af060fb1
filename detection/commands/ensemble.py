"""Merge several detectors and measure the gain: models are chosen on one input and measured on another.

A model is an exported SavedModel, a training run, a checkpoint, or stored detections written by `evaluate` or `detect`.
Detections are stored in the output folder, so that no model runs again if only the way of choosing or merging changes.

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
    """Adds the command's flags."""
    flags.add_list(
        "models", [], "SavedModels, training runs, checkpoints, or globs of them; NAME=PATH gives one a name."
    )
    flags.add_multi_string(
        "stored",
        "NAME=FILE,FILE: detections (.npz, COCO's .json, VOC's comp4_det_test_*.txt) on the selection and on the"
        " evaluation input.",
    )
    flags.add_string(
        "pipeline_config_path",
        "",
        "Config with the eval_input_reader to measure on; if there are two, the first is used to select models.",
    )
    flags.add_overrides("Overrides one field of that config.")
    flags.add_string("label_map_path", "", "Label map; with --input, instead of a config.")
    flags.add_list("select_input", [], "Records to choose models on; by default those of the config.")
    flags.add_list("input", [], "Records to measure ensembles on; by default those of the config.")
    flags.add_string("output_dir", "ensemble", "Folder for detections, ensemble.md and ensemble.json.")
    flags.add_integer("k", 5, "Number of models in an ensemble.", lower_bound=1)
    flags.add_float(
        "max_similarity",
        None,
        "Models are too similar if the cosine of their per-category APs is at least this; by"
        " default the value that selects best.",
    )
    flags.add_list("hand_selected", [], "Names of models to measure as an additional ensemble.")
    flags.add_string(
        "multicrop",
        "",
        "Views of an image, as in full,corners:0.6,flip: whole, mirrored, in four parts; empty: whole images only.",
    )
    flags.add_list(
        "nms_iou",
        ["0.6"],
        "IoU above which a box suppresses a box with a lower score."
        " If several values are given, here and below, the best one on --select_input is used.",
    )
    flags.add_list("voting_iou", ["0.6"], "Minimum IoU for boxes to vote on the position of a kept box; 0: no voting.")
    flags.add_list("scores", ["mean"], "How to combine the models' scores: mean or max.")
    flags.add_integer("max_detections", 100, "Maximum number of detections per image.", lower_bound=1)
    flags.add_integer(
        "draws", 200, "Bootstrap samples of the images for confidence intervals; 0: no intervals.", lower_bound=0
    )
    flags.add_integer("batch_size", 8, "Images per batch, if they have the same size.", lower_bound=1)
    flags.add_bool(
        "allow_unused_checkpoint_variables", False, "Also accept a checkpoint of another network than its config's."
    )


def _numbers(name: str, texts: Sequence[str]) -> list[float]:
    try:
        return [float(text) for text in texts]
    except ValueError as error:
        raise ConfigError(f"--{name}={','.join(texts)}: expected numbers, separated by commas ({error})") from None


def run(given: Given) -> int:
    """Runs the command; returns the exit code."""
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
