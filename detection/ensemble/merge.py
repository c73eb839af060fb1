"""Merges the detections of several sources (models, or crops of an image seen by one model).

For each class, over the union of all sources, by descending score:

    1. suppression: a box that is not suppressed is kept, and suppresses every later one with IoU > nms_iou; those form
        its group;
    2. voting (Gidaris and Komodakis, 2015, as in He et al., 2015, appendix A): a kept box becomes the mean of all boxes
        of its class with IoU >= voting_iou to it, suppressed ones included, weighted by their scores;
    3. scores: "max" keeps a box's own score; "mean" gives it the mean over the sources of their best scores in the
        group, 0 for a source whose view contains the box but that did not detect it. He et al. let all classifiers of
        an ensemble score the union of the proposals and average the scores; this is the equivalent for detections:
        objects that most models find rank above those that only one model finds.

A single source that was suppressed at nms_iou or less is not changed. The result does not depend on the order of the
sources.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from detection.errors import ConfigError
from detection.evaluate.evaluator import ImageDetections
from detection.evaluate.voc import pairwise_iou

SCORES = ("mean", "max")


@dataclass(frozen=True)
class MergeSettings:
    """Settings for merging detections."""

    nms_iou: float = 0.6
    voting_iou: float = 0.6  # 0: no voting
    scores: str = "mean"
    max_detections: int = 100  # how many of an image are kept

    def __post_init__(self) -> None:
        if not 0.0 < self.nms_iou <= 1.0:
            raise ConfigError(f"--nms_iou={self.nms_iou:g}: must be above 0 and at most 1")
        if self.voting_iou and not self.nms_iou <= self.voting_iou <= 1.0:
            reason = "kept boxes would vote for each other"
            raise ConfigError(
                f"--voting_iou={self.voting_iou:g}: must be at least --nms_iou={self.nms_iou:g}, otherwise {reason};"
                " raise it, or give 0 for no voting"
            )
        if self.scores not in SCORES:
            raise ConfigError(f"--scores={self.scores}: is not one of {', '.join(SCORES)}")

    def __str__(self) -> str:
        voting = f"voting at IoU {self.voting_iou:g}" if self.voting_iou else "no voting"
        return f"NMS at IoU {self.nms_iou:g}, {voting}, {self.scores} of the scores"


def grid(
    nms_ious: Sequence[float], voting_ious: Sequence[float], scores: Sequence[str], max_detections: int
) -> list[MergeSettings]:
    """All valid combinations of settings.

    Args:
        nms_ious: values of `nms_iou`.
        voting_ious: values of `voting_iou`.
        scores: values of `scores`.
        max_detections: the same for all.

    Raises:
        ConfigError: no combination is valid.
    """
    combinations = list(itertools.product(nms_ious, voting_ious, scores))
    valid = [(nms, voting, score) for nms, voting, score in combinations if not voting or voting >= nms]
    return [MergeSettings(*values, max_detections) for values in valid or combinations]


class Source(NamedTuple):
    """The detections of one model in one image or in a part of it."""

    detections: ImageDetections  # pixels of the whole image
    window: np.ndarray | None = None  # [4], pixels: the part of the image that the model saw; None: all of it


def merge(sources: Sequence[Source], settings: MergeSettings) -> ImageDetections:
    """Merges the detections of all sources; the result is float64 and int64, by descending score."""
    boxes = np.concatenate([np.asarray(source.detections.boxes, np.float64).reshape(-1, 4) for source in sources])
    scores = np.concatenate([np.asarray(source.detections.scores, np.float64) for source in sources])
    classes = np.concatenate([np.asarray(source.detections.classes, np.int64) for source in sources])
    origins = np.repeat(np.arange(len(sources)), [len(source.detections.scores) for source in sources])
    # Sorted by all values, so that ties do not depend on the order of the sources.
    order = _order(boxes, scores, classes)
    boxes, scores, classes, origins = boxes[order], scores[order], classes[order], origins[order]
    parts = []
    for class_ in np.unique(classes):
        rows = classes == class_
        merged, score = _merge_class(boxes[rows], scores[rows], origins[rows], sources, settings)
        parts.append(ImageDetections(merged, score, np.full(len(score), class_)))
    joined = (
        ImageDetections(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
        if parts
        else ImageDetections(boxes, scores, classes)
    )
    best = _order(*joined)[: settings.max_detections]
    return ImageDetections(*(column[best] for column in joined))


def _order(boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray) -> np.ndarray:
    return np.lexsort((*boxes.T, classes, -scores))


def _merge_class(
    boxes: np.ndarray, scores: np.ndarray, origins: np.ndarray, sources: Sequence[Source], settings: MergeSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Merges the boxes [n, 4] of one class.

    `origins` [n] are the numbers of their sources. Returns boxes [k, 4] and scores [k].
    """
    overlaps = pairwise_iou(boxes, boxes)
    groups = suppress(overlaps, settings.nms_iou)
    kept = np.flatnonzero(groups == np.arange(len(boxes)))
    merged, merged_scores = boxes[kept], scores[kept]
    if settings.voting_iou:
        weights = np.where(overlaps[kept] >= settings.voting_iou, np.maximum(scores, 0.0), 0.0)
        total = weights.sum(axis=1, keepdims=True)
        voted = weights @ boxes / np.where(total > 0, total, 1.0)
        # A box with only its own vote stays exactly as it is.
        only_own_vote = (weights > 0).sum(axis=1, keepdims=True) <= 1
        merged = np.where(only_own_vote, merged, voted)
    if settings.scores == "mean" and len(sources) > 1:
        best = np.zeros([len(kept), len(sources)])
        np.maximum.at(best, (np.searchsorted(kept, groups), origins), scores)
        seen = (best > 0) | np.stack([_inside(boxes[kept], source.window) for source in sources], axis=1)
        # Sorted, since a sum of floats depends on the order.
        merged_scores = np.sort(best, axis=1).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
    return merged, merged_scores


def suppress(overlaps: np.ndarray, threshold: float) -> np.ndarray:
    """Greedy suppression that returns which box suppressed each box.

    Args:
        overlaps: [n, n], IoU of boxes in order of priority.
        threshold: boxes with an IoU above it are suppressed.

    Returns:
        int64 [n]: for each box the number of the kept box that suppresses it, or its own number if it is kept.
    """
    count = len(overlaps)
    groups = np.full(count, -1)
    above = overlaps > threshold
    for first in range(count):
        if groups[first] < 0:
            groups[(groups < 0) & above[first]] = first
            groups[first] = first  # Needed for a box without area, which does not even overlap itself.
    return groups


def _inside(boxes: np.ndarray, window: np.ndarray | None) -> np.ndarray:
    """Which boxes [k, 4] lie wholly in the window, bool [k]."""
    if window is None:
        return np.ones(len(boxes), bool)
    return (boxes[:, :2] >= window[:2]).all(axis=1) & (boxes[:, 2:] <= window[2:]).all(axis=1)
