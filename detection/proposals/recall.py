"""How good proposals are before any detector sees them: how many there are, and how many objects are among the best so
many of an image.

recall@k, IoU t   part of the objects that some box among the k best of their image overlaps with an intersection over
                  union of at least t
mean best IoU@k   over the objects, of the highest overlap with any of those (the "average best overlap" of Uijlings et
                  al. 2013, over all)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from detection.proposals.proposal_files import ProposalFile

BEST = (100, 500, 1000, 2000)
IOUS = (0.5, 0.7)


class RecallRow(NamedTuple):
    """What the `best` proposals of each image find."""

    best: int | None  # None: all
    recalls: tuple[float, ...]  # at IOUS
    mean_best_iou: float

    def to_dict(self) -> dict[str, object]:
        """As plain JSON types."""
        recalls = {f"recall@{iou:g}": value for iou, value in zip(IOUS, self.recalls, strict=True)}
        return {"best": self.best or "all", **recalls, "mean_best_iou": self.mean_best_iou}


class RecallReport(NamedTuple):
    """Numbers of proposals, and what they find where objects are known."""

    counts: tuple[int, ...]  # proposals of each image
    objects: int
    rows: tuple[RecallRow, ...]  # empty where no object is known

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
        """For people."""
        told = ", ".join(f"{name} {value:g}" for name, value in _summary(self.counts).items() if name != "without")
        without = sum(count == 0 for count in self.counts)
        yield f"  {len(self.counts)} images, {sum(self.counts)} proposals; an image: {told}" + (
            f"; {without} images without any" if without else ""
        )
        if self.rows:
            yield f"  of {self.objects} objects found by the best proposals of their image:"
            yield f"  {'best':>6}  " + "  ".join(f"recall@{iou:g}" for iou in IOUS) + "  mean best IoU"
            for row in self.rows:
                yield (
                    f"  {row.best or 'all':>6}  "
                    + "  ".join(f"{value:10.3f}" for value in row.recalls)
                    + f"  {row.mean_best_iou:13.3f}"
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


def report(found: ProposalFile, objects: Mapping[str, np.ndarray]) -> RecallReport:
    """What `found` holds, and finds of `objects`: for ids of its images, float32 [n, 4] in pixels."""
    overlaps: list[np.ndarray] = []  # an object: the highest overlap among the best k, for each k
    for number, identity in enumerate(found.ids):
        known = objects.get(identity)
        if known is not None and len(known):
            best = best_ious(known, found.of(number)[0])
            steps = [min(k, best.shape[1]) - 1 for k in (*BEST, best.shape[1])]
            overlaps.append(best[:, steps] if best.shape[1] else np.zeros([len(known), len(steps)]))
    if not overlaps:
        return RecallReport(tuple(np.diff(found.offsets).tolist()), 0, ())
    table = np.concatenate(overlaps)
    rows = [
        RecallRow(best, tuple(float((values >= iou).mean()) for iou in IOUS), float(values.mean()))
        for best, values in zip((*BEST, None), table.T, strict=True)
    ]
    return RecallReport(tuple(np.diff(found.offsets).tolist()), len(table), tuple(rows))


def best_ious(objects: np.ndarray, proposals: np.ndarray) -> np.ndarray:
    """float64 [objects, proposals]: the highest overlap of each object with the first 1, 2, ... proposals."""
    objects, proposals = objects.astype(np.float64)[:, np.newaxis], proposals.astype(np.float64)[np.newaxis]
    sides = np.minimum(objects[..., 2:], proposals[..., 2:]) - np.maximum(objects[..., :2], proposals[..., :2])
    shared = np.prod(np.maximum(sides, 0), axis=-1)
    areas = [np.prod(boxes[..., 2:] - boxes[..., :2], axis=-1) for boxes in (objects, proposals)]
    union = areas[0] + areas[1] - shared
    return np.maximum.accumulate(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0), axis=1)
