"""Evaluates a pipeline's detector during training, or follows the checkpoints that another process writes."""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import tensorflow as tf
from absl import logging

from detection import files
from detection.checkpoints import rotation
from detection.checkpoints.checkpoint_files import UnreadableCheckpointError
from detection.data.reading.corrections import Corrections
from detection.data.reading.input import eval_dataset
from detection.data.reading.iteration import translate
from detection.data.reading.streams import count_records
from detection.errors import ConfigError
from detection.evaluate.loop import EvalStep, evaluate
from detection.evaluate.metrics import evaluators
from detection.pipeline import Detector, Pipeline
from detection.train import cluster
from detection.train.memory import out_of_memory
from detection.train.summaries import Summaries

_POLL_SECONDS = 5.0


class Evaluation:
    """Evaluates one detector repeatedly; the detector and the input are traced once.

    Results are written to `<model_dir>/eval`.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        detector: Detector,
        model_dir: Path,
        summaries: bool = True,
        stream: TextIO | None = None,
    ) -> None:
        self._pipeline, self._detector, self._model_dir, self._stream = pipeline, detector, model_dir, stream
        settings = pipeline.evaluate
        try:
            (model_dir / "eval").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"--model_dir {model_dir}: cannot be written ({files.reason(error)}); choose another folder, or make"
                " room"
            ) from error
        self._corrections, self._logged_corrections = Corrections(), set()
        self._dataset = eval_dataset(
            pipeline.eval_input, pipeline.eval_resizer, settings.batch_size, corrections=self._corrections
        )
        self._evaluators = evaluators(settings, pipeline.eval_categories)
        regularize = pipeline.train is None or pipeline.train.regularize
        self._step = EvalStep(detector, settings.losses and not settings.ignore_groundtruth, regularize)
        self._summaries = Summaries(model_dir / "eval", summaries)
        self.last_step: int | None = None
        self.unwritten: list[str] = []  # results of the last evaluation that could not be written, and why
        self._ended = time.monotonic()

    def run(self, step: int, weights: contextlib.AbstractContextManager | None = None) -> dict[str, float]:
        """Evaluates the detector.

        Args:
          step: the step of its weights.
          weights: a context manager inside which the detector is evaluated (moving averages); None evaluates it as is.

        Returns:
          Tag -> value.

        Raises:
          DataError: the evaluation input has no image, or one that cannot be read.
          ConfigError: the memory is too small for a batch.
        """
        self.unwritten = []
        try:
            with weights or contextlib.nullcontext():
                metrics = evaluate(
                    self._detector,
                    self._dataset,
                    self._evaluators,
                    self._pipeline.eval_categories,
                    settings=self._pipeline.evaluate,
                    step=step,
                    model_dir=self._model_dir,
                    writer=self._summaries.writer,
                    total=count_records(self._pipeline.eval_input),
                    eval_step=self._step,
                    stream=self._stream,
                    unwritten=self.unwritten,
                )
        except tf.errors.ResourceExhaustedError as error:
            when, batch_size = f"evaluation of step {step}", self._pipeline.evaluate.batch_size
            raise out_of_memory(when, "eval_config.batch_size", batch_size, self._pipeline.text, error) from error
        except tf.errors.OpError as error:
            data_error = translate(error, self._pipeline.eval_input)
            if data_error is None:
                raise
            raise data_error from error
        self._log_corrections()
        self.last_step, self._ended = step, time.monotonic()
        return metrics

    def _log_corrections(self) -> None:
        """Logs the corrections made to the records, each line only once, as every evaluation reads the same records."""
        for line in self._corrections.lines().values():
            if line not in self._logged_corrections:
                self._logged_corrections.add(line)
                logging.warning("evaluation records: %s", line)

    def seconds_ago(self) -> float:
        """Seconds since the last evaluation, or since this object was created."""
        return time.monotonic() - self._ended

    def close(self) -> None:
        """Closes the event files."""
        self._summaries.close()


def evaluate_checkpoints(
    pipeline: Pipeline,
    checkpoint_dir: str | os.PathLike,
    model_dir: str | os.PathLike,
    *,
    run_once: bool = False,
    timeout: float = 3600.0,
    max_retries: int = 0,
    allow_unused: bool = False,
    stream: TextIO | None = None,
) -> dict[str, float]:
    """Evaluates the newest checkpoint of a folder and, unless `run_once`, every newer one that appears.

    Stops after the checkpoint of the config's last step, or if no new one has appeared for `timeout` seconds.

    Args:
      pipeline: the detector and its evaluation input.
      checkpoint_dir: a folder another process trains in; with `run_once` also a checkpoint's prefix.
      model_dir: results are written to its folder `eval`.
      run_once: evaluate only the newest checkpoint.
      timeout: seconds to wait for a new checkpoint.
      max_retries: consecutive checkpoints that may be unreadable (a trainer may delete one while it is being read)
          before that is an error; 0: any number.
      allow_unused: as in `Pipeline.restore`.
      stream: receives progress lines; None for standard error.

    Returns:
      Tag -> value of the last evaluation.

    Raises:
      ConfigError: there is no evaluation input, the checkpoint is of another model, no checkpoint appeared in time, the
          one to evaluate is unreadable (with `run_once`), or the results of the last evaluation could not be written.
    """
    cluster.refuse()
    if pipeline.eval_input is None:
        raise ConfigError("the config has no eval_input_reader; evaluation needs one")
    detector = pipeline.detector()
    load = functools.partial(pipeline.restore, detector, allow_unused=allow_unused)
    with contextlib.closing(Evaluation(pipeline, detector, Path(model_dir), stream=stream)) as evaluation:
        if run_once:
            metrics = evaluation.run(load(checkpoint_dir))
        else:
            metrics = _follow(pipeline, load, evaluation, checkpoint_dir, timeout, max_retries)
        if evaluation.unwritten:
            raise ConfigError(
                f"{evaluation.unwritten[0]}; make room, or choose another --model_dir, and evaluate again"
            )
        return metrics


def _follow(
    pipeline: Pipeline,
    load: Callable[[Path], int],
    evaluation: Evaluation,
    checkpoint_dir: str | os.PathLike,
    timeout: float,
    max_retries: int,
) -> dict[str, float]:
    """Evaluates checkpoints as they appear; see `evaluate_checkpoints`. `load` restores a checkpoint."""
    if not os.path.isdir(checkpoint_dir):
        logging.warning(
            "--checkpoint_dir=%s: no such folder yet; waiting for it and its first checkpoint", checkpoint_dir
        )
    metrics, last_evaluated, failures, deadline = {}, None, 0, time.monotonic() + timeout
    while time.monotonic() < deadline:
        steps, start = rotation.steps_in(checkpoint_dir), time.monotonic()
        if steps and steps[-1] != last_evaluated:
            try:
                load(rotation.prefix_in(checkpoint_dir, steps[-1]))
            except UnreadableCheckpointError as error:
                failures += 1
                if 0 < max_retries < failures:
                    raise
                logging.warning("%s; waiting for the next one", error)
            else:
                metrics, last_evaluated, failures = evaluation.run(steps[-1]), steps[-1], 0
                if pipeline.train is not None and 0 < pipeline.train.num_steps <= last_evaluated:
                    return metrics  # The followed training run has finished.
                deadline = time.monotonic() + timeout
                time.sleep(max(0.0, min(start + pipeline.evaluate.interval_seconds, deadline) - time.monotonic()))
                continue
        time.sleep(min(_POLL_SECONDS, timeout))
    if last_evaluated is None:
        raise ConfigError(
            f"--checkpoint_dir={os.fspath(checkpoint_dir)}: no checkpoint that can be read appeared within {timeout:g}"
            " seconds; check the path, or raise --eval_timeout"
        )
    return metrics
