"""The three update rules of the config schema, exactly as in TensorFlow 1.

    RMSProp    rms <- decay rms + (1 - decay) g²;   mom <- momentum mom + rate g / sqrt(rms + epsilon);   w <- w - mom
    Momentum   acc <- momentum acc + g;                                                                w <- w - rate acc
    Adam       m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g²;   w <- w - rate sqrt(1 - b2^t) / (1 - b1^t) m /
               (sqrt(v) + epsilon)

They differ from Keras's: RMSProp's `rms` starts at 1, and epsilon (1.0 in the usual configs) is inside the root. Each
rule is one fused TensorFlow kernel per variable, which reads and writes every array once: 128 variables with 6.8
million parameters take 8 ms on two cores; Keras's RMSprop takes 30 ms. A rule is an immutable description; its
variables ("slots") are in `state.TrainState`, named as in TensorFlow 1 checkpoints.

The kernels write through resource handles. In the replica context of `tf.distribute` a mirrored variable's handle is
that replica's copy. All replicas apply the same reduced gradient to equal copies, so the copies stay equal without
further communication.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol

import tensorflow as tf

from detection.optimizers.schedules import Schedule


class Slot(NamedTuple):
    """An additional array per trained variable, or, as a scalar, one for the whole run."""

    name: str  # suffix of the variable's name in a checkpoint, or the whole name of a scalar
    initial: float


class UpdateRule(Protocol):
    """Update rule of an optimizer."""

    slots: ClassVar[tuple[Slot, ...]]  # shaped like the variable
    scalars: tuple[Slot, ...]  # shared by all variables

    def update(
        self,
        variable: tf.Variable,
        slots: Sequence[tf.Variable],
        scalars: Sequence[tf.Variable],
        gradient: tf.Tensor,
        rate: tf.Tensor,
    ) -> None:
        """Updates `variable` and its `slots` in place; call it in replica context, inside a compiled function.

        Args:
            variable: the trained variable.
            slots: its slots, in the order of `self.slots`.
            scalars: the shared scalars, in the order of `self.scalars`.
            gradient: of the shape of the variable.
            rate: learning rate, float32 scalar.
        """

    def finish(self, scalars: Sequence[tf.Variable]) -> None:
        """Updates the scalars, once per step after all variables."""


@dataclass(frozen=True)
class RmsProp:
    """RMSProp as TensorFlow 1 computes it: epsilon is inside the root, and the mean square starts at 1."""

    decay: float = 0.9
    momentum: float = 0.9
    epsilon: float = 1.0

    slots: ClassVar[tuple[Slot, ...]] = (Slot("RMSProp", 1.0), Slot("RMSProp_1", 0.0))
    scalars: ClassVar[tuple[Slot, ...]] = ()

    def update(
        self,
        variable: tf.Variable,
        slots: Sequence[tf.Variable],
        scalars: Sequence[tf.Variable],
        gradient: tf.Tensor,
        rate: tf.Tensor,
    ) -> None:
        """See `UpdateRule.update`."""
        rms, mom = slots
        tf.raw_ops.ResourceApplyRMSProp(
            var=variable.handle,
            ms=rms.handle,
            mom=mom.handle,
            grad=gradient,
            lr=rate,
            rho=self.decay,
            momentum=self.momentum,
            epsilon=self.epsilon,
            use_locking=True,
        )

    def finish(self, scalars: Sequence[tf.Variable]) -> None:
        """Does nothing; there are no scalars."""
        del scalars


@dataclass(frozen=True)
class Momentum:
    """Gradient descent with momentum (not Nesterov's)."""

    momentum: float = 0.9

    slots: ClassVar[tuple[Slot, ...]] = (Slot("Momentum", 0.0),)
    scalars: ClassVar[tuple[Slot, ...]] = ()

    def update(
        self,
        variable: tf.Variable,
        slots: Sequence[tf.Variable],
        scalars: Sequence[tf.Variable],
        gradient: tf.Tensor,
        rate: tf.Tensor,
    ) -> None:
        """See `UpdateRule.update`."""
        (accumulator,) = slots
        tf.raw_ops.ResourceApplyMomentum(
            var=variable.handle,
            accum=accumulator.handle,
            grad=gradient,
            lr=rate,
            momentum=self.momentum,
            use_locking=True,
            use_nesterov=False,
        )

    def finish(self, scalars: Sequence[tf.Variable]) -> None:
        """Does nothing; there are no scalars."""
        del scalars


@dataclass(frozen=True)
class Adam:
    """Adam as TensorFlow 1 computes it, with the bias correction applied to the rate."""

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    slots: ClassVar[tuple[Slot, ...]] = (Slot("Adam", 0.0), Slot("Adam_1", 0.0))

    @property
    def scalars(self) -> tuple[Slot, ...]:
        """b1^t and b2^t of the next step t."""
        return (Slot("beta1_power", self.beta1), Slot("beta2_power", self.beta2))

    def update(
        self,
        variable: tf.Variable,
        slots: Sequence[tf.Variable],
        scalars: Sequence[tf.Variable],
        gradient: tf.Tensor,
        rate: tf.Tensor,
    ) -> None:
        """See `UpdateRule.update`."""
        mean, variance = slots
        power1, power2 = scalars
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=mean.handle,
            v=variance.handle,
            grad=gradient,
            lr=rate,
            beta1=self.beta1,
            beta2=self.beta2,
            epsilon=self.epsilon,
            beta1_power=_read(power1),
            beta2_power=_read(power2),
            use_locking=True,
            use_nesterov=False,
        )

    def finish(self, scalars: Sequence[tf.Variable]) -> None:
        """Multiplies both powers by their decay rates."""
        for power, beta in zip(scalars, (self.beta1, self.beta2), strict=True):
            tf.raw_ops.AssignVariableOp(resource=power.handle, value=_read(power) * beta)


def _read(variable: tf.Variable) -> tf.Tensor:
    return tf.raw_ops.ReadVariableOp(resource=variable.handle, dtype=variable.dtype)


def average(shadow: tf.Variable, variable: tf.Variable, decay: float) -> None:
    """Updates an exponential moving average in place: shadow <- decay shadow + (1 - decay) variable."""
    tf.raw_ops.ResourceApplyGradientDescent(
        var=shadow.handle, alpha=1.0 - decay, delta=_read(shadow) - _read(variable), use_locking=True
    )


@dataclass(frozen=True)
class OptimizerSettings:
    """An update rule, its learning rate, and the moving averages of the weights."""

    rule: UpdateRule
    schedule: Schedule
    moving_average_decay: float | None  # None: no shadows
