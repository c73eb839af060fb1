"""Export a trained checkpoint as a SavedModel, like the TF Object Detection API's TF2 exporter.

Flags and files are those of the API: checkpoint/ckpt-0, saved_model/, pipeline.config (and label_map.pbtxt). The
checkpoint is object-based if the API has such a model, so that its tools can read it. The SavedModel takes batches of
any size.

Examples:
  exporter_main_v2.py --input_type=image_tensor --pipeline_config_path=run/pipeline.config
      --trained_checkpoint_dir=run --output_directory=exported
"""

from __future__ import annotations

from detection.commands import export
from detection.commands.flags import Flags, Given, refuse_given
from detection.errors import ConfigError

ARGUMENTS = ""
_SIDE = "side inputs belong to Context R-CNN, which is not supported; leave the flag out"
SIDE_INPUTS = dict.fromkeys(("use_side_inputs", "side_input_shapes", "side_input_types", "side_input_names"), _SIDE)
_BOXES = "image_and_boxes_tensor"


def define(flags: Flags) -> None:
    """Adds the command's flags."""
    flags.add_enum(
        "input_type",
        "image_tensor",
        ["image_tensor", "encoded_image_string_tensor", "tf_example", "float_image_tensor", _BOXES],
        f"What clients send: images, encoded files, or records. {_BOXES} is not supported.",
    )
    flags.add_string("pipeline_config_path", None, "Config that the checkpoint was trained with.", required=True)
    flags.add_string("trained_checkpoint_dir", None, "Folder whose latest checkpoint is exported.", required=True)
    flags.add_string("output_directory", None, "Where the export goes.", required=True)
    export.define_config(flags)
    define_side_inputs(flags)


def define_side_inputs(flags: Flags) -> None:
    """Adds the flags that both exporters of the API have."""
    flags.add_bool("use_side_inputs", False, "Not supported.")
    for name in ("side_input_shapes", "side_input_types", "side_input_names"):
        flags.add_string(name, None, "Not supported.")


def run(given: Given) -> int:
    """Runs the command; returns the exit code."""
    flags = given.flags
    given.refuse_arguments("all arguments are flags, --name=value")
    refuse_given(flags, SIDE_INPUTS)
    if flags.input_type == _BOXES:
        raise ConfigError(
            f"--input_type={_BOXES}: not supported; a detector that is given boxes with its images is a Fast R-CNN"
            " (model.fast_rcnn), whose export takes them as `proposals` beside --input_type=image_tensor"
        )
    return export.export(flags, flags.trained_checkpoint_dir, layout="TF2")
