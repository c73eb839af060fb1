"""Message `Optimizer` -> update rule, learning-rate schedule and moving averages."""

from __future__ import annotations

from detection.optimizers import rules as optimizers
from detection.optimizers import schedules
from detection.protos import optimizer_pb2


def build(message: optimizer_pb2.Optimizer, averages_are_read: bool = False) -> optimizers.OptimizerSettings:
    """Builds the optimizer.

    The schema's default is `use_moving_average: true`, which costs a copy of all weights and time in every step
    although most runs never use the averages. Averages are therefore kept only if the field is explicitly true, or if
    it is not set and `averages_are_read` (evaluation uses them).
    """
    which = message.WhichOneof("optimizer")
    inner = getattr(message, which)
    if which == "rms_prop_optimizer":
        rule = optimizers.RmsProp(decay=inner.decay, momentum=inner.momentum_optimizer_value, epsilon=inner.epsilon)
    elif which == "momentum_optimizer":
        rule = optimizers.Momentum(momentum=inner.momentum_optimizer_value)
    else:
        rule = optimizers.Adam(epsilon=inner.epsilon)
    keep = message.use_moving_average and (averages_are_read or message.HasField("use_moving_average"))
    return optimizers.OptimizerSettings(
        rule=rule,
        schedule=build_schedule(inner.learning_rate),
        moving_average_decay=message.moving_average_decay if keep else None,
    )


def build_schedule(message: optimizer_pb2.LearningRate) -> schedules.Schedule:
    """Builds the learning-rate schedule that is set."""
    which = message.WhichOneof("learning_rate")
    inner = getattr(message, which)
    if which == "constant_learning_rate":
        return schedules.Constant(inner.learning_rate)
    if which == "exponential_decay_learning_rate":
        return schedules.ExponentialDecay(
            initial=inner.initial_learning_rate,
            decay_steps=inner.decay_steps,
            decay_factor=inner.decay_factor,
            staircase=inner.staircase,
            burnin_learning_rate=inner.burnin_learning_rate,
            burnin_steps=inner.burnin_steps,
            minimum=inner.min_learning_rate,
        )
    if which == "manual_step_learning_rate":
        rows = [(row.step, row.learning_rate) for row in inner.schedule]
        # A row with step 0 replaces the initial rate, as in the reference.
        initial = rows.pop(0)[1] if rows and rows[0][0] == 0 else inner.initial_learning_rate
        return schedules.ManualStep(
            boundaries=tuple(step for step, _ in rows),
            rates=(initial, *(rate for _, rate in rows)),
            warmup=inner.warmup,
        )
    return schedules.CosineDecay(
        base=inner.learning_rate_base,
        total_steps=inner.total_steps,
        warmup_learning_rate=inner.warmup_learning_rate,
        warmup_steps=inner.warmup_steps,
        hold_steps=inner.hold_base_rate_steps,
    )
