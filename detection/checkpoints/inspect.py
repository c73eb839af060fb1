"""Describes the contents of a checkpoint, and what a config would restore from it, as text of at most 100 columns.

Every array is read once, so that truncated or damaged files and non-finite values are found here and not in training.
"""

from __future__ import annotations

import collections
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from detection.checkpoints import (
    checkpoint_files,
    loading,
    names,
    object_files,
    object_load,
    outline,
    recognise,
    restore,
)
from detection.checkpoints.checkpoint_files import Entry
from detection.checkpoints.loading import HasObjectKeys
from detection.checkpoints.names import AVERAGE, GLOBAL_STEP
from detection.checkpoints.outline import Shapes
from detection.checkpoints.restore import FineTune, RestoreReport
from detection.errors import ConfigError
from detection.feature_extractors import catalogue

_CHUNK_BYTES = 64 << 20  # read at a time
_DIFFERENCES = 8  # number of arrays with a different shape that are listed
_HEADER = f"  {'arrays':>6} {'numbers':>11}  scope"
# The meaning of each row of a RestoreReport.
_ROWS = {
    "restored": "restored",
    "adapted": "restored, adapted from a different shape in the checkpoint",
    "mismatched": "initial value: different shape in the checkpoint",
    "missing": "initial value: not in the checkpoint",
    "left_out": "initial value: outside the scopes that '{kind}' restores",
    "unexpected": "in the checkpoint, not used",
}


class Request(NamedTuple):
    """What to inspect, and in how much detail."""

    checkpoint: str = ""  # a prefix, file or folder; "" uses the config's fine_tune_checkpoint
    kind: str = ""  # fine_tune_checkpoint_type; "" uses the config's
    levels: int = 2  # depth of scopes that are shown
    all_names: bool = False  # show every array on a separate line


class Configured(NamedTuple):
    """The detector of a config, whose variable names and shapes are compared with the checkpoint."""

    config: str  # the file, as shown in the text
    detector: HasObjectKeys
    start: FineTune | None  # the config's train_config.fine_tune_checkpoint

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the variables, by name in name-based checkpoints."""
        return {name: tuple(variable.shape) for name, variable in loading.by_name(self.detector).items()}


class Inspection(NamedTuple):
    """The description of a checkpoint."""

    lines: list[str]
    fault: str  # why training from this checkpoint would fail; "" if it would not


def inspect(request: Request, model: Configured | None = None) -> Inspection:
    """Reads a checkpoint, and compares it with the detector of a config if one is given.

    Raises:
        ConfigError, DataError: the checkpoint is missing or damaged.
    """
    start = FineTune(request.checkpoint, request.kind) if model is None else _start(request, model.start)
    if not start.path:
        raise ConfigError(
            "nothing to inspect; give --checkpoint, or --pipeline_config_path with a train_config.fine_tune_checkpoint"
        )
    prefix = checkpoint_files.locate(start.path)
    if object_files.is_object_based(prefix):
        return _object_based(prefix, start, request, model)
    found = checkpoint_files.entries(prefix)
    weights = {name: entry.shape for name, entry in found.items() if not names.is_bookkeeping(name, found)}
    lines = _overview(prefix, _facts(prefix, found, weights), weights, request)
    if model is None:
        return Inspection(lines, "")
    shapes = model.shapes
    matched = restore.match(shapes, found, start)
    lines += ["", f"{model.config}, starting from it as '{start.kind}'{' with all heads' if start.load_all else ''}:"]
    there = {name: found[source].shape for name in shapes if (source := _source(name, start)) in found}
    lines += _use(matched.report, shapes, found, there, start, request)
    compatibility = restore.compatibility(shapes, found, start, matched)
    lines += [f"  a different network? {compatibility.warning}"] if compatibility.warning else []
    return Inspection(lines, f"{prefix}: {compatibility.fault}" if compatibility.fault else "")


def _source(name: str, start: FineTune) -> str | None:
    return restore.source_name(name, start.kind, start.load_all)


def _overview(prefix: str, facts: Sequence[tuple[str, str]], weights: Shapes, request: Request) -> list[str]:
    column = max(len(subject) for subject, _ in facts)
    rows = (f"  {subject:{column}}  {sentence}" for subject, sentence in facts)
    return [prefix, *rows, "", _HEADER, *_names(weights, request)]


def _object_based(prefix: str, start: FineTune, request: Request, model: Configured | None) -> Inspection:
    """Inspects an object-based checkpoint, whose arrays have keys instead of variable names."""
    found = object_files.contents(prefix)
    weights = {key: entry.shape for key, entry in found.entries.items() if object_load.is_weight(key)}
    arrays = {f"{key}{object_files.END}": entry for key, entry in (found.entries | found.slots).items()}
    faulty = _not_finite(prefix, arrays)
    slots = collections.Counter(key.rpartition("/")[2] for key in found.slots)
    facts = [
        ("looks like", object_load.describe(found)),
        ("weights", f"{len(weights)} arrays, {outline.count(weights):,} numbers"),
        ("file", f"{_size(prefix)}; every array can be read{'' if faulty else ', every value is finite'}"),
        ("step", f"{found.step():,}" if object_files.STEP in found.entries else "not stored"),
    ]
    if faulty:
        facts.append(("NaN or inf", f"in {_many(len(faulty), 'array', 'arrays')}, e.g. {min(faulty)}"))
    if slots:
        facts.append(("also", ", ".join(f"{slot} of {count}" for slot, count in sorted(slots.items()))))
    lines = _overview(prefix, facts, weights, request)
    if model is None:
        return Inspection(lines, "")
    source = object_load.source_of(model.detector, loading.by_name(model.detector))
    lines += ["", f"{model.config}, starting from it as '{start.kind}':"]
    if not source.keys:
        return Inspection(lines, f"{prefix}: {object_load.UNKNOWN}")
    _, report = object_load.match(source.keys, source.shapes, found, start.kind)
    paths = object_load.source_keys(source.keys.values(), start.kind)
    keys = {name: found.find(paths.get(own, "")) for name, own in source.keys.items()}
    there = {name: found.entries[key].shape for name, key in keys.items() if key is not None}
    lines += _use(report, source.shapes, found.entries, there, start, request)
    fault = object_load.incompatibility(source.keys, report, found, start.kind)
    return Inspection(lines, f"{prefix}: {fault}" if fault else "")


def _start(request: Request, own: FineTune | None) -> FineTune:
    """Returns the fine-tuning checkpoint of the config, with the values that the request overrides."""
    start = own or FineTune("", "classification")
    start = start._replace(path=request.checkpoint or start.path, kind=request.kind or start.kind)
    restore.check_kind(start.kind)
    return start


def _facts(prefix: str, found: Mapping[str, Entry], weights: Shapes) -> list[tuple[str, str]]:
    """Returns (subject, sentence) for each line about the checkpoint as a whole."""
    beside: dict[str, list[str]] = collections.defaultdict(list)
    for name in found.keys() - weights.keys():
        beside[name.rpartition("/")[2]].append(name)
    steps = checkpoint_files.read(prefix, beside.pop(GLOBAL_STEP, []))
    averages = len(beside.pop(AVERAGE, []))
    slots = ", ".join(
        f"{name} of {len(names)}" if len(names) > 1 else names[0] for name, names in sorted(beside.items())
    )
    types = ", ".join(sorted({found[name].dtype.name for name in weights}))
    faulty = _not_finite(prefix, found)
    facts = [
        *_identity(recognise.network(found), recognise.detector(found), recognise.pyramid(found)),
        ("weights", f"{len(weights)} arrays, {outline.count(weights):,} numbers, {types or 'none'}"),
        ("file", f"{_size(prefix)}; every array can be read{'' if faulty else ', every value is finite'}"),
        ("step", f"{int(next(iter(steps.values()))):,}" if steps else "not stored"),
    ]
    if faulty:
        facts.append(("NaN or inf", f"in {_many(len(faulty), 'array', 'arrays')}, e.g. {min(faulty)}"))
    if averages:
        facts.append(
            (
                "averages",
                f"of {_many(averages, 'array', 'arrays')}; not used for fine-tuning, which restores the raw values",
            )
        )
    return [*facts, ("also", slots)] if slots else facts


def _identity(
    network: recognise.Network | None, detector: recognise.Detector | None, pyramid: str
) -> Iterator[tuple[str, str]]:
    """Yields what model the checkpoint is of, and the feature_extractor.type for it if there is one."""
    if network is None and detector is None:
        yield "looks like", "no known model: no scope of a known network, no head of a known detector"
        return
    words = ["an unknown network" if network is None else network.name]
    if network is not None:
        words.append(
            "unknown depth multiplier"
            if network.depth_multiplier is None
            else f"depth multiplier {network.depth_multiplier:g}"
        )
    if detector is None:
        yield (
            "looks like",
            (
                f"classifier {', '.join(words)},"
                f" {f'{network.num_logits} logits' if network.num_logits else 'without its head'}"
            ),
        )
        return
    counts = (
        (detector.num_classes, "class", "classes"),
        (detector.maps, "map", "maps"),
        (detector.anchors, "anchor per cell", "anchors per cell"),
    )
    words += [_many(number, *what) for number, *what in counts if number]
    yield "looks like", f"{detector.kind} over {', '.join(words)}"
    if detector.kind == "CenterNet":
        return
    registry, prefix = (
        (catalogue.SSD_EXTRACTORS, "ssd") if detector.kind == "SSD" else (catalogue.TWO_STAGE_EXTRACTORS, "faster_rcnn")
    )
    name = f"{prefix}_{network.name.replace('resnet_v1_', 'resnet').replace('vgg_16', 'vgg16')}" if network else ""
    if pyramid:
        name += f"{'_v1' * ('resnet' in name)}_{pyramid}{'_keras' * ('efficientnet' in name)}"
    if name in registry:
        yield "extractor", f"type: '{name}' in a config"


def _many(number: int, one: str, more: str) -> str:
    return f"{number} {one if number == 1 else more}"


def _size(prefix: str) -> str:
    files = [f"{prefix}{suffix}" for suffix in (checkpoint_files.DATA, checkpoint_files.INDEX)]
    size = sum(os.path.getsize(file) for file in files if os.path.exists(file)) or os.path.getsize(prefix)
    return f"{size / 1e6:,.1f} MB"


def _not_finite(prefix: str, found: Mapping[str, Entry]) -> list[str]:
    """Reads every array and returns the names of those with NaN or infinite values.

    Raises:
        UnreadableCheckpointError: the file is truncated or damaged.
    """
    faulty: list[str] = []
    for chunk in _chunks(found):
        values = checkpoint_files.read(prefix, chunk)
        faulty += [name for name, value in values.items() if value.dtype.kind == "f" and not np.isfinite(value).all()]
    return faulty


def _chunks(found: Mapping[str, Entry]) -> Iterator[list[str]]:
    chunk, size = [], 0
    for name in sorted(found):
        chunk.append(name)
        size += math.prod(found[name].shape) * max(found[name].dtype.size, 1)
        if size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    yield chunk


def _use(
    report: RestoreReport,
    shapes: Shapes,
    found: Mapping[str, Entry],
    there: Shapes,
    start: FineTune,
    request: Request,
) -> Iterator[str]:
    """Yields the non-empty rows of the report, each with the arrays it is about.

    `there` holds the shapes in the checkpoint by variable name of the model.
    """
    for row, meaning in _ROWS.items():
        listed = getattr(report, row)
        if not listed:
            if row == "restored":
                yield f"  0 {meaning}"
            continue
        yield f"  {len(listed)} {meaning.format(kind=start.kind)}:"
        if row in ("mismatched", "adapted"):
            yield from _differences(listed, shapes, there, request.all_names)
        else:
            yield from _names(
                {name: found[name].shape if row == "unexpected" else shapes[name] for name in listed}, request
            )


def _differences(names: Sequence[str], shapes: Shapes, there: Shapes, all_names: bool) -> Iterator[str]:
    shown = names if all_names else names[:_DIFFERENCES]
    column = max(map(len, shown))
    for name in shown:
        yield f"    {name:{column}}  checkpoint {list(there[name])}, model {list(shapes[name])}"
    if len(names) > len(shown):
        yield f"    and {len(names) - len(shown)} more"


def _names(shapes: Shapes, request: Request) -> list[str]:
    if request.all_names:
        return [f"  {1:6d} {math.prod(shape):11,d}  {name}  {list(shape)}" for name, shape in sorted(shapes.items())]
    return outline.table(shapes, request.levels)
