"""Starting from somebody else's weights: which variable of the model takes which array of a fine-tuning checkpoint.

The kinds are the config's `fine_tune_checkpoint_type`:

    classification  an ImageNet classifier of tf-slim: extractor variables lose their scope,
                    FeatureExtractor/MobilenetV1/Conv2d_0/weights <- MobilenetV1/Conv2d_0/weights
    detection       a detector of this project or of the TensorFlow 1 zoo: extractor variables by their own name; everything of matching
                    name when load_all_detection_checkpoint_vars is set
    full            a detector: everything of matching name

A name that is missing or has another shape keeps its initial value, as users of the schema expect (a head for another number of
classes); the report says so, and matching nothing at all is an error.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf
from absl import logging

from detection.errors import ConfigError
from detection.train import checkpoint_files
from detection.train.checkpoint_files import Entry
from detection.train.checkpoints import AVERAGE, GLOBAL_STEP, is_optional

KINDS = ("classification", "detection", "full")
EXTRACTOR_SCOPES = ("FeatureExtractor/", "FirstStageFeatureExtractor/", "SecondStageFeatureExtractor/")
_SLOTS = ("RMSProp", "RMSProp_1", "Momentum", "Adam", "Adam_1", AVERAGE)
_SCALARS = (GLOBAL_STEP, "beta1_power", "beta2_power")


class FineTune(NamedTuple):
    """What to start from."""

    path: str
    kind: str  # one of KINDS
    load_all: bool = False  # with kind 'detection': heads too


class Report(NamedTuple):
    """What a restore did, by variable name of the model, except `unexpected`, which are names of the checkpoint."""

    restored: tuple[str, ...]
    missing: tuple[str, ...]  # asked for, not in the checkpoint
    mismatched: tuple[str, ...]  # asked for, of another shape
    left_out: tuple[str, ...]  # outside the scopes that this kind restores
    unexpected: tuple[str, ...]  # in the checkpoint, used by nobody

    def table(self) -> str:
        """One line a row: how many, which, and an example."""
        rows = (
            ("restored", self.restored),
            ("initial value, not in the checkpoint", self.missing),
            ("initial value, another shape in the checkpoint", self.mismatched),
            ("initial value, outside the restored scopes", self.left_out),
            ("in the checkpoint, not used", self.unexpected),
        )
        return "\n".join(f"  {len(names):5d}  {what}{f', e.g. {names[0]}' if names else ''}" for what, names in rows)


def source_name(name: str, kind: str, load_all: bool = False) -> str | None:
    """The checkpoint name for the model variable `name`; None if a checkpoint of this kind does not provide it."""
    scope = next((scope for scope in EXTRACTOR_SCOPES if name.startswith(scope)), None)
    if kind == "classification":
        if scope is None:
            return None
        inner = name.removeprefix(scope)
        if scope.startswith("SecondStage"):  # The classifier counts the repeats of the whole network, a second stage its own.
            inner = inner.replace("InceptionResnetV2/Repeat/", "InceptionResnetV2/Repeat_2/", 1)
        return inner
    return name if kind == "full" or load_all or scope is not None else None


def restore(variables: Mapping[str, tf.Variable], start: FineTune) -> Report:
    """Assigns what fits and reports the rest.

    Args:
      variables: the model's variables by name, e.g. `checkpoints.by_name(detector)`.

    Raises:
      ConfigError: no such checkpoint, unreadable, object-based, unknown kind, or nothing in it fits.
    """
    check_kind(start.kind)
    prefix = checkpoint_files.locate(start.path)
    found = checkpoint_files.entries(prefix)
    sources: dict[str, str] = {}
    left_out, missing, mismatched = [], [], []
    for name, variable in variables.items():
        if is_optional(name):
            continue  # Somebody else's dice.
        source = source_name(name, start.kind, start.load_all)
        if source is None:
            left_out.append(name)
            continue
        if source not in found:
            missing.append(name)
        elif found[source].shape != tuple(variable.shape):
            mismatched.append(name)
        else:
            sources[name] = source
    if not sources:
        raise ConfigError(_nothing_fits(prefix, start, variables, found, mismatched))
    values = checkpoint_files.read(prefix, sources.values())
    for name, source in sources.items():
        variables[name].assign(values[source])
    used = set(sources.values())
    report = Report(
        restored=tuple(sorted(sources)),
        missing=tuple(sorted(missing)),
        mismatched=tuple(sorted(mismatched)),
        left_out=tuple(sorted(left_out)),
        unexpected=tuple(sorted(name for name in found if name not in used and not _is_training_state(name) and not is_optional(name))),
    )
    for what, names in report._asdict().items():
        logging.debug("%s: %s", what, ", ".join(names))
    if mismatched:
        logging.warning(
            "%s: %d variables have another shape there and keep their initial values: %s", prefix, len(mismatched), ", ".join(report.mismatched)
        )
    return report


def check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise ConfigError(f"train_config.fine_tune_checkpoint_type: '{kind}' is none of {', '.join(KINDS)}")


def _is_training_state(name: str) -> bool:
    return name in _SCALARS or name.rsplit("/", 1)[-1] in _SLOTS


def _nothing_fits(prefix: str, start: FineTune, variables: Mapping[str, tf.Variable], found: Mapping[str, Entry], mismatched: list[str]) -> str:
    """The error line: what was looked for, what comes closest, and which other kind would have fitted."""
    if mismatched:
        name = mismatched[0]
        return (
            f"{prefix}: nothing fits; all {len(mismatched)} names that match have another shape, e.g. {name} is {list(found[name].shape)} there "
            f"and {list(variables[name].shape)} in the model; is depth_multiplier the same?"
        )
    others = [kind for kind in KINDS if kind != start.kind and any(source_name(name, kind) in found for name in variables)]
    if others:
        return (
            f"{prefix}: no variable matches as '{start.kind}', but its names match as '{others[0]}'; "
            f"set train_config.fine_tune_checkpoint_type: '{others[0]}'"
        )
    wanted = next((source for source in (source_name(name, start.kind, start.load_all) for name in variables) if source), "any extractor variable")
    close = difflib.get_close_matches(wanted, list(found), n=3, cutoff=0.3) or sorted(found)[:3]
    return f"{prefix}: no variable matches as '{start.kind}'; looked for e.g. {wanted}, the checkpoint's closest names are {', '.join(close)}"
