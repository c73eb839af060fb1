"""The work of `detection train`: trains a pipeline, or evaluates its checkpoints."""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from pathlib import Path
from typing import NamedTuple

import tensorflow as tf

from detection.errors import ConfigError
from detection.pipeline import Pipeline
from detection.train import cluster, skipping, strategies
from detection.train.evaluation import evaluate_checkpoints
from detection.train.loop import train
from detection.train.options import RunOptions

TRAINING_DATA = "training_data"  # folder of model_dir for results on the training data, apart from the held-out ones
_NAMED = re.compile(r"\s*[\w.]+(?:\[\d+\])?\s*\+?=")


class EvalOnly(NamedTuple):
    """Settings of an evaluation without training."""

    checkpoint_dir: str
    run_once: bool = False
    timeout: float = 3600.0  # seconds without a new checkpoint
    max_retries: int = 0
    training_data: bool = False  # evaluate on the training input
    sample_1_of_n: int = 5  # of the training input
    allow_unused: bool = False  # checkpoints of another network too


def run(
    pipeline: Pipeline,
    model_dir: str,
    *,
    options: RunOptions | None = None,
    eval_only: EvalOnly | None = None,
    num_replicas: int | None = None,
    deterministic: bool = False,
) -> dict[str, float]:
    """Trains, or evaluates the checkpoints of `eval_only`.

    Args:
      pipeline: the detector, its settings and its inputs.
      model_dir: folder for checkpoints and results.
      options: settings of this run; None takes the defaults.
      eval_only: evaluate these checkpoints; None trains.
      num_replicas: accelerators to train on; None takes all.
      deterministic: make runs reproducible bit for bit, which is slower; sets the seed to 0 if there is none.

    Returns:
      Tag -> value of the last evaluation.
    """
    cluster.refuse()
    options = RunOptions() if options is None else options
    if deterministic:
        options = dataclasses.replace(options, seed=0 if options.seed is None else options.seed)
        tf.config.experimental.enable_op_determinism()
    if eval_only is None:
        return train(pipeline, model_dir, options=options, strategy=strategies.choose(num_replicas))
    if eval_only.training_data:
        pipeline = _on_training_data(pipeline, eval_only.sample_1_of_n)
        model_dir = os.path.join(model_dir, TRAINING_DATA)
    if options.skip_bad_records:
        pipeline = skipping.without_bad_records(
            pipeline, Path(model_dir) / "eval", options.max_bad_records, sys.stderr, training=False
        )
    return evaluate_checkpoints(
        pipeline,
        eval_only.checkpoint_dir,
        model_dir,
        run_once=eval_only.run_once,
        timeout=eval_only.timeout,
        max_retries=eval_only.max_retries,
        allow_unused=eval_only.allow_unused,
    )


def split_settings(text: str) -> list[str]:
    """Splits the settings of one flag, `a=1,b=[2,3]`, at commas outside brackets that a name and `=` follow."""
    parts, end, inside = [], len(text), False
    # From the end: a comma is inside brackets if the next bracket after it closes.
    for position in range(len(text) - 1, -1, -1):
        if text[position] in "[]{}":
            inside = text[position] in "]}"
        elif text[position] == "," and not inside and _NAMED.match(text, position + 1):
            parts.append(text[position + 1 : end])
            end = position
    return [part for part in (text[:end], *reversed(parts)) if part.strip()]


def _on_training_data(pipeline: Pipeline, sample_1_of_n: int) -> Pipeline:
    if pipeline.train_input is None:
        raise ConfigError("--eval_training_data: the config has no train_input_reader")
    options = dataclasses.replace(
        pipeline.train_input, shuffle=False, num_epochs=1, sample_1_of_n_examples=sample_1_of_n
    )
    return dataclasses.replace(pipeline, eval_inputs=(options,))
