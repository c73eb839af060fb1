"""Quality of proposals without a detector: how many there are, and which fraction of the objects they cover.

recall@k, IoU t   fraction of the objects that one of the k best boxes of their image overlaps with an intersection
                  over union of at least t
mean best IoU@k   mean over the objects of the highest IoU with any of those boxes (the "average best overlap" of
                  Uijlings et al. 2013, over all classes)
average recall@k  recall, averaged over IoU thresholds from 0.5 to 1: 2 / n sum max(best IoU - 0.5, 0) over n objects
                  (Hosang et al. 2015, equation 3; Girshick 2015, section 5.5)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from detection.proposals.proposal_files import ProposalFile

BEST = (100, 500, 1000, 2000)
IOUS = (0.5, 0.7)


class RecallRow(NamedTuple):
    """Recall of the `best` proposals of each image."""

    best: int | None  # None: all
    recalls: tuple[float, ...]  # at IOUS
    mean_best_iou: float
    average_recall: float

    def to_dict(self) -> dict[str, object]:
        """As plain JSON types."""
        recalls = {f"recall@{iou:g}": value for iou, value in zip(IOUS, self.recalls, strict=True)}
        return {"best": self.best or "all", **recalls, "mean_best_iou": self.mean_best_iou} | {
            "average_recall": self.average_recall
        }


class RecallReport(NamedTuple):
    """Numbers of proposals, and their recall if objects are known."""

    counts: tuple[int, ...]  # proposals of each image
    objects: int
    rows: tuple[RecallRow, ...]  # empty if no object is known

    def to_dict(self) -> dict[str, object]:
        """As plain JSON types."""
        numbers = _summary(self.counts)
        return {
            "images": len(self.counts),
            "proposals": numbers,
            "objects": self.objects,
            "found": [row.to_dict() for row in self.rows],
        }

    def lines(self) -> Iterator[str]:
        """Yields the lines of a table as text."""
        numbers = ", ".join(f"{name} {value:g}" for name, value in _summary(self.counts).items() if name != "without")
        without = sum(count == 0 for count in self.counts)
        yield f"  {len(self.counts)} images, {sum(self.counts)} proposals; per image: {numbers}" + (
            f"; {without} images without any" if without else ""
        )
        if self.rows:
            yield f"  of {self.objects} objects found by the best proposals of their image:"
            yield f"  {'best':>6}  " + "  ".join(f"recall@{iou:g}" for iou in IOUS) + "  mean best IoU  average recall"
            for row in self.rows:
                yield (
                    f"  {row.best or 'all':>6}  "
                    + "  ".join(f"{value:10.3f}" for value in row.recalls)
                    + f"  {row.mean_best_iou:13.3f}  {row.average_recall:14.3f}"
                )


def _summary(counts: tuple[int, ...]) -> dict[str, float]:
    values = np.array(counts or (0,))
    middle = {
        "least": values.min(),
        "median": np.median(values),
        "mean": round(float(values.mean()), 1),
        "most": values.max(),
    }
    return {
        **{name: float(value) for name, value in middle.items()},
        "without": int((values == 0).sum()) if counts else 0,
    }


def report(proposals: ProposalFile, objects: Mapping[str, np.ndarray]) -> RecallReport:
    """Counts the proposals and measures their recall.

    Args:
        proposals: of all images.
        objects: groundtruth boxes by image id, float32 [n, 4] in pixels.
    """
    overlaps: list[np.ndarray] = []  # for each object the highest overlap among the best k, for each k
    for number, identity in enumerate(proposals.ids):
        image_objects = objects.get(identity)
        if image_objects is not None and len(image_objects):
            best = best_ious(image_objects, proposals.of(number)[0])
            steps = [min(k, best.shape[1]) - 1 for k in (*BEST, best.shape[1])]
            overlaps.append(best[:, steps] if best.shape[1] else np.zeros([len(image_objects), len(steps)]))
    if not overlaps:
        return RecallReport(tuple(np.diff(proposals.offsets).tolist()), 0, ())
    table = np.concatenate(overlaps)
    rows = [
        RecallRow(
            best,
            tuple(float((values >= iou).mean()) for iou in IOUS),
            float(values.mean()),
            float(2 * np.maximum(values - 0.5, 0).mean()),
        )
        for best, values in zip((*BEST, None), table.T, strict=True)
    ]
    return RecallReport(tuple(np.diff(proposals.offsets).tolist()), len(table), tuple(rows))


def best_ious(objects: np.ndarray, proposals: np.ndarray) -> np.ndarray:
    """The highest IoU of each object with the first 1, 2, ... proposals, float64 [objects, proposals]."""
    objects, proposals = objects.astype(np.float64)[:, np.newaxis], proposals.astype(np.float64)[np.newaxis]
    sides = np.minimum(objects[..., 2:], proposals[..., 2:]) - np.maximum(objects[..., :2], proposals[..., :2])
    shared = np.prod(np.maximum(sides, 0), axis=-1)
    areas = [np.prod(boxes[..., 2:] - boxes[..., :2], axis=-1) for boxes in (objects, proposals)]
    union = areas[0] + areas[1] - shared
    return np.maximum.accumulate(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0), axis=1)
