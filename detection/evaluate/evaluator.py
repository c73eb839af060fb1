"""What every metric looks like to the loop: fed one image after the other, asked once for its numbers.

Boxes are float [n, 4] `[ymin, xmin, ymax, xmax]` in pixels of the original image (a detector's own pixels are those of
the resized image, in which size classes and, with distorted aspect ratios, areas would mean something else). Classes
are 0-based: label id - 1.

A metric is -1 where it has no meaning because there is nothing to find: no groundtruth of that category, or none of
that size. It is never NaN, so that every result can be written as JSON. Means leave such entries out. A category
without any groundtruth has no tag.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from detection.errors import printable
from detection.types import Category


class ImageGroundtruth(NamedTuple):
    """What is to be found in one image, without padding."""

    boxes: np.ndarray  # float [m, 4], pixels of the original image
    classes: np.ndarray  # int [m], 0-based
    is_crowd: np.ndarray  # bool [m], a region of many objects: what is found in it counts neither way
    difficult: np.ndarray  # bool [m], PASCAL VOC's mark; COCO's metrics do not know it
    areas: (
        np.ndarray
    )  # float [m], pixels² of the original image (of the object, not of its box, where the annotation knows it)
    # bool [m], Open Images' mark: a box around several objects that touch; empty where it is not read
    group_of: np.ndarray | tuple[()] = ()
    # int [v], 0-based classes of which it was checked whether they are in the image; None where that is not read
    checked: np.ndarray | None = None

    def rows(self, kept: np.ndarray) -> ImageGroundtruth:
        """Only those objects for which `kept` (bool [m]) holds."""
        rows = {name: getattr(self, name)[kept] for name in self._fields[:5]}
        return self._replace(**rows, group_of=self.group_of[kept] if len(self.group_of) else ())


class ImageDetections(NamedTuple):
    """What was found in one image, without padding, in any order."""

    boxes: np.ndarray  # float [d, 4], pixels of the original image
    scores: np.ndarray  # float [d]
    classes: np.ndarray  # int [d], 0-based


class PerCategory(NamedTuple):
    """One column of the table printed after an evaluation."""

    title: str  # e.g. AP
    values: dict[str, float]  # by category name; only categories with groundtruth


@runtime_checkable
class Evaluator(Protocol):
    """One family of metrics. Made once, used for many evaluations: `clear`, then `add` for every image, then
    `result`."""

    def clear(self) -> None:
        """Forgets all images."""

    def add(self, image_id: str, groundtruth: ImageGroundtruth, detections: ImageDetections) -> None:
        """Takes one image. Ids are unique within an evaluation; boxes of classes outside the categories are left
        out."""

    def result(self) -> dict[str, float]:
        """Tag -> value over all images added; may be called repeatedly, and before any image."""

    def per_category(self) -> list[PerCategory]:
        """Columns for the table on the terminal; always available, whether or not the tags per category are asked
        for."""


def image_rank(image_id: str) -> tuple:
    """Sorting key of image ids, which ranks detections of equal score and different images: numbers by value, then
    other texts by code point.

    So a metric is the same in whatever order images arrive. Digits are compared as text, since Python reads no more
    than 4300 of them as a number.
    """
    if not (image_id.isascii() and image_id.isdecimal()):
        return 1, 0, "", image_id
    digits = image_id.lstrip("0")
    return 0, len(digits), digits, image_id


def detection_rank(detections: ImageDetections) -> np.ndarray:
    """int [d], the detections of one image by descending score; among equals by class, then by box, so that their order
    in the input is no matter."""
    return np.lexsort(
        (*np.asarray(detections.boxes, np.float64).reshape(-1, 4).T[::-1], detections.classes, -detections.scores)
    )


def category_names(categories: Sequence[Category]) -> dict[int, str]:
    """0-based class -> name. Names that occur twice get their label id added, so that no two tags are equal."""
    shown = {category.id: printable(category.shown) for category in categories}
    times = Counter(shown.values())
    return {label - 1: f"{name} (id {label})" if times[name] > 1 else name for label, name in shown.items()}
