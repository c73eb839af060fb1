"""Trains a pipeline into a model_dir.

    model_dir/pipeline.config         the config as run
    model_dir/model.ckpt-<step>.*     checkpoints, and `checkpoint`, which names the newest for TensorFlow's tools
    model_dir/best/                   the checkpoint with the best metric so far, and best.json
    model_dir/train/                  events: losses, learning rate, speed
    model_dir/eval/                   events, metrics.json, metrics.jsonl

A run that is started again in its model_dir resumes from the last checkpoint; with a seed, on the same data in the same
order.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from typing import TextIO

import tensorflow as tf
from absl import logging

from detection import files
from detection.errors import ConfigError
from detection.optimizers.schedules import CosineDecay
from detection.pipeline import Pipeline
from detection.train import cluster, run_dir, skipping, strategies
from detection.train.callbacks import Callbacks
from detection.train.memory import out_of_memory
from detection.train.options import RunOptions
from detection.train.run import Run


def train(
    pipeline: Pipeline,
    model_dir: str | os.PathLike,
    *,
    num_steps: int | None = None,
    options: RunOptions | None = None,
    strategy: tf.distribute.Strategy | None = None,
    stream: TextIO | None = None,
    callbacks: Callbacks | None = None,
) -> dict[str, float]:
    """Trains until `num_steps` (counted from step 0 of the model_dir, not from this call) and evaluates.

    Args:
      pipeline: the detector, its settings and its inputs.
      model_dir: folder for checkpoints and results; created if it does not exist.
      num_steps: None takes train_config.num_steps; 0 there means until stopped.
      options: settings of this run; None takes the defaults.
      strategy: None takes all accelerators of this machine, or the CPU.
      stream: receives progress lines; None takes standard error.
      callbacks: functions called after steps, checkpoints and evaluations.

    Returns:
      Tag -> value of the last evaluation, or of the last losses if the config has no evaluation input.

    Raises:
      ConfigError: the config, a path or an option is wrong.
      DataError: a record cannot be used.
      DivergedError: the loss was not finite for too many steps in a row.
      ModelDirInUseError: another process trains in model_dir.
      Interrupted: the run was stopped by a signal.
    """
    if pipeline.train is None or pipeline.train_input is None:
        raise ConfigError(
            f"the config has no {'train_config' if pipeline.train is None else 'train_input_reader'}; training"
            " needs one"
        )
    cluster.refuse()
    options = RunOptions() if options is None else options
    stream = sys.stderr if stream is None else stream
    settings = pipeline.train if num_steps is None else dataclasses.replace(pipeline.train, num_steps=num_steps)
    schedule = settings.optimizer.schedule
    if num_steps is not None and isinstance(schedule, CosineDecay) and schedule.total_steps < num_steps:
        logging.warning(
            "num_steps (%d) is more than the total_steps (%d) of cosine_decay_learning_rate: after those the learning"
            " rate is 0 and nothing more is learnt; set total_steps to num_steps",
            num_steps,
            schedule.total_steps,
        )
    pipeline = dataclasses.replace(pipeline, train=settings)
    strategy = strategies.choose() if strategy is None else strategy
    strategies.check_batch(settings.batch_size, strategy)
    try:
        with run_dir.claimed(model_dir) as folder:
            if options.skip_bad_records:
                pipeline = skipping.without_bad_records(pipeline, folder, options.max_bad_records, stream)
            return _run(Run(pipeline, folder, options, strategy, stream, callbacks or Callbacks()))
    except OSError as error:
        place = files.explain(error)
        if place is None:
            raise
        raise ConfigError(f"{place}; check the path and the free space") from error


def _run(run: Run) -> dict[str, float]:
    """Trains to the end; turns exhausted memory or disk space into a ConfigError."""
    try:
        return run.to_the_end()
    except tf.errors.ResourceExhaustedError as error:
        if (place := files.explain(error)) is not None:  # TensorFlow raises the same error for memory and disks.
            raise ConfigError(f"{place}; make room and start again") from error
        when, field = f"step {run.step_number}", "train_config.batch_size"
        raise out_of_memory(when, field, run.settings.batch_size, run.pipeline.text, error) from error
    finally:
        run.close()
