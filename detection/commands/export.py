"""Export a trained checkpoint as a SavedModel for serving.

The flags are those of the TF Object Detection API's exporters. A Fast R-CNN has a second input, proposals: float32
[batch, any number, 4], normalised ymin, xmin, ymax, xmax of each image.

Examples:
  detection export --pipeline_config_path=run/pipeline.config --trained_checkpoint_dir=run --output_directory=exported
  detection export ... --input_type=encoded_image_string_tensor     clients send encoded files, of any size
  detection export ... --input_key=inputs                           clients written for a model of the TF1 exporter
"""

from __future__ import annotations

from collections.abc import Sequence

from absl.flags import FlagValues

from detection import cli
from detection.commands.flags import Flags, Given, overrides
from detection.errors import ConfigError

ARGUMENTS = ""


def define(flags: Flags) -> None:
    """Adds the command's flags."""
    flags.add_enum(
        "input_type",
        "image_tensor",
        ["image_tensor", "float_image_tensor", "encoded_image_string_tensor", "tf_example"],
        "What clients send: images, encoded files, or records.",
    )
    flags.add_list(
        "input_shape", None, "Shape of the input, e.g. 1,480,640,3, with -1 for any size; by default all are -1."
    )
    flags.add_enum(
        "input_key",
        "input_tensor",
        ["input_tensor", "inputs"],
        "Name of the input: input_tensor (TF2 exporter) or inputs (TF1).",
    )
    flags.add_integer(
        "num_proposals",
        None,
        "For Fast R-CNN: number of proposals per image; by default any number.",
        lower_bound=1,
    )
    flags.add_string("pipeline_config_path", None, "Config that the checkpoint was trained with.", required=True)
    flags.add_string("trained_checkpoint_prefix", None, "Checkpoint, e.g. model_dir/model.ckpt-50000.")
    flags.add_string(
        "trained_checkpoint_dir",
        None,
        "Folder whose newest checkpoint is exported; instead of --trained_checkpoint_prefix.",
    )
    flags.add_string(
        "output_directory",
        None,
        "Folder for saved_model/, checkpoint/, pipeline.config and label_map.pbtxt.",
        required=True,
    )
    define_config(flags)
    flags.require_one_of(["trained_checkpoint_prefix", "trained_checkpoint_dir"])


def run(given: Given) -> int:
    """Runs the command; returns the exit code."""
    flags = given.flags
    if given.arguments:
        raise ConfigError(f"{given.arguments[0]}: not expected; all arguments are flags, --name=value")
    return export(
        flags,
        flags.trained_checkpoint_prefix or flags.trained_checkpoint_dir,
        input_key=flags.input_key,
        input_shape=flags.input_shape,
        num_proposals=flags.num_proposals,
    )


def define_config(flags: Flags) -> None:
    """Adds the flags that change the config, and the one that accepts unused weights in a checkpoint."""
    flags.add_string("config_override", "", "Part of a config in text form, merged into the file's config.")
    flags.add_overrides(
        "Overrides one field, e.g. --set model.ssd.post_processing.batch_non_max_suppression.score_threshold=0.3.",
    )
    flags.add_bool(
        "allow_unused_checkpoint_variables", False, "Also export a checkpoint of another network than the config's."
    )


def export(
    flags: FlagValues,
    checkpoint: str,
    *,
    input_key: str = "input_tensor",
    input_shape: Sequence[str] | None = None,
    num_proposals: int | None = None,
    layout: str = "OWN",
) -> int:
    """Runs the export that the flags describe.

    Args:
        flags: those of `define_config`, and input_type, pipeline_config_path, output_directory.
        checkpoint: a prefix or a folder.
        layout: name of one of `export.layouts`.
        input_shape: shape of the input, -1 for free sides, as text; None for all free.
        input_key: name of the input in the signature.
        num_proposals: number of proposals per image; None for any number.
    """
    cli.import_tensorflow()
    from detection.export import exporter, layouts
    from detection.export.serving import ServingInput, parse_shape

    exported = exporter.export(
        flags.pipeline_config_path,
        checkpoint,
        flags.output_directory,
        ServingInput(flags.input_type, input_key, parse_shape(input_shape), num_proposals),
        overrides(flags),
        flags.config_override,
        allow_unused_checkpoint_variables=flags.allow_unused_checkpoint_variables,
        layout=getattr(layouts, layout),
    )
    print(exported.summary())
    return 0
