"""Infers from names and shapes what model a checkpoint is of.

That is the classification network with its depth multiplier and number of logits, and the detector with its number of
classes.
"""

from __future__ import annotations

import collections
import functools
import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import tensorflow as tf

from detection.checkpoints import loading
from detection.checkpoints.checkpoint_files import Entry
from detection.checkpoints.names import EXTRACTOR_SCOPES, is_optional
from detection.networks import catalogue

Shapes = Mapping[str, tuple[int, ...]]

# Placeholder for the number of logits when shapes are compared; no layer of any network has this width.
_LOGITS = 7919
# Fraction of shapes that must be equal. Not all, since detectors decimate fully connected layers (SSD over VGG-16) and
# apply min_depth.
_ENOUGH = 0.7
_PUBLISHED = (0.25, 0.35, 0.5, 0.75, 1.3, 1.4)  # depth multipliers of published checkpoints
_CENTERS = "object_center"
_SHARED = "WeightSharedConvolutionalBoxPredictor"
_WIDE = 256  # channels; layers at least this wide are not affected by min_depth and little by rounding


class Network(NamedTuple):
    """A network of the catalogue, with what the shapes in a checkpoint say about it."""

    name: str
    depth_multiplier: float | None  # None: no depth multiplier that was tried gives the widths
    num_logits: int | None  # None: the checkpoint has no classifier head


class Detector(NamedTuple):
    """A detector, with what the shapes of its heads say about it; None where they do not say."""

    kind: str  # SSD, Faster R-CNN, R-FCN, Fast R-CNN or CenterNet
    num_classes: int | None
    maps: int | None  # number of feature maps of an SSD
    anchors: int | None  # per cell of the region proposal network


def network(found: Mapping[str, Entry]) -> Network | None:
    """Returns the network whose scope is in the checkpoint, or None if it is not in the catalogue of networks.

    Args:
        found: the arrays of the checkpoint. The scope may be at the root or inside a feature extractor's scope.
    """
    shapes = _inner_shapes(found)
    scopes = {name.partition("/")[0] for name in shapes}
    names = [name for name, scope in catalogue.SCOPES.items() if scope in scopes]
    if len({catalogue.SCOPES[name] for name in names}) != 1:
        return None
    name = names[0] if len(names) == 1 else max(names, key=lambda name: _shared(name, shapes))
    full = classifier_shapes(name, _LOGITS)
    num_logits = _num_logits(full, shapes)
    for multiplier in _multipliers(full, shapes):
        if _agreement(classifier_shapes(name, _LOGITS, multiplier), shapes) > _ENOUGH:
            return Network(name, multiplier, num_logits)
    return Network(name, None, num_logits)


@functools.lru_cache(maxsize=64)
def classifier_shapes(name: str, num_logits: int, depth_multiplier: float = 1.0) -> Shapes:
    """Returns the shapes of a classifier's variables by name.

    The classifier is only traced, so nothing is computed and no weights are allocated.

    Raises:
        ConfigError: the catalogue has no such network.
    """
    spec = catalogue.find(name)
    classifier = spec.make(num_logits, depth_multiplier)
    with tf.Graph().as_default():
        classifier(tf.zeros([1, spec.image_size, spec.image_size, 3]))
    named = loading.by_name(classifier)
    return {name: tuple(variable.shape) for name, variable in named.items() if not is_optional(name)}


def _inner_shapes(found: Mapping[str, Entry]) -> dict[str, tuple[int, ...]]:
    """Returns shapes by the names of a classifier, that is, without the scope of a feature extractor."""
    shapes = {}
    for name, entry in found.items():
        scope = next((scope for scope in EXTRACTOR_SCOPES if name.startswith(scope)), "")
        shapes.setdefault(name.removeprefix(scope), entry.shape)
    return shapes


def _num_logits(full: Shapes, shapes: Shapes) -> int | None:
    """Returns the width of the last layer of the head, whatever its name."""
    widths = {shapes[name][-1] for name, shape in full.items() if shape[-1] == _LOGITS and shapes.get(name)}
    return widths.pop() if len(widths) == 1 else None


def _shared(name: str, shapes: Shapes) -> float:
    """Returns the Jaccard index of the names in the network's scope: those in the network and in the checkpoint."""
    found = {each for each in shapes if each.startswith(f"{catalogue.SCOPES[name]}/")}
    known = classifier_shapes(name, _LOGITS).keys()
    return len(found & known) / len(found | known)


def _agreement(expected: Shapes, shapes: Shapes) -> float:
    """Returns the fraction of common arrays that have equal shapes; the number of logits may differ."""
    same = [_same(shape, shapes[name]) for name, shape in expected.items() if name in shapes]
    return sum(same) / max(len(same), 1)


def _same(expected: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    return expected == shape or (expected[-1] == _LOGITS and expected[:-1] == shape[:-1])


def _multipliers(full: Shapes, shapes: Shapes) -> Iterator[float]:
    """Yields depth multipliers to try.

    These are 1, the shortest decimal that gives the widths when they are rounded down, the two nearest published ones
    and the most common ratio of widths.
    """
    widths = [
        (shapes[name][-1], shape[-1])
        for name, shape in full.items()
        if name.endswith("weights") and shape[-1] != _LOGITS and shapes.get(name)
    ]
    if not widths:
        return
    wide = [(width, base) for width, base in widths if base >= _WIDE] or widths
    low, high = max(width / base for width, base in wide), min((width + 1) / base for width, base in wide)
    ratio, _ = collections.Counter(width / base for width, base in wide).most_common(1)[0]
    short = next((number for digits in range(5) if (number := math.ceil(low * 10**digits) / 10**digits) < high), 1.0)
    tried: set[float] = set()
    for multiplier in (1.0, short, *sorted(_PUBLISHED, key=lambda known: abs(known - ratio))[:2], ratio):
        if multiplier not in tried:
            tried.add(multiplier)
            yield multiplier


def pyramid(found: Mapping[str, Entry]) -> str:
    """Returns the kind of feature pyramid in a checkpoint, `fpn` or `bifpn` as in types; "" if there is none."""
    return next((kind for kind in ("bifpn", "fpn") if any(f"/{kind}/" in name for name in found)), "")


def detector(found: Mapping[str, Entry]) -> Detector | None:
    """Returns what the heads at the root say about the detector, or None if there are no heads."""
    roots = {name.partition("/")[0] for name in found}
    if "SecondStageFeatureExtractor" in roots or "FirstStageFeatureExtractor" in roots:
        return _two_stage(found, proposes="FirstStageBoxPredictor" in roots)
    if _CENTERS in roots:
        return Detector("CenterNet", _width(found, f"{_CENTERS}/output_0/prediction"), None, None)
    if _SHARED in roots:  # one predictor for all maps of a pyramid
        codes, logits = (_width(found, f"{_SHARED}/{part}Predictor") for part in ("Box", "Class"))
        # Most EfficientDets have no background column, and nothing in the file says whether this one has.
        known = codes and logits and pyramid(found) != "bifpn"
        return Detector("SSD", logits * 4 // codes - 1 if known else None, None, None)
    heads = {root for root in roots if root == "BoxPredictor" or root.startswith("BoxPredictor_")}
    if "FeatureExtractor" not in roots and not heads:
        return None
    head = min(heads, default="")
    codes, logits = (_width(found, f"{head}/{part}Predictor") for part in ("BoxEncoding", "Class"))
    num_classes = logits * 4 // codes - 1 if codes and logits else None
    return Detector("SSD", num_classes, len(heads) or None, None)


def _two_stage(found: Mapping[str, Entry], proposes: bool) -> Detector:
    """Returns what the heads of a two-stage detector say, K being the number of classes.

    The class map of R-FCN has bins * (K + 1) channels and its location map bins * 4 K; the class layer of the others
    has K + 1 units.
    """
    rpn = _width(found, "FirstStageBoxPredictor/BoxEncodingPredictor")
    anchors = rpn // 4 if rpn else None
    scores, locations = (
        _width(found, f"SecondStageBoxPredictor/{part}") for part in ("class_predictions", "refined_locations")
    )
    if scores and locations:
        bins = scores - locations // 4
        return Detector("R-FCN", locations // 4 // bins if bins > 0 else None, None, anchors)
    logits = _width(found, "SecondStageBoxPredictor/ClassPredictor")
    return Detector("Faster R-CNN" if proposes else "Fast R-CNN", logits - 1 if logits else None, None, anchors)


def _width(found: Mapping[str, Entry], layer: str) -> int | None:
    """Returns the number of outputs of a layer, or None if the checkpoint does not have it."""
    return next(
        (
            found[name].shape[-1]
            for name in (f"{layer}/biases", f"{layer}/weights")
            if name in found and found[name].shape
        ),
        None,
    )
