"""The weights of a checkpoint into a built detector, by name or, from an object-based file, by key: all of them, or an
error that says whose they are."""

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
    """A detector, for whoever only fills or saves it."""

    @property
    def variables(self) -> Sequence[tf.Variable]:
        """Each with a `path`, a `shape` and `assign`."""


class HasObjectKeys(HasVariables, Protocol):
    """A detector, for whoever fills it from checkpoints of either kind."""

    def object_keys(self) -> Mapping[str, tf.Variable]:
        """The variables by their keys in object-based checkpoints; empty where there are none of this detector."""


def by_name(detector: HasVariables) -> dict[str, tf.Variable]:
    """The detector's variables under their checkpoint names: their paths.

    Random generators are numbered in the detector's order instead, since Keras numbers them by what else the process
    has made before.
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
    """Fills all variables of a built detector from a checkpoint; with `moving_averages` from the averaged copy where
    there is one.

    Args:
      detector: with its variables.
      path: a prefix, a file of a checkpoint, or a folder (its latest checkpoint).
      allow_unused: only warn where weights in the model's scopes have no place, which tells the checkpoint of another
          network.

    Returns:
      The global step of the checkpoint; 0 if it has none.

    Raises:
      ConfigError: unreadable; a variable is missing or has another shape; the checkpoint is of another network. Nothing
          is assigned then.
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
        _remark_averages(os.path.dirname(prefix))
    step = (GLOBAL_STEP,) if GLOBAL_STEP in found else ()
    values = checkpoint_files.read(prefix, {*sources.values(), *step})
    for name, source in sources.items():
        variables[name].assign(values[source])
    return int(values[GLOBAL_STEP]) if step else 0


def start_from(detector: HasObjectKeys, start: FineTune, *, allow_unused: bool = False) -> RestoreReport:
    """Fills a built detector as far as a fine-tuning checkpoint, of either kind of file, provides; see `restore` and
    `object_load`."""
    variables = by_name(detector)
    restore.check_kind(start.kind)
    prefix = checkpoint_files.locate(start.path)
    if object_files.is_object_based(prefix):
        return object_load.start(object_load.source_of(detector, variables), start, prefix, allow_unused=allow_unused)
    return restore.restore(variables, start, allow_unused=allow_unused)


def check_start(detector: HasObjectKeys, start: FineTune) -> None:
    """Whether a run can start from a checkpoint, found out without reading its values; heads may differ.

    Raises:
      ConfigError: unreadable, nothing in it fits, or it is of another network, as of `start_from`.
    """
    variables = by_name(detector)
    prefix = checkpoint_files.locate(start.path)
    if object_files.is_object_based(prefix):
        source, contents = object_load.source_of(detector, variables), object_files.contents(prefix)
        if not source.keys:
            raise ConfigError(f"train_config.fine_tune_checkpoint: {prefix}: {object_load.UNKNOWN}")
        _, report = object_load.match(source.keys, source.shapes, contents, start.kind)
        fault = object_load.doubts(source.keys, report, contents, start.kind)
    else:
        found = checkpoint_files.entries(prefix)
        shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
        fault = restore.examine(shapes, found, start, restore.match(shapes, found, start)).fault
    if fault:
        raise ConfigError(f"train_config.fine_tune_checkpoint: {prefix}: {fault}")


def check_fit(
    prefix: str | os.PathLike, wanted: Mapping[str, tuple[int, ...]], found: Mapping[str, checkpoint_files.Entry]
) -> None:
    """Raises ConfigError unless every wanted name is found with its shape; the line names the first ones that are
    not."""
    missing = sorted(name for name in wanted if name not in found)
    why = names.cause(wanted, found, names.unused(wanted, found))
    advice = f"{why}; {_FIX}" if why else _FIX
    if missing:
        known = f"{len(wanted) - len(missing)} of {len(wanted)} variables are"
        raise ConfigError(f"{prefix}: {_some(missing)} not in the checkpoint ({known}); {advice}")
    differ = sorted(name for name, shape in wanted.items() if found[name].shape != tuple(shape))
    if differ:
        name = differ[0]
        more = f", and {len(differ) - 1} more differ" if len(differ) > 1 else ""
        if not why and (why := names.shape_cause({name: (found[name].shape, wanted[name]) for name in differ})):
            advice = f"{why}; {_FIX}"
        raise ConfigError(
            f"{prefix}: {name} is {list(found[name].shape)} in the checkpoint and {list(wanted[name])} in the"
            f" model{more}; {advice}"
        )


def check_used(prefix: str | os.PathLike, wanted: Collection[str], found: Collection[str], allow: bool) -> None:
    """Raises ConfigError where the checkpoint has weights in the model's scopes that the model has no place for; warns
    if `allow`."""
    left = names.unused(wanted, found)
    if not left:
        return
    what = f"{prefix}: {names.shown(left)} {'has' if len(left) == 1 else 'have'} no place in the model"
    why = names.cause(wanted, found, left)
    if not allow:
        raise ConfigError(
            f"{what}, so the checkpoint is of another network ({why}); {_FIX}, or leave them out by"
            f" {names.ALLOW_UNUSED}"
        )
    logging.warning("%s and %s left out (%s)", what, "is" if len(left) == 1 else "are", why)


@functools.lru_cache(maxsize=64)
def _remark_averages(folder: str) -> None:
    """Once a folder: those who wait for checkpoints read many."""
    advice = "set eval_config.use_moving_averages: true to take them"
    logging.warning("%s: the moving averages that its checkpoints hold are not used; %s", folder or ".", advice)


def _some(missing: list[str]) -> str:
    return f"{names.shown(missing)} {'is' if len(missing) == 1 else 'are'}"
