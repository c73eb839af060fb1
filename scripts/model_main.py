#!/usr/bin/env python3
"""Trains a detector and evaluates it, with the flags of the TF Object Detection API's model_main.py and
model_main_tf2.py.

model_main.py --pipeline_config_path=my.config --model_dir=run                            train; again: resume
model_main.py --pipeline_config_path=my.config --model_dir=run --checkpoint_dir=run       only evaluate, as checkpoints
    appear
"""

from __future__ import annotations

from detection import cli  # Before all else: from here on Ctrl-C is one line.

# isort: split
from absl import flags

from detection.errors import ConfigError

FLAGS = flags.FLAGS
flags.DEFINE_string("pipeline_config_path", None, "Config of the model, the data and the training.", required=True)
flags.DEFINE_string(
    "model_dir",
    None,
    "Where checkpoints, events and metrics go; a run that lies there already is resumed.",
    required=True,
)
flags.DEFINE_integer("num_train_steps", None, "Steps in all; by default train_config.num_steps.", lower_bound=1)
flags.DEFINE_multi_string(
    "set", [], "Overrides one field of the config, e.g. --set train_config.batch_size=8; may be repeated."
)
flags.DEFINE_string(
    "hparams_overrides", "", "Several overrides in one, separated by commas: batch_size=8,learning_rate=0.01."
)
flags.DEFINE_bool(
    "allow_config_change", False, "Resume although the config differs from the one this model_dir was started with."
)
flags.DEFINE_bool(
    "allow_unused_checkpoint_variables",
    False,
    "Fine-tune from, or evaluate, a checkpoint of another network than the config's too.",
)

flags.DEFINE_integer("checkpoint_every_n", 1000, "Steps between checkpoints.", lower_bound=1)
flags.DEFINE_integer("max_checkpoints", 5, "Newest checkpoints that are kept.", lower_bound=1)
flags.DEFINE_integer(
    "eval_every_n",
    0,
    "Steps between evaluations; 0: at checkpoints, no sooner than eval_config.eval_interval_secs.",
    lower_bound=0,
)
flags.DEFINE_string(
    "best_metric",
    None,
    "Metric whose best checkpoint is kept in model_dir/best; by default DetectionBoxes_Precision/mAP.",
)
flags.DEFINE_integer(
    "early_stop_after", 0, "Stop after so many evaluations without a better metric; 0: never.", lower_bound=0
)
flags.DEFINE_integer("log_every_n", 100, "Steps between summaries.", lower_bound=1)
flags.DEFINE_bool("record_summaries", True, "Write events for TensorBoard.")

flags.DEFINE_enum(
    "on_bad_record",
    "fail",
    ["fail", "skip"],
    "What to do about records that cannot be used: stop, or name them and go without.",
)
flags.DEFINE_integer(
    "max_bad_records",
    100,
    "With --on_bad_record=skip: more bad records than this, in one input, are an error.",
    lower_bound=0,
)

flags.DEFINE_string("checkpoint_dir", None, "Only evaluate: the checkpoints of this folder.")
flags.DEFINE_bool(
    "run_once", False, "With --checkpoint_dir: evaluate the newest checkpoint and leave, instead of waiting for more."
)
flags.DEFINE_integer(
    "eval_timeout", 3600, "With --checkpoint_dir: seconds without a new checkpoint before leaving.", lower_bound=0
)
flags.DEFINE_integer(
    "max_eval_retries",
    0,
    "With --checkpoint_dir: unreadable checkpoints in a row before that is an error; 0: any.",
    lower_bound=0,
)
flags.DEFINE_bool("eval_training_data", False, "With --checkpoint_dir: evaluate on the training data.")
flags.DEFINE_alias("eval_on_train_data", "eval_training_data")
flags.DEFINE_integer("sample_1_of_n_eval_examples", None, "Evaluate only every n-th image.", lower_bound=1)
flags.DEFINE_integer("sample_1_of_n_eval_on_train_examples", 5, "The same with --eval_training_data.", lower_bound=1)

flags.DEFINE_integer(
    "seed", None, "Makes data order, augmentation and initial weights repeatable, across a resume too."
)
flags.DEFINE_bool("deterministic", False, "The same numbers in every run, bit for bit; slower.")
flags.DEFINE_integer(
    "num_replicas", None, "GPUs to train on, each with its share of a batch; by default all.", lower_bound=1
)
flags.DEFINE_integer("num_workers", 1, "Machines to train on; only 1 is supported.")
flags.DEFINE_bool("use_tpu", False, "Not supported.")
flags.DEFINE_string("tpu_name", None, "Not supported.")


def main(argv: list[str]) -> None:
    if argv[1:]:
        raise ConfigError(f"{argv[1]}: not expected; everything is said with flags, --name=value")
    if FLAGS.use_tpu or FLAGS.tpu_name:
        raise ConfigError("--use_tpu: TPUs are not supported; leave it out to train on GPUs or the CPU")
    if FLAGS.num_workers != 1:
        raise ConfigError(
            f"--num_workers {FLAGS.num_workers}: training on several machines is not supported; use --num_replicas for"
            " several GPUs"
        )
    if not FLAGS.checkpoint_dir:
        for name in ("run_once", "eval_training_data", "max_eval_retries"):
            if FLAGS[name].value:
                raise ConfigError(
                    f"--{name} is about evaluating alone; add --checkpoint_dir=FOLDER, or leave it out to train"
                )
    cli.import_tensorflow()
    import detection
    from detection.train import cluster
    from detection.train import main as trainer
    from detection.train.options import RunOptions

    settings = [*trainer.split_settings(FLAGS.hparams_overrides), *FLAGS.set]
    if FLAGS.num_train_steps is not None:
        settings.append(f"train_config.num_steps={FLAGS.num_train_steps}")
    if FLAGS.sample_1_of_n_eval_examples is not None:
        settings.append(f"sample_1_of_n_eval_examples={FLAGS.sample_1_of_n_eval_examples}")
    options = RunOptions(
        checkpoint_every=FLAGS.checkpoint_every_n,
        evaluate_every=FLAGS.eval_every_n,
        keep_checkpoints=FLAGS.max_checkpoints,
        log_every=FLAGS.log_every_n,
        best_metric=FLAGS.best_metric,
        stop_after=FLAGS.early_stop_after,
        allow_config_change=FLAGS.allow_config_change,
        allow_unused_checkpoint_variables=FLAGS.allow_unused_checkpoint_variables,
        skip_bad_records=FLAGS.on_bad_record == "skip",
        max_bad_records=FLAGS.max_bad_records,
        seed=FLAGS.seed,
        summaries=FLAGS.record_summaries,
    )
    eval_only = FLAGS.checkpoint_dir and trainer.EvalOnly(
        FLAGS.checkpoint_dir,
        run_once=FLAGS.run_once,
        timeout=FLAGS.eval_timeout,
        max_retries=FLAGS.max_eval_retries,
        training_data=FLAGS.eval_training_data,
        sample_1_of_n=FLAGS.sample_1_of_n_eval_on_train_examples,
        allow_unused=FLAGS.allow_unused_checkpoint_variables,
    )
    cluster.refuse()
    pipeline = detection.load_pipeline(FLAGS.pipeline_config_path, settings, check_paths=not FLAGS.checkpoint_dir)
    trainer.run(
        pipeline,
        FLAGS.model_dir,
        options=options,
        eval_only=eval_only or None,
        num_replicas=FLAGS.num_replicas,
        deterministic=FLAGS.deterministic,
    )


if __name__ == "__main__":
    cli.run(main)
