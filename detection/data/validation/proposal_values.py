"""Finds all faults in the boxes and scores of an image's proposals, with the same checks as training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from detection.data.record_faults import TOLERANCE


class ProposalFault(NamedTuple):
    """One kind of fault, for all proposals of an image that have it."""

    kind: str  # of `RECORD_FAULTS`
    value: str


def check(boxes: np.ndarray, scores: np.ndarray, shown: np.ndarray) -> Iterator[ProposalFault]:
    """Yields the faults of the proposals of one image.

    Args:
        boxes: float32 [n, 4], fractions of the image.
        scores: float32 [n].
        shown: the boxes as in their source, for messages.
    """
    finite = np.isfinite(boxes).all(axis=1) & np.isfinite(scores)
    inverted = (boxes[:, 2:] < boxes[:, :2]).any(axis=1)
    outside = ((boxes > np.float32(1 + TOLERANCE)) | (boxes < np.float32(-TOLERANCE))).any(axis=1)
    clipped = np.clip(boxes, 0, 1)
    empty = (clipped[:, 2:] <= clipped[:, :2]).any(axis=1)
    sticks_out = (boxes != clipped).any(axis=1)
    usable = finite & ~inverted & ~outside
    masks = {
        "proposal_unreadable": ~finite | (finite & inverted),
        "proposal_outside": finite & ~inverted & outside,
        "proposal_empty": usable & empty,
        "proposal_clipped": usable & sticks_out & ~empty,
    }
    for kind, rows in masks.items():
        if rows.any():
            first = int(np.flatnonzero(rows)[0])
            numbers = ", ".join(f"{value:g}" for value in (*shown[first], scores[first]))
            yield ProposalFault(
                kind,
                f"{rows.sum()} of {len(boxes)}, first: number {first}, (ymin, xmin, ymax, xmax, score) = ({numbers})",
            )
    if not (usable & ~empty).any() and not (masks["proposal_unreadable"] | masks["proposal_outside"]).any():
        yield ProposalFault("proposal_none", "")
