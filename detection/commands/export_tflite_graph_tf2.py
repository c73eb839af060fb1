"""Not supported: exporting graphs for LiteRT (TensorFlow Lite) with the operation TFLite_Detection_PostProcess.

The script accepts the flags of the TF Object Detection API's TF2 exporter for mobile devices, and exits with an error
that suggests an alternative.

Examples:
  export_tflite_graph_tf2.py --pipeline_config_path=run/pipeline.config --output_directory=lite
"""

from __future__ import annotations

from detection.commands.flags import Flags, Given
from detection.errors import ConfigError

ARGUMENTS = ""
REASON = (
    "the graph with TFLite_Detection_PostProcess cannot be written; export a SavedModel with exporter_main_v2.py"
    " instead, and convert it with tf.lite.TFLiteConverter.from_saved_model and target_spec.supported_ops ="
    " [TFLITE_BUILTINS, SELECT_TF_OPS]; such a model runs where the Flex delegate is linked"
)


def define(flags: Flags) -> None:
    """Adds the command's flags."""
    flags.add_string("pipeline_config_path", None, "Config that the checkpoint was trained with.")
    flags.add_string("trained_checkpoint_dir", None, "Folder of the checkpoint.")
    flags.add_string("output_directory", None, "Where the graph would go.")
    flags.add_string("config_override", "", "Part of a config in text form.")
    flags.add_integer("max_detections", 10, "Boxes an image.")
    flags.add_bool("ssd_use_regular_nms", False, "Suppression class by class.")
    flags.add_bool("ssd_add_postprocessing_op", True, "Add the operation that suppresses boxes.")
    flags.add_bool("centernet_include_keypoints", False, "Not supported.")
    flags.add_string("keypoint_label_map_path", None, "Not supported.")


def run(given: Given) -> int:
    """Runs the command; returns the exit code."""
    raise ConfigError(f"{given.program}: {REASON}")
