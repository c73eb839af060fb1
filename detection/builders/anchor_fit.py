"""Message `AnchorGenerator` and the boxes of a data set -> values of its fields that fit them.

    grid_anchor_generator            scales, aspect_ratios
    ssd_anchor_generator             scales, aspect_ratios
    multiscale_anchor_generator      anchor_scale, aspect_ratios
    flexible_grid_anchor_generator   base_sizes, aspect_ratios of each map, together

The numbers of values stay, and with them the detector's layers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from google.protobuf.message import Message

from detection.builders import anchor_generator
from detection.builders.stages import RPN_MATCHER
from detection.ops import anchor_coverage, box_clusters
from detection.protos import anchor_generator_pb2, pipeline_pb2

Sizes = Mapping[tuple[int, int], np.ndarray]  # height and width of resized images -> their boxes, float [n, 4], pixels
Settings = tuple[tuple[str, float | list[float]], ...]  # field below the generator's message -> value
_COARSE, _FINE = (0.7, 0.85, 1.2, 1.4), (0.93, 1.07)  # factors that values are tried with
_CLIMBS = 4  # rounds over all values, with each
_LEAST_GAIN = 1e-4
_MOST_BOXES, _MOST_SIZES = 4000, 8  # that the search looks at; what is reported is of all boxes


class Fit(NamedTuple):
    """Fields of an anchor generator and what they cover."""

    settings: Settings
    ious: np.ndarray  # for each box the highest IoU with an anchor


class Maps(NamedTuple):
    """The feature maps that anchors are laid on."""

    image: tuple[int, int]  # height and width of one image, pixels
    shapes: tuple[tuple[int, int], ...]  # rows and columns of each map, for that image
    inside: bool  # anchors that cross the image's border are not trained

    def of(self, image: tuple[int, int]) -> list[tuple[int, int]]:
        """Rows and columns of the maps of another image, which grow with it."""
        return [
            tuple(-(-cells * side // whole) for cells, side, whole in zip(shape, image, self.image, strict=True))
            for shape in self.shapes
        ]


class Place(NamedTuple):
    """Where a config has its anchors, and what counts as covered."""

    path: str  # of the message AnchorGenerator
    message: anchor_generator_pb2.AnchorGenerator
    matched: float  # an anchor is trained as an object from this IoU on
    inside: bool  # anchors that cross the image's border are not trained

    @property
    def generator(self) -> str:
        """Path of the generator that is set."""
        return f"{self.path}.{self.message.WhichOneof('anchor_generator_oneof')}"


def find(message: pipeline_pb2.TrainEvalPipelineConfig) -> Place | None:
    """The anchors of a checked config; None if its detector has none."""
    kind = message.model.WhichOneof("model")
    if kind == "ssd":
        model = message.model.ssd
        matched = model.matcher.argmax_matcher.matched_threshold
        return Place("model.ssd.anchor_generator", model.anchor_generator, matched, inside=False)
    if kind == "faster_rcnn":
        model = message.model.faster_rcnn
        chosen = model.first_stage_matcher.argmax_matcher
        given = model.first_stage_matcher.WhichOneof("matcher_oneof") == "argmax_matcher"
        matched = chosen.matched_threshold if given else RPN_MATCHER.matched_threshold
        path = "model.faster_rcnn.first_stage_anchor_generator"
        return Place(path, model.first_stage_anchor_generator, matched, inside=not model.clip_anchors_to_image)
    return None


def current(message: anchor_generator_pb2.AnchorGenerator, maps: Maps, boxes: Sizes) -> Fit:
    """What the anchors cover as they are set."""
    return Fit((), _coverage(message, maps, boxes))


def fitted(place: Place, maps: Maps, boxes: Sizes, seed: int = 0) -> Fit:
    """Values that fit the boxes: clusters of them, or what is set, whichever fits better, improved value by value.

    Args:
        place: its generator's numbers of scales, aspect ratios and maps are kept.
        maps: the feature maps.
        boxes: what is to be found, with positive sides.
        seed: of k-means, and of the sample of boxes that the search looks at.
    """
    kind = place.message.WhichOneof("anchor_generator_oneof")
    sample = _sampled(boxes, seed)
    generator = getattr(place.message, kind)
    clusters = _FITS[kind](generator, sample, seed)
    as_set = tuple((field, _value(_target(generator, field))) for field, _ in clusters)

    def score(settings: Settings) -> float:
        return score_of(_coverage(_changed(place.message, settings), maps, sample), place.matched)

    # Without explicit values there is nothing to begin from: SSD's evenly spaced scales have no list.
    complete = all(value != [] for _, value in as_set)
    best = max([clusters, as_set] if complete else [clusters], key=score)
    best = _climbed(best, score)
    return Fit(best, _coverage(_changed(place.message, best), maps, boxes))


def score_of(ious: np.ndarray, matched: float) -> float:
    """What is made as large as possible: the share of boxes that are matched, plus the mean IoU."""
    return float((ious >= matched).mean() + ious.mean())


def _climbed(settings: Settings, score: Callable[[Settings], float]) -> Settings:
    """Each value changed by the factors in turn as long as that helps."""
    best = score(settings)
    for factors in (_COARSE, _FINE):
        for _ in range(_CLIMBS):
            before = best
            for number, (field, value) in enumerate(settings):
                for place in range(len(value)) if isinstance(value, list) else [None]:
                    for factor in factors:
                        changed = _scaled(settings[number][1], place, factor, paired=field.startswith("anchor_grid"))
                        tried = (*settings[:number], (field, changed), *settings[number + 1 :])
                        if (result := score(tried)) > best + _LEAST_GAIN:
                            settings, best = tried, result
            if best == before:
                break
    return settings


def _scaled(value: float | list[float], place: int | None, factor: float, paired: bool) -> float | list[float]:
    """The value, or one of a list, times a factor; lists ascend, unless they are paired with another list."""
    if not isinstance(value, list):
        return _rounded(value * factor)
    changed = list(value)
    changed[place] = _rounded(changed[place] * factor)
    return changed if paired else sorted(changed)


def _sampled(boxes: Sizes, seed: int) -> Sizes:
    """Boxes of the most common image sizes, at random no more than the search needs."""
    rng = np.random.default_rng(seed)
    common = sorted(boxes, key=lambda size: -len(boxes[size]))[:_MOST_SIZES]
    total = sum(len(boxes[size]) for size in common)
    share = min(_MOST_BOXES / total, 1.0)
    return {
        size: boxes[size][rng.permutation(len(boxes[size]))[: max(round(len(boxes[size]) * share), 1)]]
        for size in common
    }


def _coverage(message: anchor_generator_pb2.AnchorGenerator, maps: Maps, boxes: Sizes) -> np.ndarray:
    generator = anchor_generator.build(message)
    ious = [np.zeros(0)]
    for image, rows in boxes.items():
        shapes = maps.of(image)
        counted = [(*shape, each) for shape, each in zip(shapes, generator.num_per_location, strict=True)]
        anchors = np.asarray(generator(shapes, image))
        ious.append(anchor_coverage.best_ious(anchors, counted, rows, image if maps.inside else None))
    return np.concatenate(ious)


def _changed(message: anchor_generator_pb2.AnchorGenerator, settings: Settings) -> anchor_generator_pb2.AnchorGenerator:
    changed = anchor_generator_pb2.AnchorGenerator()
    changed.CopyFrom(message)
    generator = getattr(changed, changed.WhichOneof("anchor_generator_oneof"))
    for path, value in settings:
        target, field = _target(generator, path)
        if isinstance(value, list):
            del getattr(target, field)[:]
            getattr(target, field).extend(value)
        else:
            setattr(target, field, value)
    return changed


def _target(generator: Message, path: str) -> tuple[Message, str]:
    """The message that holds a field, and the field's name."""
    *above, field = path.split(".")
    target = generator
    for name in above:
        name, _, index = name.rstrip("]").partition("[")
        target = getattr(target, name)[int(index)]
    return target, field


def _value(where: tuple[Message, str]) -> float | list[float]:
    value = getattr(*where)
    return value if isinstance(value, float) else list(value)


def _sides(boxes: Sizes) -> tuple[np.ndarray, np.ndarray]:
    """Heights and widths float64 [n, 2] of all boxes, and the shorter sides of their images [n]."""
    sizes = np.concatenate([np.zeros([0, 2]), *(rows[:, 2:] - rows[:, :2] for rows in boxes.values())])
    shorter = np.concatenate([np.zeros(0), *(np.full(len(rows), min(image)) for image, rows in boxes.items())])
    return sizes.astype(np.float64), shorter


def _ratios(sizes: np.ndarray, count: int) -> list[float]:
    """Aspect ratios, width over height."""
    return [_rounded(value) for value in box_clusters.cluster_values(sizes[:, 1] / sizes[:, 0], count)]


def _grid(generator, boxes: Sizes, seed: int) -> Settings:
    sizes, _ = _sides(boxes)
    roots = np.sqrt(sizes.prod(axis=1) / (generator.height * generator.width))
    scales = [_rounded(value) for value in box_clusters.cluster_values(roots, len(generator.scales))]
    return ("scales", scales), ("aspect_ratios", _ratios(sizes, len(generator.aspect_ratios)))


def _ssd(generator, boxes: Sizes, seed: int) -> Settings:
    sizes, shorter = _sides(boxes)
    roots = np.sqrt(sizes.prod(axis=1)) / shorter
    scales = [_rounded(min(value, 1.0)) for value in box_clusters.cluster_values(roots, generator.num_layers)]
    return ("scales", scales), ("aspect_ratios", _ratios(sizes, len(generator.aspect_ratios)))


def _multiscale(generator, boxes: Sizes, seed: int) -> Settings:
    sizes, _ = _sides(boxes)
    return ("anchor_scale", generator.anchor_scale), ("aspect_ratios", _ratios(sizes, len(generator.aspect_ratios)))


def _flexible(generator, boxes: Sizes, seed: int) -> Settings:
    sizes, _ = _sides(boxes)
    counts = [len(grid.base_sizes) for grid in generator.anchor_grid]
    clusters = box_clusters.cluster_sizes(sizes, sum(counts), seed)
    settings: list[tuple[str, float | list[float]]] = []
    start = 0
    for number, count in enumerate(counts):
        own = clusters[start : start + count]
        start += count
        settings.append((f"anchor_grid[{number}].base_sizes", [_rounded(v) for v in np.sqrt(own.prod(axis=1))]))
        settings.append((f"anchor_grid[{number}].aspect_ratios", [_rounded(v) for v in own[:, 1] / own[:, 0]]))
    return tuple(settings)


def _rounded(value: float) -> float:
    """Three digits, which is more than boxes are known to."""
    return float(f"{value:.3g}")


_FITS = {
    "grid_anchor_generator": _grid,
    "ssd_anchor_generator": _ssd,
    "multiscale_anchor_generator": _multiscale,
    "flexible_grid_anchor_generator": _flexible,
}
