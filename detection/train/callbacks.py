"""User code that a training run calls after a step, a checkpoint or an evaluation.

    def stop_at_target(done: EvaluationDone) -> None:
        if done.metrics["DetectionBoxes_Precision/mAP"] > 0.5:
            raise StopTraining("0.5 mAP is reached")

    detection.run_training(pipeline, "run", callbacks=Callbacks(evaluation=stop_at_target))

A callback may read everything, but must not change anything that a resumed run needs: that run is another process,
which knows only the model_dir. An exception from a callback ends the run like any other error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from detection.pipeline import Detector


class StopTraining(Exception):  # A request, not an error.
    """Raise this in a callback to end the run: it saves a checkpoint, evaluates it and returns, as after its last step.

    The message is printed as the reason in the last line of the run.
    """


class StepDone(NamedTuple):
    """A training step was done. Its numbers are still on the device; `values()` waits for the device."""

    step: int  # counted from 1 at the start of the model_dir
    values: Callable[[], dict[str, float]]  # losses, learning_rate and gradient_norm by tag
    detector: Detector


class CheckpointSaved(NamedTuple):
    """A checkpoint was written, with all of its files."""

    step: int
    prefix: Path  # model_dir/model.ckpt-<step>
    detector: Detector


class EvaluationDone(NamedTuple):
    """The evaluation input was evaluated."""

    step: int
    metrics: dict[str, float]  # by tag, losses included
    detector: Detector


def _nothing(event: object) -> None:
    """The default callback: does nothing."""


@dataclass(frozen=True)
class Callbacks:
    """Functions that a training run calls, in the training process."""

    step: Callable[[StepDone], object] = _nothing
    checkpoint: Callable[[CheckpointSaved], object] = _nothing
    evaluation: Callable[[EvaluationDone], object] = _nothing
