"""Evaluate a checkpoint, or the newest one of a training run, on the config's evaluation input.

Examples:
  detection evaluate --pipeline_config_path=run/pipeline.config --checkpoint_dir=run
  detection evaluate --pipeline_config_path=run/pipeline.config --checkpoint_dir=run --watch     during a training
  detection evaluate --pipeline_config_path=my.config --checkpoint_dir=run/best --model_dir=results
"""

from __future__ import annotations

import os

from detection import cli
from detection.commands import train
from detection.commands.flags import Flags, Given

ARGUMENTS = ""


def define(flags: Flags) -> None:
    """Adds the command's flags."""
    flags.add_string("pipeline_config_path", None, "Config of the model and the data.", required=True)
    flags.add_string(
        "checkpoint_dir", None, "Folder whose newest checkpoint is evaluated, or one checkpoint.", required=True
    )
    flags.add_string("model_dir", None, "Folder for results, in eval/; by default the checkpoint's folder.")
    train.define_overrides(flags)
    train.define_bad_records(flags)
    flags.add_bool("watch", False, "Wait for new checkpoints and evaluate each, instead of only the newest.")
    define_evaluation(flags)
    flags.add_bool("deterministic", False, "Make runs bit-for-bit reproducible; slower.")


def define_evaluation(flags: Flags, condition: str = "") -> None:
    """Adds the flags that only evaluation uses; `condition` is prefixed to their help."""
    flags.add_integer(
        "eval_timeout",
        3600,
        f"{condition}When waiting: exit after this many seconds without a new checkpoint.",
        lower_bound=0,
    )
    flags.add_integer(
        "max_eval_retries",
        0,
        f"{condition}When waiting: fail after this many consecutive unreadable checkpoints; 0: never.",
        lower_bound=0,
    )
    flags.add_bool("eval_training_data", False, f"{condition}Evaluate on the training data.")
    flags.add_alias("eval_on_train_data", "eval_training_data")
    flags.add_integer("sample_1_of_n_eval_examples", None, "Evaluate only every n-th image.", lower_bound=1)
    flags.add_integer(
        "sample_1_of_n_eval_on_train_examples",
        5,
        "With --eval_training_data: evaluate only every n-th image.",
        lower_bound=1,
    )


def run(given: Given) -> int:
    """Runs the command; returns the exit code."""
    given.refuse_arguments("all arguments are flags, --name=value")
    flags = given.flags
    folder = flags.checkpoint_dir if os.path.isdir(flags.checkpoint_dir) else os.path.dirname(flags.checkpoint_dir)
    return evaluate(given, flags.model_dir or folder or ".", run_once=not flags.watch)


def evaluate(given: Given, model_dir: str, *, run_once: bool) -> int:
    """Runs the evaluation that the flags describe; results go to `model_dir`."""
    cli.import_tensorflow()
    import detection
    from detection.train import cluster
    from detection.train import main as trainer
    from detection.train.options import RunOptions

    flags = given.flags
    cluster.refuse()
    trainer.run(
        detection.load_pipeline(flags.pipeline_config_path, train.settings(flags), check_paths=False),
        model_dir,
        options=RunOptions(
            skip_bad_records=flags.on_bad_record == "skip",
            max_bad_records=flags.max_bad_records,
        ),
        eval_only=trainer.EvalOnly(
            flags.checkpoint_dir,
            run_once=run_once,
            timeout=flags.eval_timeout,
            max_retries=flags.max_eval_retries,
            training_data=flags.eval_training_data,
            sample_1_of_n=flags.sample_1_of_n_eval_on_train_examples,
            allow_unused=flags.allow_unused_checkpoint_variables,
        ),
        deterministic=flags.deterministic,
    )
    return 0
