"""Starting from the weights of another model: which variable takes which array of a fine-tuning checkpoint.

The kinds are the config's `fine_tune_checkpoint_type`:

    classification  an ImageNet classifier of tf-slim: extractor variables lose their scope,
                    FeatureExtractor/MobilenetV1/Conv2d_0/weights <- MobilenetV1/Conv2d_0/weights
    detection       a detector of this project or of the TensorFlow 1 zoo: extractor variables by their own name;
                    everything of matching
                    name when load_all_detection_checkpoint_vars is set
    full            a detector: everything of matching name

A name that is missing or has another shape keeps its initial value, as users of the schema expect (a head for another
number of classes); the report says so. Matching nothing at all is an error, and so is a checkpoint of another network:
one whose batch norm has no place in the layers that take its kernels, or one with most of its arrays in another shape.
One shape is made to fit: SSD has the fully connected layers of VGG16 as thinned convolutions (`networks.vgg.decimate`),
and starts from the classifier's. Values are taken as they are, not their moving averages, as the reference takes them.
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
    """What to start from."""

    path: str
    kind: str  # one of KINDS
    load_all: bool = False  # with kind 'detection': heads too


class RestoreReport(NamedTuple):
    """What a restore did, by variable name of the model, except `unexpected`, which are names of the checkpoint."""

    restored: tuple[str, ...]
    adapted: tuple[str, ...]  # restored, from an array of another shape
    missing: tuple[str, ...]  # asked for, not in the checkpoint
    mismatched: tuple[str, ...]  # asked for, of another shape
    left_out: tuple[str, ...]  # outside the scopes that this kind restores
    unexpected: tuple[str, ...]  # in the checkpoint, asked for by nobody; what only training needs is not counted

    def table(self) -> str:
        """One line a row: how many, which, and an example."""
        rows = [(what, getattr(self, field)) for field, what in MEANINGS.items() if field != "adapted" or self.adapted]
        return "\n".join(
            f"  {len(listed):5d}  {what}{f', e.g. {listed[0]}' if listed else ''}" for what, listed in rows
        )


MEANINGS = {
    "restored": "restored",
    "adapted": "adapted, from another shape in the checkpoint",
    "missing": "initial value, not in the checkpoint",
    "mismatched": "initial value, another shape in the checkpoint",
    "left_out": "initial value, outside the restored scopes",
    "unexpected": "in the checkpoint, not used",
}


class Match(NamedTuple):
    """Which array goes where, before anything is read or assigned."""

    sources: dict[str, str]  # variable of the model -> array of the checkpoint, for all that is restored
    report: RestoreReport


def source_name(name: str, kind: str, load_all: bool = False) -> str | None:
    """The checkpoint name for the model variable `name`; None if a checkpoint of this kind does not provide it."""
    scope = next((scope for scope in EXTRACTOR_SCOPES if name.startswith(scope)), None)
    if kind == "classification":
        if scope is None:
            return None
        inner = name.removeprefix(scope)
        if scope.startswith(
            "SecondStage"
        ):  # The classifier counts the repeats of the whole network, a second stage its own.
            inner = inner.replace("InceptionResnetV2/Repeat/", "InceptionResnetV2/Repeat_2/", 1)
        return inner
    return name if kind == "full" or load_all or scope is not None else None


def match(shapes: Mapping[str, tuple[int, ...]], found: Mapping[str, Entry], start: FineTune) -> Match:
    """Sorts the model's variables and the checkpoint's arrays into the rows of the report.

    Args:
      shapes: the model's variables by name.
      found: the checkpoint's arrays by name.
      start: says how names correspond.
    """
    rows: dict[str, list[str]] = {row: [] for row in RestoreReport._fields}
    thinned = _thinned(shapes, found) if start.kind == "classification" else {}
    sources: dict[str, str] = {}
    wanted: set[str | None] = set()
    for name in sorted(shapes):
        if is_optional(name):
            continue  # The state of another run's random generator.
        source = source_name(name, start.kind, start.load_all)
        if source not in found and (average := f"{source}/{AVERAGE}") in found:
            source = average  # All that the published NASNet and PNASNet hold.
        wanted.add(source)
        row = "left_out" if source is None else "adapted" if name in thinned else _row(shapes[name], found.get(source))
        rows[row].append(name)
        if row in ("restored", "adapted"):
            sources[name] = source
    rows["unexpected"] = sorted(name for name in found if name not in wanted and not is_bookkeeping(name, found))
    return Match(sources, RestoreReport(**{row: tuple(listed) for row, listed in rows.items()}))


def _row(shape: tuple[int, ...], entry: Entry | None) -> str:
    if entry is None:
        return "missing"
    return "restored" if entry.shape == shape else "mismatched"


def _thinned(shapes: Mapping[str, tuple[int, ...]], found: Mapping[str, Entry]) -> dict[str, str]:
    """The variables of SSD's fc6 and fc7 and their sources, if all of them are thinner than the classifier's; a part
    alone would mean nothing."""
    sources = {name: source for source in _THINNED if (name := f"FeatureExtractor/{source}") in shapes}
    fits = all(
        source in found
        and found[source].shape != shapes[name]
        and vgg.can_decimate(source, found[source].shape, shapes[name])
        for name, source in sources.items()
    )
    return sources if fits else {}


def restore(variables: Mapping[str, tf.Variable], start: FineTune, *, allow_unused: bool = False) -> RestoreReport:
    """Assigns what fits and reports the rest.

    Args:
      variables: the model's variables by name, e.g. `checkpoints.by_name(detector)`.
      allow_unused: start from the checkpoint of another network too, with a warning.

    Raises:
      ConfigError: no such checkpoint, unreadable, object-based, unknown kind, nothing in it fits, or it is of another
          network.
    """
    check_kind(start.kind)
    prefix = checkpoint_files.locate(start.path)
    found = checkpoint_files.entries(prefix)
    shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
    matched = match(shapes, found, start)
    sources, report = matched
    doubts = examine(shapes, found, start, matched)
    if doubts.fault and not (allow_unused and sources):
        way_out = f", or start from it all the same by {names.ALLOW_UNUSED}" if sources else ""
        raise ConfigError(f"{prefix}: {doubts.fault}{way_out}")
    values = checkpoint_files.read(prefix, set(sources.values()))
    for name, source in sources.items():
        variables[name].assign(
            vgg.decimate(source, values[source], shapes[name]) if name in report.adapted else values[source]
        )
    for row, listed in report._asdict().items():
        logging.debug("%s: %s", row, ", ".join(listed))
    for doubt in filter(None, (doubts.fault, doubts.remark)):
        logging.warning("%s: %s", prefix, doubt)
    if report.mismatched:
        logging.warning("%s: %s", prefix, _differing(report.mismatched))
    return report


class Doubts(NamedTuple):
    """Why a checkpoint seems to be of another network than the model's, each "" if nothing speaks for it."""

    fault: str  # what it restores would be no network at all
    remark: str  # what may be meant


def examine(
    shapes: Mapping[str, tuple[int, ...]], found: Mapping[str, Entry], start: FineTune, matched: Match
) -> Doubts:
    """Whether the checkpoint's extractor is the model's. Heads are another matter: they are expected to differ.

    Batch norm that was learnt with a kernel and is left out changes what the kernel computes, so that is a fault;
    biases and whole layers that are left out may be what the config wants. Arguments as of `match`, whose result is
    `matched`.
    """
    if not matched.sources:
        return Doubts(nothing_fits(shapes, found, start), "")
    sources = {name: source for name in shapes if (source := source_name(name, start.kind, start.load_all))}
    wanted = {source for name, source in sources.items() if not is_optional(name)}
    one_stage_of_two = any(name.startswith("First") for name in shapes) and not any(
        name.startswith("Second") for name in shapes
    )
    left = names.unused_at_start(wanted, found, start.kind == "classification", whole=not one_stage_of_two)
    layers = {names.layer(source) for name, source in sources.items() if name.startswith(EXTRACTOR_SCOPES)}
    norms = [name for name in left if names.is_norm(name) and names.layer(name) in layers]
    others = [name for name in left if name not in norms]
    remark = f"{_no_place(others)}: {names.cause(wanted, found, others)}" if others else ""
    if norms:
        why = names.cause(wanted, found, norms)
        fault = (
            f"{_no_place(norms)}, though it takes the kernels they were trained with ({why}); use the checkpoint's"
            " network"
        )
        return Doubts(fault, remark)
    return Doubts(_mostly_of_another_shape(shapes, found, sources, matched.report), remark)


def _no_place(listed: Sequence[str]) -> str:
    return f"{names.shown(listed)} {'has' if len(listed) == 1 else 'have'} no place in the model"


def _mostly_of_another_shape(
    shapes, found: Mapping[str, Entry], sources: Mapping[str, str], report: RestoreReport
) -> str:
    """The fault, if more than half of what the checkpoint has of the extractor is of another shape; else ""."""
    taken = [name for name in (*report.restored, *report.adapted) if name.startswith(EXTRACTOR_SCOPES)]
    differing = [name for name in report.mismatched if name.startswith(EXTRACTOR_SCOPES)]
    if len(differing) <= len(taken):
        return ""
    name = differing[0]
    return (
        f"{len(differing)} of the {len(differing) + len(taken)} variables of the extractor that it holds have another"
        f" shape there, e.g. {name} is {list(found[sources[name]].shape)} there and {list(shapes[name])} in the model:"
        " depth_multiplier or min_depth differs; use the checkpoint's"
    )


def check_kind(kind: str) -> None:
    """Raises ConfigError for a fine_tune_checkpoint_type that there is not."""
    if kind not in KINDS:
        raise ConfigError(f"train_config.fine_tune_checkpoint_type: '{kind}' is none of {', '.join(KINDS)}")


def nothing_fits(shapes: Mapping[str, tuple[int, ...]], found: Mapping[str, Entry], start: FineTune) -> str:
    """Why nothing was restored: what was looked for, what comes closest, and which other kind would have fitted."""
    wanted = {
        name: source
        for name in shapes
        if (source := source_name(name, start.kind, start.load_all)) and not is_optional(name)
    }
    mismatched = sorted(name for name, source in wanted.items() if source in found)
    if mismatched:
        name = mismatched[0]
        return (
            f"nothing fits; all {len(mismatched)} names that match have another shape, e.g. {name} is"
            f" {list(found[wanted[name]].shape)} there and {list(shapes[name])} in the model; is depth_multiplier the"
            " same?"
        )
    others = [kind for kind in KINDS if kind != start.kind and any(source_name(name, kind) in found for name in shapes)]
    if others:
        return (
            f"no variable matches as '{start.kind}', but its names match as '{others[0]}'; set"
            f" train_config.fine_tune_checkpoint_type: '{others[0]}'"
        )
    example = min(wanted.values(), default="any extractor variable")
    close = closest(example, found, limit=3, cutoff=0.3) or sorted(found)[:3]
    return (
        f"no variable matches as '{start.kind}'; looked for e.g. {example}, the checkpoint's closest names are"
        f" {', '.join(close)}"
    )


def _differing(mismatched: tuple[str, ...]) -> str:
    shown = names.shown(mismatched, 5)
    if len(mismatched) == 1:
        return f"1 variable has another shape there and keeps its initial value: {shown}"
    return f"{len(mismatched)} variables have another shape there and keep their initial values: {shown}"
