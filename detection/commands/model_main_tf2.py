"""Train a detector and evaluate it, with the flags of the TF Object Detection API's TF2 trainer.

Like the API it keeps the 7 newest checkpoints; otherwise it is the same as model_main.py.

Examples:
  model_main_tf2.py --pipeline_config_path=my.config --model_dir=run                         train; again: resume
  model_main_tf2.py --pipeline_config_path=my.config --model_dir=run --checkpoint_dir=run    evaluate as they appear
"""

from __future__ import annotations

from detection.commands import model_main
from detection.commands.flags import Flags, Given

ARGUMENTS = ""
_KEPT = 7


def define(flags: Flags) -> None:
    """Adds the command's flags."""
    model_main.define(flags)
    flags.values.set_default("max_checkpoints", _KEPT)


def run(given: Given) -> int:
    """Runs the command; returns the exit code."""
    return model_main.run(given)
