"""Restores variables from a fine-tuning checkpoint with variable names.

The kinds are those of `fine_tune_checkpoint_type`:

    classification  an ImageNet classifier of tf-slim: extractor variables without the scope of the extractor,
                    FeatureExtractor/MobilenetV1/Conv2d_0/weights <- MobilenetV1/Conv2d_0/weights
    detection       a detector of this project or of the TensorFlow 1 zoo: extractor variables by name; all variables
                    by name if load_all_detection_checkpoint_vars is set
    full            a detector: all variables by name

A variable that is missing or has a different shape keeps its initial value, as users of the schema expect (a head for
another number of classes), and the report says so. It is an error if nothing matches, and if the checkpoint is from a
different network: its batch norm is missing in layers that use its kernels, or most of its arrays have other shapes.
Only one shape is adapted: SSD has the fully connected layers of VGG16 as decimated convolutions
(`networks.vgg.decimate`), restored from those of the classifier. Raw values are restored, not moving averages, as in
the reference implementation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import tensorflow as tf
from absl import logging

from detection.checkpoints import checkpoint_files, names
from detection.checkpoints.checkpoint_files import Entry
from detection.checkpoints.names import AVERAGE, EXTRACTOR_SCOPES, is_bookkeeping, is_optional
from detection.errors import ConfigError
from detection.networks import vgg
from detection.tools.suggest import closest

KINDS = ("classification", "detection", "full")
_THINNED = tuple(f"{vgg.SCOPE}/{layer}/{part}" for layer in ("fc6", "fc7") for part in ("weights", "biases"))


class FineTune(NamedTuple):
    """A checkpoint for fine-tuning."""

    path: str
    kind: str  # one of KINDS
    load_all: bool = False  # with kind 'detection': restore heads too


class RestoreReport(NamedTuple):
    """The result of a restore, by variable name of the model; `unexpected` are names in the checkpoint."""

    restored: tuple[str, ...]
    adapted: tuple[str, ...]  # restored from an array of a different shape
    missing: tuple[str, ...]  # not in the checkpoint
    mismatched: tuple[str, ...]  # of a different shape in the checkpoint
    left_out: tuple[str, ...]  # outside the scopes that this kind restores
    unexpected: tuple[str, ...]  # in the checkpoint, not used; without training state

    def table(self) -> str:
        """Returns a line for each row: number of variables, meaning, example."""
        rows = [(what, getattr(self, field)) for field, what in MEANINGS.items() if field != "adapted" or self.adapted]
        return "\n".join(
            f"  {len(listed):5d}  {what}{f', e.g. {listed[0]}' if listed else ''}" for what, listed in rows
        )


MEANINGS = {
    "restored": "restored",
    "adapted": "adapted, from a different shape in the checkpoint",
    "missing": "initial value, not in the checkpoint",
    "mismatched": "initial value, different shape in the checkpoint",
    "left_out": "initial value, outside the restored scopes",
    "unexpected": "in the checkpoint, not used",
}


class Match(NamedTuple):
    """Which array restores which variable, determined without reading values."""

    sources: dict[str, str]  # variable of the model -> array in the checkpoint, for all that are restored
    report: RestoreReport


def source_name(name: str, kind: str, load_all: bool = False) -> str | None:
    """Returns the name in the checkpoint of the model variable `name`, or None if this kind does not restore it."""
    scope = next((scope for scope in EXTRACTOR_SCOPES if name.startswith(scope)), None)
    if kind == "classification":
        if scope is None:
            return None
        inner = name.removeprefix(scope)
        if scope.startswith("SecondStage"):  # The classifier numbers the repeats of both stages consecutively.
            inner = inner.replace("InceptionResnetV2/Repeat/", "InceptionResnetV2/Repeat_2/", 1)
        return inner
    return name if kind == "full" or load_all or scope is not None else None


def match(shapes: Mapping[str, tuple[int, ...]], found: Mapping[str, Entry], start: FineTune) -> Match:
    """Assigns arrays of the checkpoint to variables of the model, and sorts both into the rows of the report.

    Args:
        shapes: shapes of the variables of the model, by name.
        found: arrays in the checkpoint, by name.
        start: the kind, which says how names correspond.
    """
    rows: dict[str, list[str]] = {row: [] for row in RestoreReport._fields}
    thinned = _thinned(shapes, found) if start.kind == "classification" else {}
    sources: dict[str, str] = {}
    requested: set[str | None] = set()
    for name in sorted(shapes):
        if is_optional(name):
            continue  # Fine-tuning does not restore the state of random generators.
        source = source_name(name, start.kind, start.load_all)
        if source not in found and (average := f"{source}/{AVERAGE}") in found:
            source = average  # The published NASNet and PNASNet checkpoints have moving averages only.
        requested.add(source)
        row = "left_out" if source is None else "adapted" if name in thinned else _row(shapes[name], found.get(source))
        rows[row].append(name)
        if row in ("restored", "adapted"):
            sources[name] = source
    rows["unexpected"] = sorted(name for name in found if name not in requested and not is_bookkeeping(name, found))
    return Match(sources, RestoreReport(**{row: tuple(listed) for row, listed in rows.items()}))


def _row(shape: tuple[int, ...], entry: Entry | None) -> str:
    if entry is None:
        return "missing"
    return "restored" if entry.shape == shape else "mismatched"


def _thinned(shapes: Mapping[str, tuple[int, ...]], found: Mapping[str, Entry]) -> dict[str, str]:
    """Returns variable -> array of SSD's fc6 and fc7 if all of them are decimated forms of the classifier's.

    Adapting only some of them would give a meaningless network.
    """
    sources = {name: source for source in _THINNED if (name := f"FeatureExtractor/{source}") in shapes}
    fits = all(
        source in found
        and found[source].shape != shapes[name]
        and vgg.can_decimate(source, found[source].shape, shapes[name])
        for name, source in sources.items()
    )
    return sources if fits else {}


def restore(variables: Mapping[str, tf.Variable], start: FineTune, *, allow_unused: bool = False) -> RestoreReport:
    """Restores variables for fine-tuning.

    Args:
        variables: the variables of the model by name, as `loading.by_name(detector)` returns them.
        start: checkpoint and kind.
        allow_unused: accept a checkpoint of a different network, with a warning.

    Returns:
        Which variables were restored, and which were not and why.

    Raises:
        ConfigError: the checkpoint is missing, unreadable or object-based, the kind is unknown, nothing matches, or the
            checkpoint is from a different network.
    """
    check_kind(start.kind)
    prefix = checkpoint_files.locate(start.path)
    found = checkpoint_files.entries(prefix)
    shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
    matched = match(shapes, found, start)
    sources, report = matched
    compatible = compatibility(shapes, found, start, matched)
    if compatible.fault and not (allow_unused and sources):
        override = f", or pass {names.ALLOW_UNUSED} to start from it anyway" if sources else ""
        raise ConfigError(f"{prefix}: {compatible.fault}{override}")
    values = checkpoint_files.read(prefix, set(sources.values()))
    for name, source in sources.items():
        variables[name].assign(
            vgg.decimate(source, values[source], shapes[name]) if name in report.adapted else values[source]
        )
    for row, listed in report._asdict().items():
        logging.debug("%s: %s", row, ", ".join(listed))
    for problem in filter(None, compatible):
        logging.warning("%s: %s", prefix, problem)
    if report.mismatched:
        logging.warning("%s: %s", prefix, _differing(report.mismatched))
    return report


class Compatibility(NamedTuple):
    """Signs that a checkpoint is from a different network than the model; each "" if there is none."""

    fault: str  # the restored network would not work
    warning: str  # the difference may be intended


def compatibility(
    shapes: Mapping[str, tuple[int, ...]], found: Mapping[str, Entry], start: FineTune, matched: Match
) -> Compatibility:
    """Compares the feature extractor in the checkpoint with that of the model; heads are expected to differ.

    A batch norm trained together with a kernel and then left out changes what the kernel computes, so that is a fault;
    unused biases and whole layers may be intended.

    Args:
        shapes: shapes of the variables of the model, by name.
        found: arrays in the checkpoint, by name.
        start: the kind.
        matched: the result of `match`.
    """
    if not matched.sources:
        return Compatibility(nothing_restored(shapes, found, start), "")
    sources = {name: source for name in shapes if (source := source_name(name, start.kind, start.load_all))}
    requested = {source for name, source in sources.items() if not is_optional(name)}
    one_stage_of_two = any(name.startswith("First") for name in shapes) and not any(
        name.startswith("Second") for name in shapes
    )
    left = names.unused_at_start(requested, found, start.kind == "classification", whole=not one_stage_of_two)
    layers = {names.layer(source) for name, source in sources.items() if name.startswith(EXTRACTOR_SCOPES)}
    norms = [name for name in left if names.is_norm(name) and names.layer(name) in layers]
    others = [name for name in left if name not in norms]
    warning = f"{_no_counterpart(others)}: {names.likely_cause(requested, found, others)}" if others else ""
    if norms:
        why = names.likely_cause(requested, found, norms)
        fault = (
            f"{_no_counterpart(norms)}, which uses the kernels they were trained with ({why}); use the network of the"
            " checkpoint"
        )
        return Compatibility(fault, warning)
    return Compatibility(_mostly_of_different_shape(shapes, found, sources, matched.report), warning)


def _no_counterpart(listed: Sequence[str]) -> str:
    return f"{names.abbreviated(listed)} {'has' if len(listed) == 1 else 'have'} no counterpart in the model"


def _mostly_of_different_shape(
    shapes, found: Mapping[str, Entry], sources: Mapping[str, str], report: RestoreReport
) -> str:
    """Returns the fault if more than half of the extractor variables have a different shape; otherwise ""."""
    taken = [name for name in (*report.restored, *report.adapted) if name.startswith(EXTRACTOR_SCOPES)]
    differing = [name for name in report.mismatched if name.startswith(EXTRACTOR_SCOPES)]
    if len(differing) <= len(taken):
        return ""
    name = differing[0]
    return (
        f"{len(differing)} of the {len(differing) + len(taken)} extractor variables in it have a different shape,"
        f" e.g. {name} is {list(found[sources[name]].shape)} there and {list(shapes[name])} in the model:"
        " depth_multiplier or min_depth differs; use that of the checkpoint"
    )


def check_kind(kind: str) -> None:
    """Raises ConfigError for an unknown fine_tune_checkpoint_type."""
    if kind not in KINDS:
        raise ConfigError(f"train_config.fine_tune_checkpoint_type: '{kind}' is not one of {', '.join(KINDS)}")


def nothing_restored(shapes: Mapping[str, tuple[int, ...]], found: Mapping[str, Entry], start: FineTune) -> str:
    """Explains why nothing matches: a name looked for, the closest names found, and another kind that would match.

    Args:
        shapes: shapes of the variables of the model, by name.
        found: arrays in the checkpoint, by name.
        start: the kind that matches nothing.
    """
    requested = {
        name: source
        for name in shapes
        if (source := source_name(name, start.kind, start.load_all)) and not is_optional(name)
    }
    mismatched = sorted(name for name, source in requested.items() if source in found)
    if mismatched:
        name = mismatched[0]
        return (
            f"nothing can be restored; all {len(mismatched)} names that match have a different shape, e.g. {name} is"
            f" {list(found[requested[name]].shape)} there and {list(shapes[name])} in the model; is depth_multiplier"
            " the same?"
        )
    others = [kind for kind in KINDS if kind != start.kind and any(source_name(name, kind) in found for name in shapes)]
    if others:
        return (
            f"no variable matches as '{start.kind}', but its names match as '{others[0]}'; set"
            f" train_config.fine_tune_checkpoint_type: '{others[0]}'"
        )
    example = min(requested.values(), default="any extractor variable")
    close = closest(example, found, limit=3, cutoff=0.3) or sorted(found)[:3]
    return (
        f"no variable matches as '{start.kind}'; looked for e.g. {example}, the checkpoint's closest names are"
        f" {', '.join(close)}"
    )


def _differing(mismatched: tuple[str, ...]) -> str:
    shown = names.abbreviated(mismatched, 5)
    if len(mismatched) == 1:
        return f"1 variable has a different shape in the checkpoint and keeps its initial value: {shown}"
    return (
        f"{len(mismatched)} variables have a different shape in the checkpoint and keep their initial values: {shown}"
    )
