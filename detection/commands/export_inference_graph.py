"""Export a trained checkpoint as a SavedModel and a frozen graph, like the TF Object Detection API's TF1 exporter.

Flags and files are those of the API: frozen_inference_graph.pb, model.ckpt, saved_model/, pipeline.config (and
label_map.pbtxt). The input of the frozen graph is `image_tensor:0` (or the --input_type), its outputs are
`detection_boxes:0` and so on; the input of the SavedModel is `inputs`.

Examples:
  export_inference_graph.py --input_type=image_tensor --pipeline_config_path=run/pipeline.config
      --trained_checkpoint_prefix=run/model.ckpt-50000 --output_directory=exported
"""

from __future__ import annotations

from detection.commands import export, exporter_main_v2
from detection.commands.flags import Flags, Given, refuse_given

ARGUMENTS = ""
_REFUSED = {
    "write_inference_graph": "there is no graph with variables to write; frozen_inference_graph.pb has the weights",
    "additional_output_tensor_names": "further outputs are not supported; the SavedModel has every output of the TF2"
    " exporter, raw boxes and scores among them",
    **exporter_main_v2.SIDE_INPUTS,
}


def define(flags: Flags) -> None:
    """Adds the command's flags."""
    flags.add_enum(
        "input_type",
        "image_tensor",
        ["image_tensor", "encoded_image_string_tensor", "tf_example", "float_image_tensor"],
        "What clients send: images, encoded files, or records.",
    )
    flags.add_list(
        "input_shape", None, "Shape of the images, e.g. 1,480,640,3; -1 or None leaves a side free. By default all are."
    )
    flags.add_string("pipeline_config_path", None, "Config that the checkpoint was trained with.", required=True)
    flags.add_string("trained_checkpoint_prefix", None, "Checkpoint, e.g. run/model.ckpt-50000.", required=True)
    flags.add_string("output_directory", None, "Where the export goes.", required=True)
    export.define_config(flags)
    flags.add_bool("write_inference_graph", False, "Not supported.")
    flags.add_string("additional_output_tensor_names", None, "Not supported.")
    exporter_main_v2.define_side_inputs(flags)


def run(given: Given) -> int:
    """Runs the command; returns the exit code."""
    flags = given.flags
    given.refuse_arguments("all arguments are flags, --name=value")
    refuse_given(flags, _REFUSED)
    shape = [size.strip().replace("None", "-1") for size in flags.input_shape] if flags.input_shape else None
    return export.export(flags, flags.trained_checkpoint_prefix, input_key="inputs", input_shape=shape, layout="TF1")
