"""The list of commands, grouped by purpose."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import NamedTuple

DATA = "Data"
CONFIGS = "Configs"
TRAINING = "Training"
SERVING = "Serving"
RESULTS = "Comparing detectors"
SHELL = "Shell"


class Entry(NamedTuple):
    """One command."""

    name: str
    group: str
    summary: str  # one line of `detection --help`
    script: str = ""  # the equivalent file in scripts/
    command: str = ""  # for a script with its own flags: the equivalent command

    def module(self) -> ModuleType:
        """Imports the command's module; the package's docstring describes its content."""
        return importlib.import_module(f"detection.commands.{self.name}")


COMMANDS = (
    Entry("convert", DATA, "PASCAL VOC or COCO annotations to TFRecords", "create_tf_record.py"),
    Entry("validate", DATA, "find every fault of TFRecords, image by image and box by box", "validate_records.py"),
    Entry("synthetic", DATA, "draw a data set of simple shapes to try things on", "make_synthetic_dataset.py"),
    Entry("propose", DATA, "make region proposals for Fast R-CNN", "make_proposals.py"),
    Entry("proposals", DATA, "measure files of region proposals, merge them, or move their boxes to a grid's"),
    Entry("config", CONFIGS, "list, show or copy the configs and label maps that come with the package"),
    Entry(
        "check", CONFIGS, "explain pipeline configs, or report everything that is wrong with them", "check_config.py"
    ),
    Entry("anchors", CONFIGS, "measure whether anchors fit the boxes of the data, and find better ones"),
    Entry("train", TRAINING, "train a detector, evaluating as it goes; again: resume"),
    Entry("evaluate", TRAINING, "evaluate the checkpoints of a training run"),
    Entry(
        "inspect", TRAINING, "list what a checkpoint holds and what training would start from", "inspect_checkpoint.py"
    ),
    Entry("weights", TRAINING, "turn Caffe's weights (.caffemodel) into a checkpoint to start from"),
    Entry("classify", TRAINING, "classify images with a published ImageNet checkpoint", "classify.py"),
    Entry("compress", SERVING, "compress the fully connected layers of a detector by truncated SVD"),
    Entry("export", SERVING, "turn a checkpoint into a SavedModel", "export_saved_model.py"),
    Entry("detect", SERVING, "find objects in images with an exported detector", "detect.py"),
    Entry("benchmark", RESULTS, "time and memory of detectors, part by part", "benchmark.py"),
    Entry("sweep", RESULTS, "train, evaluate and time every configuration of a grid", "sweep.py"),
    Entry("report", RESULTS, "figures, tables and a page of what a sweep found", "sweep_report.py"),
    Entry(
        "choose", RESULTS, "the most accurate configuration of a sweep within limits of time and memory", "choose.py"
    ),
    Entry("ensemble", RESULTS, "merge several detectors and measure whether that helps", "ensemble.py"),
    Entry("completion", SHELL, "print the completion script of bash, zsh or fish"),
)


def _original(name: str, group: str, summary: str, command: str) -> Entry:
    return Entry(name, group, summary, f"{name}.py", command)


# Programs of the TF Object Detection API with their names and flags. They are scripts, not commands, since their scope
# differs: its trainer, for example, is one program for what are two commands here.
ORIGINALS = (
    _original("model_main", TRAINING, "train, or with --checkpoint_dir evaluate", "train"),
    _original("model_main_tf2", TRAINING, "train, or with --checkpoint_dir evaluate", "train"),
    _original("exporter_main_v2", SERVING, "a SavedModel and checkpoint/ckpt-0, as TF2's exporter", "export"),
    _original(
        "export_inference_graph", SERVING, "a SavedModel, model.ckpt and frozen graph, as TF1's exporter", "export"
    ),
    _original("export_tflite_graph_tf2", SERVING, "not supported; suggests an alternative", "export"),
    _original("export_tflite_ssd_graph", SERVING, "not supported; suggests an alternative", "export"),
    _original("create_pascal_tf_record", DATA, "a PASCAL VOC devkit to one file of records", "convert"),
    _original("create_coco_tf_record", DATA, "COCO to records of its three splits", "convert"),
    _original("create_pet_tf_record", DATA, "the Oxford pets to records for training and validation", "convert"),
    _original("create_kitti_tf_record", DATA, "KITTI to records for training and validation", "convert"),
    _original("create_oid_tf_record", DATA, "Open Images to records", "convert"),
)
BY_NAME = {entry.name: entry for entry in (*COMMANDS, *ORIGINALS)}
BY_SCRIPT = {entry.script: entry for entry in BY_NAME.values() if entry.script}
