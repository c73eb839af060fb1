#!/usr/bin/env python3
"""Turns a trained checkpoint into a SavedModel that serves, with the flags of the TF Object Detection API's two
exporters.

    export_saved_model.py --pipeline_config_path=run/pipeline.config --trained_checkpoint_dir=run
        --output_directory=exported
    export_saved_model.py ... --input_type=encoded_image_string_tensor      clients send encoded files, of any sizes
    export_saved_model.py ... --input_key=inputs                            clients were written for a model of the TF1
        exporter

A Fast R-CNN takes a second input, proposals: float32 [batch, any number, 4], normalised ymin, xmin, ymax, xmax of each
image.
"""

from __future__ import annotations

from detection import cli  # Before all else: from here on Ctrl-C is one line.

# isort: split
from absl import flags

from detection.errors import ConfigError

FLAGS = flags.FLAGS
flags.DEFINE_enum(
    "input_type",
    "image_tensor",
    ["image_tensor", "float_image_tensor", "encoded_image_string_tensor"],
    "What clients send: images or encoded files.",
)
flags.DEFINE_list(
    "input_shape", None, "Shape of the input, e.g. 1,480,640,3; -1 leaves a side free. By default all are."
)
flags.DEFINE_enum(
    "input_key",
    "input_tensor",
    ["input_tensor", "inputs"],
    "Name of the input: input_tensor (TF2 exporter) or inputs (TF1).",
)
flags.DEFINE_integer(
    "num_proposals",
    None,
    "For Fast R-CNN: how many proposals come with every image; by default any number.",
    lower_bound=1,
)
flags.DEFINE_string("pipeline_config_path", None, "Config that the checkpoint was trained with.", required=True)
flags.DEFINE_string("trained_checkpoint_prefix", None, "Checkpoint, e.g. model_dir/model.ckpt-50000.")
flags.DEFINE_string(
    "trained_checkpoint_dir",
    None,
    "Folder whose latest checkpoint is exported; instead of --trained_checkpoint_prefix.",
)
flags.DEFINE_string(
    "output_directory", None, "Where saved_model/, checkpoint/, pipeline.config and label_map.pbtxt go.", required=True
)
flags.DEFINE_string("config_override", "", "Part of a config in text form, merged over the file's.")
flags.DEFINE_multi_string(
    "set",
    [],
    "Overrides one field, e.g. --set model.ssd.post_processing.batch_non_max_suppression.score_threshold=0.3.",
)
flags.DEFINE_bool(
    "allow_unused_checkpoint_variables", False, "Export a checkpoint of another network than the config's too."
)


@flags.multi_flags_validator(
    ["trained_checkpoint_prefix", "trained_checkpoint_dir"],
    "give either --trained_checkpoint_prefix or --trained_checkpoint_dir",
)
def _one_checkpoint(values: dict[str, str | None]) -> bool:
    return sum(value is not None for value in values.values()) == 1


def main(argv: list[str]) -> None:
    if argv[1:]:
        raise ConfigError(f"{argv[1]}: not expected; everything is said with flags, --name=value")
    cli.import_tensorflow()
    from detection.export import exporter
    from detection.export.serving import ServingInput, parse_shape

    checkpoint = FLAGS.trained_checkpoint_prefix or FLAGS.trained_checkpoint_dir
    serving_input = ServingInput(FLAGS.input_type, FLAGS.input_key, parse_shape(FLAGS.input_shape), FLAGS.num_proposals)
    exported = exporter.export(
        FLAGS.pipeline_config_path,
        checkpoint,
        FLAGS.output_directory,
        serving_input,
        FLAGS.set,
        FLAGS.config_override,
        allow_unused_checkpoint_variables=FLAGS.allow_unused_checkpoint_variables,
    )
    print(exported.summary())


if __name__ == "__main__":
    cli.run(main)
