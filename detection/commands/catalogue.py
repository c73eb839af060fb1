"""Which commands there are, by what people do with them."""

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
    script: str = ""  # the file of scripts/ that does the same

    def module(self) -> ModuleType:
        """Its module, imported now; see the package's docstring for what is in it."""
        return importlib.import_module(f"detection.commands.{self.name}")


COMMANDS = (
    Entry("convert", DATA, "PASCAL VOC or COCO annotations to TFRecords", "create_tf_record.py"),
    Entry("validate", DATA, "find every fault of TFRecords, image by image and box by box", "validate_records.py"),
    Entry("synthetic", DATA, "draw a data set of simple shapes to try things on", "make_synthetic_dataset.py"),
    Entry("propose", DATA, "make region proposals for Fast R-CNN", "make_proposals.py"),
    Entry("config", CONFIGS, "list, show or copy the configs and label maps that come with the package"),
    Entry(
        "check", CONFIGS, "explain pipeline configs, or report everything that is wrong with them", "check_config.py"
    ),
    Entry("train", TRAINING, "train a detector, evaluating as it goes; again: resume"),
    Entry("evaluate", TRAINING, "evaluate the checkpoints of a training run"),
    Entry(
        "inspect", TRAINING, "list what a checkpoint holds and what training would start from", "inspect_checkpoint.py"
    ),
    Entry("classify", TRAINING, "classify images with a published ImageNet checkpoint", "classify.py"),
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
# The trainer of the TF Object Detection API has one command for what is two here.
MODEL_MAIN = Entry("model_main", TRAINING, "train, or with --checkpoint_dir evaluate", "model_main.py")
BY_NAME = {entry.name: entry for entry in (*COMMANDS, MODEL_MAIN)}
BY_SCRIPT = {entry.script: entry for entry in BY_NAME.values() if entry.script}
