"""Restores a detector from an object-based (TensorFlow 2) checkpoint, completely or for fine-tuning.

A detector knows the key of each of its variables (`object_keys`), so neither variable names nor the original code are
needed. The kinds are those of `fine_tune_checkpoint_type`, with what the TF2 code of the TF Object Detection API
restores for each:

    classification  the backbone, from a classifier saved as Checkpoint(feature_extractor=<classifier>)
    detection       the feature extractor of a detector: backbone, pyramid and additional layers; for a two-stage
                    detector those of both stages
    full            a whole detector

A head of a different shape keeps its initial values, as with name-based checkpoints, and the report says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import tensorflow as tf
from absl import logging

from detection.checkpoints import names, object_files
from detection.checkpoints.object_files import Contents
from detection.checkpoints.restore import FineTune, RestoreReport
from detection.errors import ConfigError

# Where detectors store the backbone. An EfficientDet has the part it uses under the first prefix and the rest under the
# second; a CenterNet uses the third, over MobileNet v2 without top-down layers the fourth, unless its backbone is an
# hourglass, which has no classification checkpoint.
_READ, _BACKBONE = "model/_feature_extractor/_efficientnet/", "model/_feature_extractor/classification_backbone/"
_BASE, _NESTED = "model/_feature_extractor/_base_model/", "model/_feature_extractor/_network/layer_with_weights-0/"
_FIRST, _SECOND = (
    "model/_feature_extractor_for_proposal_features/",
    "model/_feature_extractor_for_box_classifier_features/",
)
_INNER = "layer_with_weights-0/"  # the network below a pyramid that is the first stage of a two-stage detector
_EXTRACTOR, _MODEL, _CLASSIFIER = "model/_feature_extractor", "model/", "feature_extractor/"
_CENTERS = re.compile(r"model/_prediction_head_dict/object_center/0/layer_with_weights-(\d+)/bias$")
_LAYER = re.compile(r"layer_with_weights-(\d+)/")
UNKNOWN = (
    "this is an object-based (TensorFlow 2) checkpoint, and the config's model is not one of those that support such"
    " checkpoints: SSD, Faster R-CNN and Fast R-CNN whose feature_extractor.type ends in _keras, and"
    " model.center_net"
)
_FIX = "use the pipeline.config that the checkpoint was trained with"


class Source(NamedTuple):
    """The variables of a detector, and their keys in object-based checkpoints."""

    variables: Mapping[str, tf.Variable]  # by name
    keys: Mapping[str, str]  # name -> key, of those variables that have one

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the variables that have a key, by name."""
        return {name: tuple(self.variables[name].shape) for name in self.keys}


def source_of(detector, variables: Mapping[str, tf.Variable]) -> Source:
    """Returns the variables and keys of a built detector.

    Args:
        detector: has `object_keys`.
        variables: its variables by name.
    """
    key_of = {id(variable): key for key, variable in detector.object_keys().items()}
    return Source(variables, {name: key_of[id(each)] for name, each in variables.items() if id(each) in key_of})


def start(source: Source, fine_tune: FineTune, prefix: str, *, allow_unused: bool = False) -> RestoreReport:
    """Restores variables for fine-tuning.

    Args:
        source: variables and keys of the detector.
        fine_tune: the kind of the checkpoint.
        prefix: prefix of the checkpoint.
        allow_unused: accept a checkpoint of a different network, with a warning.

    Returns:
        Which variables were restored, and which were not and why.

    Raises:
        ConfigError: the checkpoint is unreadable, restores nothing, or is from a different network.
    """
    _check_known(source, prefix)
    found = object_files.contents(prefix)
    taken, report = match(source.keys, source.shapes, found, fine_tune.kind)
    if fault := incompatibility(source.keys, report, found, fine_tune.kind):
        if not (allow_unused and taken):
            raise ConfigError(f"{prefix}: {fault}")
        logging.warning("%s: %s", prefix, fault)
    _assign(source, taken, found)
    return report


def fill(source: Source, prefix: str, moving_averages: bool = False, *, allow_unused: bool = False) -> int:
    """Restores all variables.

    Args:
        source: variables and keys of the detector.
        prefix: prefix of the checkpoint.
        moving_averages: restore the moving average of every variable that has one.
        allow_unused: only warn about variables in the checkpoint that the model does not have.

    Returns:
        The training step of the checkpoint; 0 if it has none.

    Raises:
        ConfigError: the checkpoint is unreadable, lacks a variable, has one of a different shape, or is from a
            different model. Nothing is assigned then.
    """
    _check_known(source, prefix)
    found = object_files.contents(prefix)
    taken, report = match(source.keys, source.shapes, found, "full")
    never_read = unread(source.keys)
    for row, what in ((report.missing, "not in the checkpoint"), (report.mismatched, "of a different shape there")):
        if listed := [name for name in row if name not in never_read]:
            name = listed[0]
            there = f" ({list(found.entries[key].shape)})" if (key := found.find(source.keys[name])) else ""
            raise ConfigError(
                f"{prefix}: {len(listed)} of {len(source.keys)} variables are {what}, e.g. {source.keys[name]}{there},"
                f" here {name} {list(source.shapes[name])}; {_FIX}"
            )
    if report.unexpected:
        what = f"{prefix}: {names.abbreviated(report.unexpected)} have no counterpart in the model"
        if not allow_unused:
            raise ConfigError(f"{what}; {_FIX}, or pass {names.ALLOW_UNUSED} to ignore them")
        logging.warning("%s and are ignored", what)
    if moving_averages:
        averages = {name: object_files.average(key, found.slots) for name, key in taken.items()}
        if not any(averages.values()):
            raise ConfigError(f"{prefix}: holds no moving averages; set eval_config.use_moving_averages to false")
        taken = {name: averages[name] or key for name, key in taken.items()}
    _assign(source, taken, found)
    return found.step()


def match(
    keys: Mapping[str, str], shapes: Mapping[str, tuple[int, ...]], found: Contents, kind: str
) -> tuple[dict[str, str], RestoreReport]:
    """Assigns arrays of the checkpoint to variables, without reading values.

    Args:
        keys: name -> key of every variable.
        shapes: shapes of the variables by name.
        found: the checkpoint.
        kind: classification, detection or full.

    Returns:
        {name: key in the file} of all variables to restore, and the report.
    """
    rows: dict[str, list[str]] = {row: [] for row in RestoreReport._fields}
    taken: dict[str, str] = {}
    paths = source_keys(keys.values(), kind)
    for name, own in sorted(keys.items()):
        path = paths.get(own)
        key = found.find(path) if path is not None else None
        if path is None:
            rows["left_out"].append(name)
        elif key is None:
            rows["missing"].append(name)
        elif found.entries[key].shape != shapes[name]:
            rows["mismatched"].append(name)
        else:
            rows["restored"].append(name)
            taken[name] = key
    requested = {found.find(path) for path in paths.values()}
    rows["unexpected"] = sorted(key for key in found.entries if key not in requested and is_weight(key))
    return taken, RestoreReport(**{row: tuple(listed) for row, listed in rows.items()})


def source_keys(keys: Iterable[str], kind: str) -> dict[str, str]:
    """Returns where a checkpoint of a given kind stores the variables of a detector.

    Args:
        keys: keys of the variables in a checkpoint of the detector itself.
        kind: classification, detection or full.

    Returns:
        {key: path in the checkpoint} of the variables that such a checkpoint provides.
    """
    keys = list(keys)
    if kind == "full":
        return {key: key for key in keys}
    if kind == "detection":
        return {key: key for key in keys if key.startswith(_EXTRACTOR)}
    if not any(key.startswith(_FIRST) for key in keys):
        places = (_READ, _BACKBONE, _BASE, _NESTED)
        return {key: _CLASSIFIER + _inside(key) for key in keys if key.startswith(places)}
    if any(key.startswith(f"{_FIRST}{_INNER}layer_with_weights-") for key in keys):
        network = _FIRST + _INNER
        return {key: _CLASSIFIER + key.removeprefix(network) for key in keys if key.startswith(network)}
    # The network is split between the two stages; the classifier numbers the layers of both consecutively.
    first = {key: _CLASSIFIER + key.removeprefix(_FIRST) for key in keys if key.startswith(_FIRST)}
    count = 1 + max(int(match[1]) for match in map(_LAYER.search, first) if match)
    second = {key: _LAYER.sub(lambda match: f"layer_with_weights-{int(match[1]) + count}/", key) for key in keys}
    return first | {
        key: _CLASSIFIER + moved.removeprefix(_SECOND) for key, moved in second.items() if key.startswith(_SECOND)
    }


def _inside(key: str) -> str:
    """Returns the path of a backbone variable within the classifier."""
    return key.removeprefix(_READ).removeprefix(_BACKBONE).removeprefix(_BASE).removeprefix(_NESTED)


def unread(keys: Mapping[str, str]) -> set[str]:
    """Returns the names of variables that no forward pass reads: the top of the classifier in an EfficientDet.

    Detections do not depend on them. `keys` maps variable names to keys.
    """
    if not any(key.startswith(_READ) for key in keys.values()):
        return set()
    return {name for name, key in keys.items() if key.startswith(_BACKBONE)}


def describe(found: Contents) -> str:
    """Describes in words what model a checkpoint is of."""
    if any(key.startswith(_CLASSIFIER) for key in found.entries):
        return "object-based (TensorFlow 2), a classifier"
    if centers := {int(match[1]): key for key in found.entries if (match := _CENTERS.match(key))}:
        last = found.entries[centers[max(centers)]]  # bias of the last convolution of the head
        return f"object-based (TensorFlow 2), a CenterNet, {last.shape[0]} classes"
    regions = found.find(f"{_MODEL}_mask_rcnn_box_predictor/_class_prediction_head/_class_predictor_layers/1/bias")
    if regions is not None:
        logits = found.entries[regions].shape[-1]
        return f"object-based (TensorFlow 2), a two-stage detector, {logits} logits per region including the background"
    widths = {
        part: next((entry.shape[-1] for key, entry in found.entries.items() if key.endswith(f"{part}/bias")), 0)
        for part in ("_box_encoder_layers/0", "_class_predictor_layers/0")
    }
    codes, logits = widths.values()
    if not (codes and logits):
        return "object-based (TensorFlow 2), a detector"
    background = "including the background unless add_background_class is false"
    return f"object-based (TensorFlow 2), a detector, {logits * 4 // codes} logits per anchor {background}"


def is_weight(key: str) -> bool:
    """Returns whether an array belongs to the model, not to the state of the training run."""
    return key.startswith((_MODEL, _CLASSIFIER))


def incompatibility(keys: Mapping[str, str], report: RestoreReport, found: Contents, kind: str) -> str:
    """Returns why a checkpoint cannot be used for fine-tuning, or "" if it can.

    Differences in the feature extractor count; heads are expected to differ.

    Args:
        keys: name -> key of every variable.
        report: the result of `match`.
        found: the checkpoint.
        kind: classification, detection or full.
    """
    if not report.restored:
        return _nothing_fits(keys, report, found, kind)
    never_read = unread(keys)
    of_extractor = [
        name
        for name in (*report.missing, *report.mismatched)
        if keys[name].startswith(_EXTRACTOR) and name not in never_read
    ]
    paths = source_keys(keys.values(), kind)
    own = {path for key, path in paths.items() if key.startswith(_EXTRACTOR)}
    left = [key for key in report.unexpected if key.startswith((_EXTRACTOR, _CLASSIFIER)) and not _is_top(key, own)]
    if not of_extractor and not left:
        return ""
    problems = []
    if of_extractor:
        problems.append(
            f"{len(of_extractor)} variables of the extractor are missing there or of a different shape, e.g."
            f" {paths[keys[of_extractor[0]]]} ({of_extractor[0]})"
        )
    if left:
        problems.append(f"{names.abbreviated(left)} have no counterpart in the model")
    return f"{'; '.join(problems)}: is feature_extractor the same? Pass {names.ALLOW_UNUSED} to start from it anyway"


def _is_top(key: str, own: set[str]) -> bool:
    """Returns whether a variable of a classifier belongs to its last layers, after all that detectors use."""
    numbers = [int(match[1]) for match in map(_LAYER.search, own) if match]
    number = _LAYER.search(key)
    return key.startswith(_CLASSIFIER) and number is not None and int(number[1]) > max(numbers, default=-1)


def _nothing_fits(keys: Mapping[str, str], report: RestoreReport, found: Contents, kind: str) -> str:
    if report.mismatched:
        return (
            f"all {len(report.mismatched)} variables that match by name have a different shape, e.g."
            f" {report.mismatched[0]}; is depth_multiplier the same?"
        )
    for other in ("detection", "classification"):
        if other != kind and any(map(found.find, source_keys(keys.values(), other).values())):
            return (
                f"no variable matches as '{kind}', but they do as '{other}'; set"
                f" train_config.fine_tune_checkpoint_type: '{other}'"
            )
    example = next(iter(source_keys(keys.values(), kind).values()), "any variable of the model")
    return (
        f"no variable matches as '{kind}'; looked for e.g. {example}, it has {names.abbreviated(sorted(found.entries))}"
    )


def _check_known(source: Source, prefix: str) -> None:
    if not source.keys:
        raise ConfigError(f"{prefix}: {UNKNOWN}")


def _assign(source: Source, taken: Mapping[str, str], found: Contents) -> None:
    values = object_files.read(found.prefix, taken.values())
    for name, key in taken.items():
        source.variables[name].assign(values[key])
