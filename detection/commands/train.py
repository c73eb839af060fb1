"""Train a detector with periodic evaluation. The same command again resumes the run in its model_dir.

Examples:
  detection train --pipeline_config_path=my.config --model_dir=run
  detection train --pipeline_config_path=my.config --model_dir=run --set train_config.batch_size=8 --seed=1
  detection train --pipeline_config_path=my.config --model_dir=run --on_bad_record=skip --early_stop_after=5
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from absl.flags import FlagValues

from detection import cli
from detection.commands.flags import Flags, Given, overrides

if TYPE_CHECKING:
    from detection.train.options import RunOptions

ARGUMENTS = ""


def define(flags: Flags) -> None:
    """Adds the command's flags."""
    flags.add_string("pipeline_config_path", None, "Config of model, data and training.", required=True)
    flags.add_string(
        "model_dir",
        None,
        "Folder for checkpoints, events and metrics; an existing run in it is resumed.",
        required=True,
    )
    define_overrides(flags)
    define_training(flags)
    define_bad_records(flags)
    flags.add_integer("sample_1_of_n_eval_examples", None, "Evaluate only every n-th image.", lower_bound=1)
    define_run(flags)


def define_overrides(flags: Flags) -> None:
    """Adds the flags that change the config."""
    flags.add_overrides("Overrides one field of the config, e.g. --set train_config.batch_size=8.")
    flags.add_string(
        "hparams_overrides", "", "Several overrides separated by commas, e.g. batch_size=8,learning_rate=0.01."
    )
    flags.add_bool(
        "allow_unused_checkpoint_variables",
        False,
        "Also fine-tune from, or evaluate, a checkpoint of another network than the config's.",
    )


def define_training(flags: Flags) -> None:
    """Adds the flags that only training uses."""
    flags.add_integer(
        "num_train_steps", None, "Total number of steps; by default train_config.num_steps.", lower_bound=1
    )
    flags.add_bool(
        "allow_config_change", False, "Resume although the config differs from the one this model_dir was started with."
    )
    flags.add_integer("checkpoint_every_n", 1000, "Steps between checkpoints.", lower_bound=1)
    flags.add_integer("max_checkpoints", 5, "Number of newest checkpoints to keep.", lower_bound=1)
    flags.add_enum(
        "checkpoint_format",
        "name",
        ["name", "object"],
        "How checkpoints are written: by name, or object-based as the TF Object Detection API's TF2 trainer does.",
    )
    flags.add_integer(
        "eval_every_n",
        0,
        "Steps between evaluations; 0: at checkpoints, but not before eval_config.eval_interval_secs have passed.",
        lower_bound=0,
    )
    flags.add_string(
        "best_metric",
        None,
        "Metric whose best checkpoint is kept in model_dir/best; by default DetectionBoxes_Precision/mAP.",
    )
    flags.add_integer(
        "early_stop_after",
        0,
        "Stop after this many consecutive evaluations without a better metric; 0: never.",
        lower_bound=0,
    )
    flags.add_integer("log_every_n", 100, "Steps between summaries.", lower_bound=1)
    flags.add_bool("record_summaries", True, "Write events for TensorBoard.")


def define_bad_records(flags: Flags) -> None:
    """Adds the flags on invalid records."""
    flags.add_enum(
        "on_bad_record",
        "fail",
        ["fail", "skip"],
        "What to do with invalid records: stop, or report and skip them.",
    )
    flags.add_integer(
        "max_bad_records",
        100,
        "With --on_bad_record=skip: maximum number of invalid records per input.",
        lower_bound=0,
    )


def define_run(flags: Flags) -> None:
    """Adds the flags on seeds and devices."""
    flags.add_integer(
        "seed", None, "Makes data order, augmentation and initial weights reproducible, also across a resume."
    )
    flags.add_bool("deterministic", False, "Make runs bit-for-bit reproducible; slower.")
    flags.add_integer(
        "num_replicas", None, "Number of GPUs to train on, which share each batch; by default all.", lower_bound=1
    )


def run(given: Given) -> int:
    """Runs the command; returns the exit code."""
    given.refuse_arguments("all arguments are flags, --name=value")
    cli.import_tensorflow()
    import detection
    from detection.train import cluster
    from detection.train import main as trainer

    flags = given.flags
    cluster.refuse()
    trainer.run(
        detection.load_pipeline(flags.pipeline_config_path, settings(flags)),
        flags.model_dir,
        options=options(flags),
        num_replicas=flags.num_replicas,
        deterministic=flags.deterministic,
    )
    return 0


def settings(flags: FlagValues) -> list[str]:
    """The config overrides given by flags, as `path=value`."""
    from detection.train import main as trainer

    found = [*trainer.split_settings(flags.hparams_overrides), *overrides(flags)]
    for name, field in (
        ("num_train_steps", "train_config.num_steps"),
        ("sample_1_of_n_eval_examples", "sample_1_of_n_eval_examples"),
    ):
        if name in flags and flags[name].value is not None:
            found.append(f"{field}={flags[name].value}")
    return found


def options(flags: FlagValues) -> RunOptions:
    """The options of the run given by flags."""
    from detection.train.options import RunOptions

    return RunOptions(
        checkpoint_every=flags.checkpoint_every_n,
        evaluate_every=flags.eval_every_n,
        keep_checkpoints=flags.max_checkpoints,
        checkpoint_format=flags.checkpoint_format,
        log_every=flags.log_every_n,
        best_metric=flags.best_metric,
        stop_after=flags.early_stop_after,
        allow_config_change=flags.allow_config_change,
        allow_unused_checkpoint_variables=flags.allow_unused_checkpoint_variables,
        skip_bad_records=flags.on_bad_record == "skip",
        max_bad_records=flags.max_bad_records,
        seed=flags.seed,
        summaries=flags.record_summaries,
    )
