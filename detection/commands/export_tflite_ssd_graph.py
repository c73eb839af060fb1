"""Not supported: exporting graphs for LiteRT (TensorFlow Lite) with the operation TFLite_Detection_PostProcess.

The script accepts the flags of the TF Object Detection API's TF1 exporter for mobile devices, and exits with an error
that suggests an alternative.

Examples:
  export_tflite_ssd_graph.py --pipeline_config_path=run/pipeline.config --output_directory=lite
"""

from __future__ import annotations

from detection.commands.export_tflite_graph_tf2 import REASON
from detection.commands.flags import Flags, Given
from detection.errors import ConfigError

ARGUMENTS = ""


def define(flags: Flags) -> None:
    """Adds the command's flags."""
    flags.add_string("pipeline_config_path", None, "Config that the checkpoint was trained with.")
    flags.add_string("trained_checkpoint_prefix", None, "Checkpoint.")
    flags.add_string("output_directory", None, "Where the graph would go.")
    flags.add_string("config_override", "", "Part of a config in text form.")
    flags.add_integer("max_detections", 10, "Boxes an image.")
    flags.add_integer("max_classes_per_detection", 1, "Classes a box.")
    flags.add_integer("detections_per_class", 100, "Boxes a class.")
    flags.add_bool("add_postprocessing_op", True, "Add the operation that suppresses boxes.")
    flags.add_bool("use_regular_nms", False, "Suppression class by class.")


def run(given: Given) -> int:
    """Runs the command; returns the exit code."""
    raise ConfigError(f"{given.program}: {REASON}")
