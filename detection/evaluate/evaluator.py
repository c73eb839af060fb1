"""The interface of metrics: images are added one by one, then the result is computed.

Boxes are float [n, 4] `[ymin, xmin, ymax, xmax]` in pixels of the original image. (In pixels of the resized image the
size classes and, if the aspect ratio changes, areas would have a different meaning.) Classes are 0-based: label id - 1.

A metric is -1 if it is undefined because there is no groundtruth of that category or size. It is never NaN, so that
every result can be written as JSON. Means ignore such entries. A category without any groundtruth has no tag.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from detection.errors import printable
from detection.types import Category


class ImageGroundtruth(NamedTuple):
    """The groundtruth of one image, without padding."""

    boxes: np.ndarray  # float [m, 4], pixels of the original image
    classes: np.ndarray  # int [m], 0-based
    is_crowd: np.ndarray  # bool [m], a region of many objects; detections in it are ignored
    difficult: np.ndarray  # bool [m], a flag of PASCAL VOC; COCO's metrics do not use it
    areas: np.ndarray  # float [m], pixels² of the original image: of the object if annotated, otherwise of its box
    # bool [m], a flag of Open Images: a box around several touching objects; empty if it was not read
    group_of: np.ndarray | tuple[()] = ()
    # int [v], 0-based classes whose presence in the image was verified by annotators; None if that was not read
    checked: np.ndarray | None = None

    def rows(self, kept: np.ndarray) -> ImageGroundtruth:
        """Returns the objects selected by `kept`, bool [m]."""
        rows = {name: getattr(self, name)[kept] for name in self._fields[:5]}
        return self._replace(**rows, group_of=self.group_of[kept] if len(self.group_of) else ())


class ImageDetections(NamedTuple):
    """The detections of one image, without padding, in any order."""

    boxes: np.ndarray  # float [d, 4], pixels of the original image
    scores: np.ndarray  # float [d]
    classes: np.ndarray  # int [d], 0-based


class PerCategory(NamedTuple):
    """A column of the table that is printed after an evaluation."""

    title: str  # e.g. AP
    values: dict[str, float]  # by category name; only categories with groundtruth


@runtime_checkable
class Evaluator(Protocol):
    """A set of metrics.

    One instance serves many evaluations: call `clear`, then `add` for every image, then `result`.
    """

    def clear(self) -> None:
        """Removes all images."""

    def add(self, image_id: str, groundtruth: ImageGroundtruth, detections: ImageDetections) -> None:
        """Adds one image.

        Args:
            image_id: unique within an evaluation.
            groundtruth: boxes of classes that are not in the categories are ignored.
            detections: likewise.
        """

    def result(self) -> dict[str, float]:
        """Returns tag -> value over all images added; may be called repeatedly, and before any image is added."""

    def per_category(self) -> list[PerCategory]:
        """Returns the columns of the printed table, whether or not `result` has tags per category."""


def image_rank(image_id: str) -> tuple:
    """Returns the sort key of an image id, which ranks detections of equal score in different images.

    Numbers are ordered by value, then other ids by code point, so that metrics do not depend on the order of images.
    Digits are compared as text, since Python converts at most 4300 of them to a number.
    """
    if not (image_id.isascii() and image_id.isdecimal()):
        return 1, 0, "", image_id
    digits = image_id.lstrip("0")
    return 0, len(digits), digits, image_id


def detection_rank(detections: ImageDetections) -> np.ndarray:
    """Ranks the detections of one image by descending score.

    Equal scores are ranked by class, then by box, so that the order of the input does not matter.

    Returns:
        Indices of the detections, int [d].
    """
    return np.lexsort(
        (*np.asarray(detections.boxes, np.float64).reshape(-1, 4).T[::-1], detections.classes, -detections.scores)
    )


def category_names(categories: Sequence[Category]) -> dict[int, str]:
    """Returns 0-based class -> name; the label id is added to repeated names, so that no two tags are equal."""
    shown = {category.id: printable(category.shown) for category in categories}
    times = Counter(shown.values())
    return {label - 1: f"{name} (id {label})" if times[name] > 1 else name for label, name in shown.items()}
