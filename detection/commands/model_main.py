"""Train a detector and evaluate it, with the flags of the TF Object Detection API's trainers.

These are model_main.py and model_main_tf2.py. `detection train` and `detection evaluate` do the same as separate
commands.

Examples:
  model_main.py --pipeline_config_path=my.config --model_dir=run                           train; again: resume
  model_main.py --pipeline_config_path=my.config --model_dir=run --checkpoint_dir=run      evaluate as they appear
"""

from __future__ import annotations

from absl import logging
from absl.flags import FlagValues

from detection.commands import evaluate, train
from detection.commands.flags import Flags, Given
from detection.errors import ConfigError

ARGUMENTS = ""
_EVALUATION_ONLY = ("run_once", "eval_training_data", "max_eval_retries")


def define(flags: Flags) -> None:
    """Adds the command's flags."""
    flags.add_string("pipeline_config_path", None, "Config of model, data and training.", required=True)
    flags.add_string(
        "model_dir",
        None,
        "Folder for checkpoints, events and metrics; an existing run in it is resumed.",
        required=True,
    )
    train.define_overrides(flags)
    train.define_training(flags)
    train.define_bad_records(flags)
    flags.add_string("checkpoint_dir", None, "Only evaluate: the checkpoints of this folder.")
    flags.add_bool(
        "run_once", False, "With --checkpoint_dir: evaluate the newest checkpoint instead of waiting for more."
    )
    evaluate.define_evaluation(flags, "With --checkpoint_dir: ")
    train.define_run(flags)
    flags.add_integer("num_eval_steps", None, "No effect: all images of eval_input_reader are evaluated.")
    flags.add_integer("num_workers", 1, "Machines to train on; only 1 is supported.")
    flags.add_bool("use_tpu", False, "Not supported.")
    flags.add_string("tpu_name", None, "Not supported.")


def run(given: Given) -> int:
    """Runs the command; returns the exit code."""
    flags = given.flags
    if given.arguments:
        raise ConfigError(f"{given.arguments[0]}: not expected; all arguments are flags, --name=value")
    _refuse_unsupported(flags)
    if flags.num_eval_steps is not None:  # Of the trainer of 2018, which tutorials still pass.
        logging.warning(
            "--num_eval_steps=%d has no effect: all images are evaluated; --sample_1_of_n_eval_examples takes fewer",
            flags.num_eval_steps,
        )
    if flags.checkpoint_dir:
        return evaluate.evaluate(given, flags.model_dir, run_once=flags.run_once)
    for name in _EVALUATION_ONLY:
        if flags[name].value:
            raise ConfigError(
                f"--{name} applies only to evaluation; add --checkpoint_dir=FOLDER, or leave it out to train"
            )
    return train.run(given)


def _refuse_unsupported(flags: FlagValues) -> None:
    if flags.use_tpu or flags.tpu_name:
        raise ConfigError("--use_tpu: TPUs are not supported; leave it out to train on GPUs or the CPU")
    if flags.num_workers != 1:
        raise ConfigError(
            f"--num_workers {flags.num_workers}: training on several machines is not supported; use --num_replicas for"
            " several GPUs"
        )
