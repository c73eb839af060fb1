"""Checks that the learning-rate schedule fits the number of steps, since a rate of 0 wastes the remaining steps.

Only a decay that reaches 0 by accident is an error. A constant rate of 0, steps of a schedule after the end of
training, and a cosine schedule that ends before training (which the TF Object Detection API accepts) give warnings.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from google.protobuf.message import Message

_SMALLEST = 1e-38  # the smallest normal float32; a smaller rate is practically 0


def ends_early(train: Message, path: str) -> Iterator[str]:
    """Errors for schedules whose rate decays to 0 before the last step."""
    kind, path, schedule = _schedule(train, path)
    steps = train.num_steps
    if not steps or schedule is None:
        return
    if kind == "exponential_decay_learning_rate":
        ends = _vanishes(schedule)
        if ends is not None and ends < steps - 1:
            yield (
                f"{path}.decay_steps ({schedule.decay_steps}) and decay_factor ({schedule.decay_factor:g}) bring the"
                f" learning rate to 0 at step {ends}, before train_config.num_steps ({steps}); raise decay_steps, or"
                " set min_learning_rate"
            )


def never_reached(train: Message, path: str) -> Iterator[str]:
    """Warnings for parts of schedules that are never reached, and for rates of 0."""
    kind, path, schedule = _schedule(train, path)
    if schedule is None:
        return
    steps = train.num_steps or math.inf
    before = f"train_config.num_steps ({train.num_steps})"
    if kind == "constant_learning_rate" and schedule.learning_rate == 0:
        yield f"{path}.learning_rate is 0: nothing is learnt"
    if kind == "cosine_decay_learning_rate":
        if schedule.warmup_steps >= steps:
            yield (
                f"{path}.warmup_steps ({schedule.warmup_steps}) is not less than {before}: training ends before the"
                " learning rate is warmed up"
            )
        if schedule.total_steps < train.num_steps:
            yield (
                f"{path}.total_steps ({schedule.total_steps}) is less than train_config.num_steps ({train.num_steps}):"
                " from then on the learning rate is 0, as in the TF Object Detection API, and nothing more is learnt;"
                f" set total_steps to {train.num_steps}"
            )
        if steps == math.inf:
            yield (
                f"{path}.total_steps ({schedule.total_steps}): from then on the learning rate is 0, and"
                f" train_config.num_steps is not set, so training goes on; set num_steps to {schedule.total_steps}"
            )
    if kind == "exponential_decay_learning_rate" and schedule.burnin_steps >= steps:
        yield (
            f"{path}.burnin_steps ({schedule.burnin_steps}) is not less than {before}: training ends within the burn-in"
        )
    if kind == "manual_step_learning_rate":
        late = [row.step for row in schedule.schedule if row.step >= steps]
        if late:
            rows = f"{len(late)} of {len(schedule.schedule)} steps of the schedule, from {late[0]} on,"
            yield f"{path}.schedule: {rows} {'is' if len(late) == 1 else 'are'} not before {before} and never reached"
        zero = next((row.step for row in schedule.schedule if row.learning_rate == 0 and row.step < steps), None)
        if zero is not None:
            yield f"{path}.schedule: the learning rate is 0 from step {zero} on: nothing more is learnt"


def _schedule(train: Message, place: str) -> tuple[str, str, Message | None]:
    """Kind, path and message of the chosen schedule."""
    optimizer = train.optimizer.WhichOneof("optimizer")
    rate = getattr(train.optimizer, optimizer).learning_rate if optimizer else None
    kind = rate.WhichOneof("learning_rate") if rate is not None else None
    if kind is None:
        return "", "", None
    return kind, f"{place}.optimizer.{optimizer}.learning_rate.{kind}", getattr(rate, kind)


def _vanishes(schedule: Message) -> int | None:
    """The step from which an exponential decay is 0 in float32; None if it never is."""
    start, factor = schedule.initial_learning_rate, schedule.decay_factor
    if schedule.min_learning_rate > 0 or not start > 0 or not 0 < factor < 1 or not schedule.decay_steps:
        return None
    periods = math.log(_SMALLEST / start) / math.log(factor)
    return schedule.burnin_steps + math.ceil(max(periods, 0) * schedule.decay_steps)


def manual_steps(message: Message, path: str) -> Iterator[str]:
    """ManualStepLearningRate: steps must increase."""
    steps = [row.step for row in message.schedule]
    for index, (before, after) in enumerate(itertools.pairwise(steps), start=1):
        if after <= before:
            yield f"{path}.schedule[{index}].step ({after}) must be more than the one before it ({before})"
    if message.warmup and not steps:
        yield f"{path}.schedule is empty, so there is nothing to warm up to; list steps, or remove warmup"
    if message.warmup and steps and steps[0] == 0:
        yield (
            f"{path}.schedule[0].step (0) leaves no step to warm up in; remove warmup, or let the first step be at"
            " least 1"
        )


def cosine(message: Message, path: str) -> Iterator[str]:
    """CosineDecayLearningRate: warm-up and hold must end before the schedule does."""
    if message.warmup_steps and message.warmup_learning_rate > message.learning_rate_base:
        yield (
            f"{path}.warmup_learning_rate ({message.warmup_learning_rate:g}) must not exceed learning_rate_base"
            f" ({message.learning_rate_base:g})"
        )
    before = message.warmup_steps + message.hold_base_rate_steps
    if message.total_steps < max(before, 1):
        yield (
            f"{path}.total_steps ({message.total_steps}) must be at least warmup_steps + hold_base_rate_steps"
            f" ({before})"
        )
