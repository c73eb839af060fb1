"""Loads a checkpoint, name-based or object-based, into a built detector.

Evaluation and export load all variables or fail; training starts from those that a fine-tuning checkpoint provides.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import tensorflow as tf
from absl import logging

from detection.checkpoints import checkpoint_files, names, object_files, object_load, restore
from detection.checkpoints.names import AVERAGE, GLOBAL_STEP, is_optional
from detection.checkpoints.restore import FineTune, RestoreReport
from detection.errors import ConfigError

_FIX = "use the pipeline.config that the checkpoint was trained with"


class HasVariables(Protocol):
    """What saving a detector, and loading it by variable name, needs of it."""

    @property
    def variables(self) -> Sequence[tf.Variable]:
        """The variables, each with `path`, `shape` and `assign`."""


class HasObjectKeys(HasVariables, Protocol):
    """What loading a detector from checkpoints of either kind needs of it."""

    def object_keys(self) -> Mapping[str, tf.Variable]:
        """Returns the variables by key in object-based checkpoints; empty if the detector does not support them."""


def by_name(detector: HasVariables) -> dict[str, tf.Variable]:
    """Returns the variables of a detector by their names in checkpoints, which are their paths.

    Random generators are numbered in the order of the detector instead: the numbers that Keras gives them depend on
    what the process created before.
    """
    named, generators = {}, 0
    for variable in detector.variables:
        if is_optional(variable.path):
            named[f"generator_{generators}/{names.RANDOM}"] = variable
            generators += 1
        else:
            named[variable.path] = variable
    return named


def load_into(
    detector: HasObjectKeys, path: str | os.PathLike, moving_averages: bool = False, *, allow_unused: bool = False
) -> int:
    """Loads all variables of a built detector from a checkpoint.

    Args:
        detector: has its variables already.
        path: a prefix, a file of a checkpoint, or a folder (its latest checkpoint).
        moving_averages: load the moving average of every variable that has one.
        allow_unused: only warn about weights in the scopes of the model that the model does not have. Such weights
            indicate a checkpoint of a different network.

    Returns:
        The global step of the checkpoint; 0 if it has none.

    Raises:
        ConfigError: the checkpoint is unreadable, lacks a variable, has one of a different shape, or is from a
            different network. Nothing is assigned then.
    """
    prefix = checkpoint_files.locate(path)
    variables = by_name(detector)
    if object_files.is_object_based(prefix):
        source = object_load.source_of(detector, variables)
        return object_load.fill(source, prefix, moving_averages, allow_unused=allow_unused)
    found = checkpoint_files.entries(prefix)
    averaged = [name for name in variables if f"{name}/{AVERAGE}" in found]
    if moving_averages and not averaged:
        raise ConfigError(f"{prefix}: holds no moving averages; set eval_config.use_moving_averages to false")
    taken = averaged if moving_averages else ()
    sources = {name: f"{name}/{AVERAGE}" if name in taken else name for name in variables}
    sources = {name: source for name, source in sources.items() if source in found or not is_optional(name)}
    check_fit(prefix, {source: tuple(variables[name].shape) for name, source in sources.items()}, found)
    check_used(prefix, variables, found, allow_unused)
    if averaged and not moving_averages:
        _warn_unused_averages(os.path.dirname(prefix))
    step = (GLOBAL_STEP,) if GLOBAL_STEP in found else ()
    values = checkpoint_files.read(prefix, {*sources.values(), *step})
    for name, source in sources.items():
        variables[name].assign(values[source])
    return int(values[GLOBAL_STEP]) if step else 0


def start_from(detector: HasObjectKeys, start: FineTune, *, allow_unused: bool = False) -> RestoreReport:
    """Restores a built detector from a fine-tuning checkpoint, name-based or object-based.

    See `restore` and `object_load` for what is restored.

    Args:
        detector: has its variables already.
        start: checkpoint and kind.
        allow_unused: accept a checkpoint of a different network, with a warning.

    Raises:
        ConfigError: the checkpoint is unreadable, restores nothing, or is from a different network.
    """
    variables = by_name(detector)
    restore.check_kind(start.kind)
    prefix = checkpoint_files.locate(start.path)
    if object_files.is_object_based(prefix):
        return object_load.start(object_load.source_of(detector, variables), start, prefix, allow_unused=allow_unused)
    return restore.restore(variables, start, allow_unused=allow_unused)


def check_start(detector: HasObjectKeys, start: FineTune) -> None:
    """Checks that training can start from a checkpoint, without reading its values; heads may differ.

    Raises:
        ConfigError: in the cases in which `start_from` raises it.
    """
    variables = by_name(detector)
    prefix = checkpoint_files.locate(start.path)
    if object_files.is_object_based(prefix):
        source, contents = object_load.source_of(detector, variables), object_files.contents(prefix)
        if not source.keys:
            raise ConfigError(f"train_config.fine_tune_checkpoint: {prefix}: {object_load.UNKNOWN}")
        _, report = object_load.match(source.keys, source.shapes, contents, start.kind)
        fault = object_load.incompatibility(source.keys, report, contents, start.kind)
    else:
        found = checkpoint_files.entries(prefix)
        shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
        fault = restore.compatibility(shapes, found, start, restore.match(shapes, found, start)).fault
    if fault:
        raise ConfigError(f"train_config.fine_tune_checkpoint: {prefix}: {fault}")


def check_fit(
    prefix: str | os.PathLike, shapes: Mapping[str, tuple[int, ...]], found: Mapping[str, checkpoint_files.Entry]
) -> None:
    """Checks that a checkpoint has every array that the model needs.

    Args:
        prefix: prefix of the checkpoint, for the message.
        shapes: the arrays that are needed, by name.
        found: the arrays in the checkpoint, by name.

    Raises:
        ConfigError: an array is missing or has a different shape; the message has the first names.
    """
    missing = sorted(name for name in shapes if name not in found)
    why = names.likely_cause(shapes, found, names.unused(shapes, found))
    advice = f"{why}; {_FIX}" if why else _FIX
    if missing:
        known = f"{len(shapes) - len(missing)} of {len(shapes)} variables are"
        verb = "is" if len(missing) == 1 else "are"
        raise ConfigError(f"{prefix}: {names.abbreviated(missing)} {verb} not in the checkpoint ({known}); {advice}")
    differ = sorted(name for name, shape in shapes.items() if found[name].shape != tuple(shape))
    if differ:
        name = differ[0]
        more = f", and {len(differ) - 1} more differ" if len(differ) > 1 else ""
        if not why and (why := names.likely_shape_cause({name: (found[name].shape, shapes[name]) for name in differ})):
            advice = f"{why}; {_FIX}"
        raise ConfigError(
            f"{prefix}: {name} is {list(found[name].shape)} in the checkpoint and {list(shapes[name])} in the"
            f" model{more}; {advice}"
        )


def check_used(prefix: str | os.PathLike, requested: Collection[str], found: Collection[str], allow: bool) -> None:
    """Checks that a checkpoint has no weights in the scopes of the model that the model does not have.

    Args:
        prefix: prefix of the checkpoint, for the message.
        requested: names under which the model looks up its variables.
        found: names of the arrays in the checkpoint.
        allow: only warn.

    Raises:
        ConfigError: there are such weights, and `allow` is false.
    """
    left = names.unused(requested, found)
    if not left:
        return
    what = f"{prefix}: {names.abbreviated(left)} {'has' if len(left) == 1 else 'have'} no counterpart in the model"
    why = names.likely_cause(requested, found, left)
    if not allow:
        raise ConfigError(
            f"{what}, so the checkpoint is from a different network ({why}); {_FIX}, or pass {names.ALLOW_UNUSED} to"
            " ignore them"
        )
    logging.warning("%s and %s ignored (%s)", what, "is" if len(left) == 1 else "are", why)


@functools.lru_cache(maxsize=64)
def _warn_unused_averages(folder: str) -> None:
    """Warns once per folder: an evaluation that waits for checkpoints reads many of them."""
    advice = "set eval_config.use_moving_averages: true to use them"
    logging.warning("%s: the moving averages in its checkpoints are not used; %s", folder or ".", advice)
