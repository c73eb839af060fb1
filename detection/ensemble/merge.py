"""Detections of several sources (models, or crops of an image seen by one model) become one set.

Of each class, over the union of all sources, best score first:

    1. suppression: a box that no better one suppresses is kept, and suppresses every later one with IoU > nms_iou;
        those form its group;
    2. voting (Gidaris and Komodakis, 2015, as in He et al., 2015, appendix A): a kept box becomes the mean of all boxes
        of its class with IoU >= voting_iou to it, suppressed ones included, weighted by their scores;
    3. scores: "max" leaves a kept box its own; "mean" gives it the mean over the sources of each one's best in the
        group, 0 for a source that saw the place and found nothing. He et al. let all classifiers of an ensemble score
        the union of the proposals and average them; of detections alone, this is what is left of it: what most models
        find stays ahead of what one model imagines.

With one source that has been through suppression at no more than nms_iou, nothing changes. The order of the sources
never matters.
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
    """How detections are merged."""

    nms_iou: float = 0.6
    voting_iou: float = 0.6  # 0: boxes do not vote
    scores: str = "mean"
    max_detections: int = 100  # the best of an image that are kept

    def __post_init__(self) -> None:
        if not 0.0 < self.nms_iou <= 1.0:
            raise ConfigError(f"--nms_iou={self.nms_iou:g}: must lie above 0 and at most at 1")
        if self.voting_iou and not self.nms_iou <= self.voting_iou <= 1.0:
            reason = "kept boxes would vote for each other"
            raise ConfigError(
                f"--voting_iou={self.voting_iou:g}: lies below --nms_iou={self.nms_iou:g}, and {reason}; raise it, or"
                " give 0 for no voting"
            )
        if self.scores not in SCORES:
            raise ConfigError(f"--scores={self.scores}: is not one of {', '.join(SCORES)}")

    def __str__(self) -> str:
        voting = f"voting at IoU {self.voting_iou:g}" if self.voting_iou else "no voting"
        return f"NMS at IoU {self.nms_iou:g}, {voting}, {self.scores} of the scores"


def grid(
    nms_ious: Sequence[float], voting_ious: Sequence[float], scores: Sequence[str], max_detections: int
) -> list[MergeSettings]:
    """All combinations that make sense, at least one. Raises ConfigError where none does."""
    combinations = list(itertools.product(nms_ious, voting_ious, scores))
    sensible = [(nms, voting, score) for nms, voting, score in combinations if not voting or voting >= nms]
    return [MergeSettings(*values, max_detections) for values in sensible or combinations]


class Source(NamedTuple):
    """What one model found in one image, or in a part of it."""

    detections: ImageDetections  # pixels of the whole image
    window: np.ndarray | None = None  # [4], pixels: objects inside would have been found; None: all


def merge(sources: Sequence[Source], settings: MergeSettings) -> ImageDetections:
    """Detections of all sources as one, best first, float64 and int64."""
    boxes = np.concatenate([np.asarray(source.detections.boxes, np.float64).reshape(-1, 4) for source in sources])
    scores = np.concatenate([np.asarray(source.detections.scores, np.float64) for source in sources])
    classes = np.concatenate([np.asarray(source.detections.classes, np.int64) for source in sources])
    origins = np.repeat(np.arange(len(sources)), [len(source.detections.scores) for source in sources])
    order = _order(
        boxes, scores, classes
    )  # By everything that tells boxes apart, so that equal scores are ranked alike whatever the order.
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
    """Boxes [k, 4] and scores [k] that are kept of boxes [n, 4] of one class, best first, of which `origins` [n] says
    the source.
    """
    overlaps = pairwise_iou(boxes, boxes)
    groups = suppress(overlaps, settings.nms_iou)
    kept = np.flatnonzero(groups == np.arange(len(boxes)))
    merged, merged_scores = boxes[kept], scores[kept]
    if settings.voting_iou:
        weights = np.where(overlaps[kept] >= settings.voting_iou, np.maximum(scores, 0.0), 0.0)
        total = weights.sum(axis=1, keepdims=True)
        voted = weights @ boxes / np.where(total > 0, total, 1.0)
        alone = (weights > 0).sum(axis=1, keepdims=True) <= 1  # Its own vote alone must not cost it its last bits.
        merged = np.where(alone, merged, voted)
    if settings.scores == "mean" and len(sources) > 1:
        best = np.zeros([len(kept), len(sources)])
        np.maximum.at(best, (np.searchsorted(kept, groups), origins), scores)
        seen = (best > 0) | np.stack([_inside(boxes[kept], source.window) for source in sources], axis=1)
        # Sorted, for sums of floats depend on their order.
        merged_scores = np.sort(best, axis=1).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
    return merged, merged_scores


def suppress(overlaps: np.ndarray, threshold: float) -> np.ndarray:
    """Greedy suppression that tells who suppressed whom.

    Args:
        overlaps: [n, n], IoU of boxes in order of priority.
        threshold: an IoU above it suppresses.

    Returns:
        int64 [n]: the kept box in whose group each is, the first that suppresses it; its own number where it is kept.
    """
    count = len(overlaps)
    groups = np.full(count, -1)
    above = overlaps > threshold
    for first in range(count):
        if groups[first] < 0:
            groups[(groups < 0) & above[first]] = first
            groups[first] = first  # Also one without area, which overlaps nothing, itself included.
    return groups


def _inside(boxes: np.ndarray, window: np.ndarray | None) -> np.ndarray:
    """bool [k], boxes [k, 4] that lie wholly in the window."""
    if window is None:
        return np.ones(len(boxes), bool)
    return (boxes[:, :2] >= window[:2]).all(axis=1) & (boxes[:, 2:] <= window[2:]).all(axis=1)
