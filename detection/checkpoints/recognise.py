"""What a checkpoint is of, as its names and shapes tell: which classifier, with how many logits; which detector, for
how many classes."""

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

# Stands for the number of logits while shapes are compared; no layer of any network is that wide.
_LOGITS = 7919
# Share of shapes that must be equal: not all, since detectors thin fully connected layers (SSD over VGG-16) and have a
# least depth.
_ENOUGH = 0.7
_PUBLISHED = (0.25, 0.35, 0.5, 0.75, 1.3, 1.4)  # multipliers
_CENTERS = "object_center"
_SHARED = "WeightSharedConvolutionalBoxPredictor"
_WIDE = 256  # channels from which on no least depth and little rounding is in a width


class Network(NamedTuple):
    """A network of the catalogue at the depth that a checkpoint has it."""

    name: str
    depth_multiplier: float | None  # None: at none that was tried do the widths fit
    num_logits: int | None  # None: no classifier's head is there


class Detector(NamedTuple):
    """What the heads tell. `None` is what they do not tell."""

    kind: str  # the paper's name
    num_classes: int | None
    maps: int | None  # of SSD
    anchors: int | None  # a cell of the region proposal network


def network(found: Mapping[str, Entry]) -> Network | None:
    """The network whose scope is there, at the root or below an extractor's; None if it is none of the catalogue's."""
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
    """The shapes of a classifier's variables by name. It is traced and dropped: nothing is computed, no memory is taken
    for weights.

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
    """Shapes by the name that a classifier has for it: without the scope of an extractor."""
    shapes = {}
    for name, entry in found.items():
        scope = next((scope for scope in EXTRACTOR_SCOPES if name.startswith(scope)), "")
        shapes.setdefault(name.removeprefix(scope), entry.shape)
    return shapes


def _num_logits(full: Shapes, shapes: Shapes) -> int | None:
    """Read off the last layer of the head, whatever it is called."""
    widths = {shapes[name][-1] for name, shape in full.items() if shape[-1] == _LOGITS and shapes.get(name)}
    return widths.pop() if len(widths) == 1 else None


def _shared(name: str, shapes: Shapes) -> float:
    """Of the names below a network's scope that it or the checkpoint has, the share that both have."""
    found = {each for each in shapes if each.startswith(f"{catalogue.SCOPES[name]}/")}
    known = classifier_shapes(name, _LOGITS).keys()
    return len(found & known) / len(found | known)


def _agreement(expected: Shapes, shapes: Shapes) -> float:
    """Of the arrays that both have, the share that has one shape, the number of logits apart."""
    same = [_same(shape, shapes[name]) for name, shape in expected.items() if name in shapes]
    return sum(same) / max(len(same), 1)


def _same(expected: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    return expected == shape or (expected[-1] == _LOGITS and expected[:-1] == shape[:-1])


def _multipliers(full: Shapes, shapes: Shapes) -> Iterator[float]:
    """What to try: 1; the shortest number that the widths can be rounded down from; the nearest published ones; the
    commonest ratio."""
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
    """The feature pyramid that is there, as types call it: fpn or bifpn; "" where there is none."""
    return next((kind for kind in ("bifpn", "fpn") if any(f"/{kind}/" in name for name in found)), "")


def detector(found: Mapping[str, Entry]) -> Detector | None:
    """What the heads at the root tell; None where there are none."""
    roots = {name.partition("/")[0] for name in found}
    if "SecondStageFeatureExtractor" in roots or "FirstStageFeatureExtractor" in roots:
        return _two_stage(found, proposes="FirstStageBoxPredictor" in roots)
    if _CENTERS in roots:
        return Detector("CenterNet", _width(found, f"{_CENTERS}/output_0/prediction"), None, None)
    if _SHARED in roots:  # one predictor for all maps of a pyramid
        codes, logits = (_width(found, f"{_SHARED}/{part}Predictor") for part in ("Box", "Class"))
        # An EfficientDet's background mostly has no column, and nothing in the file says so.
        told = codes and logits and pyramid(found) != "bifpn"
        return Detector("SSD", logits * 4 // codes - 1 if told else None, None, None)
    heads = {root for root in roots if root == "BoxPredictor" or root.startswith("BoxPredictor_")}
    if "FeatureExtractor" not in roots and not heads:
        return None
    head = min(heads, default="")
    codes, logits = (_width(found, f"{head}/{part}Predictor") for part in ("BoxEncoding", "Class"))
    num_classes = logits * 4 // codes - 1 if codes and logits else None
    return Detector("SSD", num_classes, len(heads) or None, None)


def _two_stage(found: Mapping[str, Entry], proposes: bool) -> Detector:
    """R-FCN's class map has bins * (K + 1) channels and its location map bins * 4 K; the others' class layer has K + 1
    units."""
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
    """Number of outputs of a layer, or None."""
    return next(
        (
            found[name].shape[-1]
            for name in (f"{layer}/biases", f"{layer}/weights")
            if name in found and found[name].shape
        ),
        None,
    )
