"""Code of one's own that a training run calls: after a step, a checkpoint, an evaluation.

    def stop_at_target(done: EvaluationDone) -> None:
        if done.metrics["DetectionBoxes_Precision/mAP"] > 0.5:
            raise StopTraining("0.5 mAP is reached")

    detection.run_training(pipeline, "run", callbacks=Callbacks(evaluation=stop_at_target))

A callback may look at everything and change nothing that a resumed run must find again: a run goes on in another
process, which knows its model_dir alone. An error that a callback raises ends the run as any other error does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from detection.pipeline import Detector


class StopTraining(Exception):  # A request, not an error.
    """Raised in a callback: the run saves a checkpoint, evaluates it and returns, as at its last step.

    The message is the reason that the last line of the run gives.
    """


class StepDone(NamedTuple):
    """A step was made. Its numbers are still on the device; asking for them waits for the device."""

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
    """The callback where there is none."""


@dataclass(frozen=True)
class Callbacks:
    """What a training run calls, in the process that trains."""

    step: Callable[[StepDone], object] = _nothing
    checkpoint: Callable[[CheckpointSaved], object] = _nothing
    evaluation: Callable[[EvaluationDone], object] = _nothing
