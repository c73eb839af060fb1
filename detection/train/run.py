"""A training run in one process: restore, then step, check losses, save and evaluate until the last step.

See `train.loop` for the contents of a model_dir.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TextIO, TypeVar

import keras
import tensorflow as tf
from absl import logging

from detection import files
from detection.checkpoints import loading
from detection.checkpoints.rotation import Checkpoints
from detection.data.reading.corrections import Corrections
from detection.data.reading.input import train_dataset
from detection.data.reading.iteration import iterate
from detection.data.reading.streams import count_records
from detection.errors import ConfigError, DataError
from detection.pipeline import Pipeline
from detection.progress import Progress
from detection.train import frozen, run_dir
from detection.train.best import Best
from detection.train.callbacks import Callbacks, CheckpointSaved, EvaluationDone, StepDone, StopTraining
from detection.train.evaluation import Evaluation
from detection.train.feed import Feed
from detection.train.interrupt import Interrupted, StopRequest
from detection.train.losses_watch import LossesWatch
from detection.train.options import OBJECT, RunOptions
from detection.train.state import TrainState
from detection.train.step import TrainStep
from detection.train.summaries import Summaries
from detection.types import Example

# For the normalisation of box codes: with thousands of boxes, mean and deviation no longer change.
_MEASURED_IMAGES = 1000
_LOOK_EVERY = 10  # steps; often enough to see divergence soon, rarely enough not to stall an accelerator


Event = TypeVar("Event", StepDone, CheckpointSaved, EvaluationDone)


class Run:
    """A training run in one process."""

    def __init__(
        self,
        pipeline: Pipeline,
        folder: Path,
        options: RunOptions,
        strategy: tf.distribute.Strategy,
        stream: TextIO | None,
        callbacks: Callbacks,
    ) -> None:
        self.pipeline, self.settings, self.folder, self.options, self.strategy = (
            pipeline,
            pipeline.train,
            folder,
            options,
            strategy,
        )
        self.stream = sys.stderr if stream is None else stream
        self.callbacks, self.stopped_by_callback = callbacks, ""
        self.progress: Progress | None = None
        self.data_ended = False
        self.examples: Generator[Example] | None = None
        self.watch: LossesWatch | None = None
        if options.seed is not None:
            keras.utils.set_random_seed(options.seed)
        self.checkpoints = Checkpoints(folder, options.keep_checkpoints, self.settings.keep_every_hours)
        resumed = self.checkpoints.read_newest()
        run_dir.settle_config(
            folder, pipeline.text, resumed is not None, options.allow_config_change, pipeline.source or None
        )
        with strategy.scope():
            self.detector = pipeline.detector()
            names = [variable.path for variable in self.detector.trainable_variables]
            frozen.check(self.settings, names)
            self.state = TrainState(self.detector, self.settings.optimizer, self.settings.is_trained)
        if options.checkpoint_format == OBJECT:
            self.state.check_object_based()
        self.step_number = self._restore(resumed)
        if frozen_summary := frozen.summary(self.settings, names):
            self._say(frozen_summary)
        self.saved_step = self.step_number if resumed else None
        self.summaries = Summaries(folder / "train", options.summaries)
        self.evaluation = (
            Evaluation(pipeline, self.detector, folder, options.summaries, stream) if pipeline.eval_input else None
        )
        if resumed is not None:
            self.checkpoints.finish_rotation(self.step_number)
        self.evaluation_due = self.evaluation is not None and run_dir.evaluation_is_due(folder, self.saved_step)
        evaluated = None if resumed is None else self.step_number - self.evaluation_due
        self.best = Best(folder, options.best_metric, options.stop_after, resumed_at=evaluated)
        self.metrics: dict[str, float] = {}  # of the last evaluation
        self.losses: dict[str, float] = {}  # means of the last steps

    def to_the_end(self) -> dict[str, float]:
        """Runs the whole training.

        Returns:
          Tag -> value of the last evaluation, or of the last losses if there is no evaluation input.

        Raises:
          ConfigError, DataError, DivergedError, Interrupted: as in `train.loop.train`.
        """
        with StopRequest() as stop:
            if not self._is_done():
                self._open_input()
                with self._show_progress():
                    if self.evaluation_due:  # The previous process was stopped during this evaluation.
                        self._evaluate(stop)
                    while not self._is_over():
                        self._make_step()
                        self._check_and_log()
                        self.evaluation_due = self._evaluation_is_due()
                        if self.evaluation_due or self._is_due(self.options.checkpoint_every):
                            self._save()
                        if stop.signal_number is not None:
                            self._save(must_succeed=True, interim=True)
                            raise Interrupted(self._stopped(f"by signal {stop.signal_number}"), stop.signal_number)
                        if self.evaluation_due:
                            self._evaluate(stop)
                    self._save(must_succeed=True)
            if self.evaluation is not None and self.evaluation.last_step != self.step_number:
                self._evaluate(stop)
            if self.evaluation is not None and self.evaluation.unwritten:
                raise ConfigError(
                    f"{self.evaluation.unwritten[0]}; the last checkpoint is {self._last_checkpoint()}; make room and"
                    " start again"
                )
        self._say(self._stopped(self._reason()))
        return self.metrics or self.losses

    def close(self) -> None:
        """Closes the input and the event files."""
        if self.examples is not None:
            self.examples.close()  # This logs the corrections made to the records.
        self.summaries.close()
        if self.evaluation is not None:
            self.evaluation.close()

    def _restore(self, resumed: tuple[int, dict] | None) -> int:
        """Restores the run's own checkpoint, or else the one to fine-tune; returns the step to continue from."""
        if resumed is not None:
            step, values = resumed
            self.state.load(step, values, self.checkpoints.prefix(step), lenient=self.options.allow_config_change)
            self._say(f"resuming from {self.checkpoints.prefix(step)}")
            return step
        start = self.settings.fine_tune
        if start is not None:
            allow_unused = self.options.allow_unused_checkpoint_variables
            report = loading.start_from(self.detector, start, allow_unused=allow_unused)
            self._say(f"starting from {start.path} ({start.kind}):\n{report.table()}")
        self.state.start_averages()
        return 0

    def _open_input(self) -> None:
        seed, corrections = self.options.seed, Corrections()
        dataset = train_dataset(
            self.pipeline.train_input,
            self.pipeline.augmentations,
            self.pipeline.resizer,
            self.settings.batch_size,
            seed,
            start_step=0 if seed is None else self.step_number,
            corrections=corrections,
        )
        if self.step_number == 0 and self.detector.measures_targets:
            self._measure_targets(dataset)
        if self.strategy.num_replicas_in_sync > 1:
            dataset = self.strategy.experimental_distribute_dataset(dataset)
        self.examples = iterate(dataset, self.pipeline.train_input, corrections)
        self.feed = Feed(self.examples)
        self.step = TrainStep(self.state, self.settings, self.strategy, dataset.element_spec)
        self.watch = LossesWatch(
            lambda: self.step.tags,
            self.options.max_nonfinite_steps,
            self.folder,
            self.strategy.experimental_local_results,
        )

    def _measure_targets(self, dataset: tf.data.Dataset) -> None:
        """Before the first step, measures mean and deviation of the box codes on a sample of the training data."""
        images = count_records(self.pipeline.train_input) or _MEASURED_IMAGES
        batches = -(-min(images, _MEASURED_IMAGES) // self.settings.batch_size)
        counts = self.detector.measure_targets(iterate(dataset.take(batches), self.pipeline.train_input, Corrections()))
        self._say(
            f"box codes are normalised by {int(tf.reduce_sum(counts))} matched proposals of"
            f" {batches * self.settings.batch_size} images"
        )

    def _show_progress(self) -> Progress:
        total, every = self.settings.num_steps or None, self.options.progress_seconds
        self.progress = Progress(total, "step", label="train", start=self.step_number, every=every, stream=self.stream)
        return self.progress

    def _make_step(self) -> None:
        """Does one step, or sets `data_ended` if there is no more data."""
        try:
            example = self.feed.next()
        except StopIteration:
            if self.step_number == 0:
                raise ConfigError(
                    f"{self._epochs()} do not fill one batch of train_config.batch_size {self.settings.batch_size};"
                    " raise num_epochs or lower batch_size"
                ) from None
            self.data_ended = True
            return
        except DataError:
            self._save(interim=True)
            raise
        traces = self.step.traces
        result = self.step(example)
        self.step_number += 1
        self.watch.add(self.step_number, result, example.info.source_ids)
        self.progress.update()
        if self.step.traces > traces:
            self.feed.restart_clock()
        self._call(self.callbacks.step, StepDone(self.step_number, lambda: self.step.by_tag(result), self.detector))

    def _check_and_log(self) -> None:
        log = self._is_due(self.options.log_every)
        if log or self._is_due(_LOOK_EVERY):
            self._check_losses()
        if log:
            values = self.watch.means()
            self.losses = {tag: value for tag, value in values.items() if tag.startswith("Loss/")} or self.losses
            speed = self.feed.speed()
            if speed is not None:
                values |= {
                    "global_step/sec": speed.steps_per_second,
                    "images/sec": speed.steps_per_second * self.settings.batch_size,
                }
                values["input_wait_share"] = speed.wait_share
                self.progress.update(0, **{"images/s": values["images/sec"], "input wait": f"{speed.wait_share:.1%}"})
            self.summaries.scalars(self.step_number, values)

    def _check_losses(self) -> None:
        """Updates the progress line with the newest losses; raises DivergedError after too many non-finite steps."""
        latest = self.watch.check(self._last_checkpoint())
        if latest:
            losses = {
                tag.removeprefix("Loss/").removesuffix("_loss"): value
                for tag, value in latest.items()
                if tag.startswith("Loss/")
            }
            self.progress.update(0, loss=losses.pop("total"), **losses, lr=latest["learning_rate"])

    def _save(self, must_succeed: bool = False, interim: bool = False) -> None:
        """Saves a checkpoint unless the step is already saved or a value is not finite.

        If the disk is full, training continues unless `must_succeed`.
        """
        self._check_losses()
        if self.saved_step == self.step_number or self.watch.streak:
            return
        if not self.state.is_finite():
            logging.warning(
                "step %d: a weight is not finite, so no checkpoint is saved; the last one is %s",
                self.step_number,
                self._last_checkpoint(),
            )
            return
        try:
            if self.evaluation_due:
                run_dir.note_evaluation(self.folder, self.step_number)
            tensors = self.state.to_save(self.options.checkpoint_format == OBJECT)
            self.checkpoints.save(self.step_number, tensors, interim)
            self.saved_step = self.step_number
            prefix = self.checkpoints.prefix(self.step_number)
        except OSError as error:
            message = f"{files.explain(error) or error}; the last checkpoint is {self._last_checkpoint()}"
            if must_succeed:
                raise ConfigError(f"{message}; make room and start again") from error
            logging.error("%s; training continues", message)
            return
        self._call(self.callbacks.checkpoint, CheckpointSaved(self.step_number, prefix, self.detector))

    def _evaluate(self, stop: StopRequest) -> None:
        with stop.at_once(f"the last checkpoint is {self._last_checkpoint()}"):
            averages = self.state.averaged() if self.pipeline.evaluate.use_moving_averages else None
            self.metrics = self.evaluation.run(self.step_number, averages)
        saved = self.checkpoints.prefix(self.step_number) if self.saved_step == self.step_number else None
        if self.best.offer(self.step_number, self.metrics, saved):
            self._say(
                f"step {self.step_number}: best {self.best.metric} so far, {self.best.value:.4f}; kept in"
                f" {self.best.folder}"
            )
        run_dir.forget_evaluation(self.folder)
        self.evaluation_due = False
        self._call(self.callbacks.evaluation, EvaluationDone(self.step_number, dict(self.metrics), self.detector))
        if self.progress is not None:
            self.feed.restart_clock()

    def _evaluation_is_due(self) -> bool:
        if self.evaluation is None or self._is_done():
            return False  # The last step is evaluated after its checkpoint is saved.
        if self.options.evaluate_every:
            return self._is_due(self.options.evaluate_every)
        return (
            self._is_due(self.options.checkpoint_every)
            and self.evaluation.seconds_ago() >= self.pipeline.evaluate.interval_seconds
        )

    def _call(self, callback: Callable[[Event], object], event: Event) -> None:
        """Calls a callback; records its reason if it asks to stop the run."""
        try:
            callback(event)
        except StopTraining as request:
            self.stopped_by_callback = f"by a callback{f': {request}' if str(request) else ''}"

    def _is_over(self) -> bool:
        """Whether no further step is made."""
        return self._is_done() or self.best.gives_up() or bool(self.stopped_by_callback)

    def _is_done(self) -> bool:
        return self.data_ended or 0 < self.settings.num_steps <= self.step_number

    def _is_due(self, every: int) -> bool:
        return self.step_number % every == 0 or self._is_done()

    def _last_checkpoint(self) -> str:
        return "none (nothing was saved)" if self.saved_step is None else str(self.checkpoints.prefix(self.saved_step))

    def _reason(self) -> str:
        if self.stopped_by_callback:
            return self.stopped_by_callback
        if self.best.gives_up():
            return "early: no better metric for a while"
        return f"at the end of the data: {self._epochs()} are done" if self.data_ended else "at the last step"

    def _epochs(self) -> str:
        return f"the {self.pipeline.train_input.num_epochs} epochs of train_input_reader.num_epochs"

    def _stopped(self, how: str) -> str:
        skipped = self.watch.skipped() if self.watch is not None else ""
        return f"step {self.step_number}: stopped {how}{skipped}; the last checkpoint is {self._last_checkpoint()}"

    def _say(self, text: str) -> None:
        if self.progress is None:
            self.stream.write(text + "\n")
        else:
            self.progress.write(text)
