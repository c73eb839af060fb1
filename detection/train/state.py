"""All variables of a run by checkpoint name: the detector's, the step, the optimiser's slots and moving averages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf
from absl import logging

from detection.checkpoints import checkpoint_files, loading, names, object_load
from detection.checkpoints.names import AVERAGE, GLOBAL_STEP, is_optional
from detection.checkpoints.object_names import ObjectNames
from detection.errors import ConfigError
from detection.optimizers.rules import OptimizerSettings
from detection.pipeline import Detector


class TrainState:
    """The variables of a training run. Create it in the strategy's scope, after the detector has its weights.

    Attributes:
      detector: the network with all of its variables.
      trained: the variables that are trained, in the detector's order.
      trained_names: their checkpoint names.
      slots: for each of them, the update rule's arrays.
      shadows: for each of them the moving average; empty if none are kept.
      scalars: the update rule's scalars (powers of Adam's decay rates).
      step: int64 scalar, the number of steps so far.
    """

    def __init__(self, detector: Detector, optimizer: OptimizerSettings, is_trained: Callable[[str], bool]) -> None:
        self.detector = detector
        self.step = tf.Variable(
            0, dtype=tf.int64, trainable=False, name=GLOBAL_STEP, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA
        )
        variables = [variable for variable in detector.trainable_variables if is_trained(variable.path)]
        if not variables:
            raise ConfigError(
                "train_config: update_trainable_variables and freeze_variables leave nothing to train; change their"
                " patterns"
            )
        self.trained = [_native(variable) for variable in variables]
        self.trained_names = [variable.path for variable in variables]
        self.slots = [
            [_variable_like(variable, slot.initial) for slot in optimizer.rule.slots] for variable in self.trained
        ]
        self.scalars = [tf.Variable(slot.initial, trainable=False) for slot in optimizer.rule.scalars]
        self._slot_names = [slot.name for slot in optimizer.rule.slots]
        self._scalar_names = [slot.name for slot in optimizer.rule.scalars]
        self.shadows = (
            []
            if optimizer.moving_average_decay is None
            else [_variable_like(variable, None) for variable in self.trained]
        )

    def variables(self) -> dict[str, tf.Variable]:
        """All variables by checkpoint name."""
        named = {path: _native(variable) for path, variable in loading.by_name(self.detector).items()}
        return named | self.extras()

    def extras(self) -> dict[str, tf.Variable]:
        """The variables that training adds to the detector's, by checkpoint name."""
        named = {GLOBAL_STEP: self.step, **dict(zip(self._scalar_names, self.scalars, strict=True))}
        for path, slots in zip(self.trained_names, self.slots, strict=True):
            named |= {f"{path}/{name}": slot for name, slot in zip(self._slot_names, slots, strict=True)}
        return named | {
            f"{path}/{AVERAGE}": shadow for path, shadow in zip(self.trained_names, self.shadows, strict=False)
        }

    def to_save(self, object_based: bool) -> Mapping[str, object]:
        """What a checkpoint of one form or the other holds, for `checkpoint_files.write`."""
        return self._object_names().encoded(self.variables()) if object_based else self.variables()

    def check_object_based(self) -> None:
        """Raises ConfigError where the detector has no keys in object-based checkpoints."""
        self._object_names().check(loading.by_name(self.detector), "--checkpoint_format=object")

    def _object_names(self) -> ObjectNames:
        return ObjectNames(object_load.source_of(self.detector, loading.by_name(self.detector)).keys)

    def start_averages(self) -> None:
        """Sets the moving averages to the current weights; call it once the initial weights are restored."""
        for shadow, variable in zip(self.shadows, self.trained, strict=False):
            shadow.assign(variable)

    def load(self, step: int, values: Mapping[str, np.ndarray], source: Path, lenient: bool = False) -> None:
        """Assigns the values of a checkpoint.

        Args:
          step: the checkpoint's step.
          values: by checkpoint name.
          source: the checkpoint, for messages.
          lenient: accept a checkpoint of a changed optimiser; the optimiser's variables that it does not contain keep
              their initial values.

        Raises:
          ConfigError: a variable is missing, has another shape, or does not exist in the model. Nothing is assigned
              then.
        """
        variables, extras = self.variables(), self.extras()
        if checkpoint_files.OBJECT_GRAPH in values:
            object_names = self._object_names()
            object_names.check(loading.by_name(self.detector), f"{source}: is object-based")
            values = object_names.decoded(values, variables)
        entries = {
            name: checkpoint_files.Entry(value.shape, tf.as_dtype(value.dtype)) for name, value in values.items()
        }
        absent = {
            name for name in variables if name not in entries and (is_optional(name) or (lenient and name in extras))
        }
        loading.check_fit(
            source, {name: tuple(variable.shape) for name, variable in variables.items() if name not in absent}, entries
        )
        unknown = sorted(
            name for name in values if not (name in variables or name.endswith(f"/{AVERAGE}") or is_optional(name))
        )
        if unknown and not lenient:
            raise ConfigError(
                f"{source}: {unknown[0]} ({len(unknown)} in all) does not exist in this model or optimiser; use the"
                " pipeline.config of this model_dir, or pass --allow_config_change to ignore it"
            )
        if unused := names.unused(variables, entries):
            logging.warning(
                "%s: %s of it left out: %s",
                source,
                names.abbreviated(unused),
                names.likely_cause(variables, entries, unused),
            )
        for name in variables.keys() - absent:
            variables[name].assign(values[name])
        if absent - {name for name in absent if is_optional(name)}:
            self._start_missing_averages(absent)
            logging.warning(
                "%s: %d variables of the optimiser are missing and keep their initial values", source, len(absent)
            )
        self.step.assign(step)

    def _start_missing_averages(self, absent: set[str]) -> None:
        for path, shadow, variable in zip(self.trained_names, self.shadows, self.trained, strict=False):
            if f"{path}/{AVERAGE}" in absent:
                shadow.assign(variable)

    def is_finite(self) -> bool:
        """Whether every number that a checkpoint would contain is finite."""
        sums = [
            tf.reduce_sum(tf.convert_to_tensor(variable) * 0.0)
            for variable in self.variables().values()
            if variable.dtype.is_floating
        ]
        return bool(np.isfinite(tf.add_n(sums).numpy()))

    def averaged(self) -> Averaged:
        """A context manager inside which the trained variables have the values of their moving averages."""
        return Averaged(self.trained, self.shadows)


class Averaged:
    """A context manager that assigns moving averages to variables and restores the variables' own values at exit."""

    def __init__(self, variables: list[tf.Variable], shadows: list[tf.Variable]) -> None:
        self._variables, self._shadows = variables, shadows
        self._own: list[tf.Tensor] = []

    def __enter__(self) -> None:
        self._own = [tf.identity(variable) for variable in self._variables]
        for variable, shadow in zip(self._variables, self._shadows, strict=True):
            variable.assign(shadow)

    def __exit__(self, *error) -> None:
        for variable, own in zip(self._variables, self._own, strict=True):
            variable.assign(own)
        self._own = []


def _native(variable) -> tf.Variable:
    """TensorFlow's own variable inside a Keras one."""
    return getattr(variable, "value", variable)


def _variable_like(variable: tf.Variable, initial: float | None) -> tf.Variable:
    """A new variable like `variable`, on the same devices, filled with `initial` or with the current value."""
    value = tf.identity(variable) if initial is None else tf.fill(variable.shape, tf.cast(initial, variable.dtype))
    return tf.Variable(value, trainable=False)
