"""What is wrong with the boxes and scores of the proposals of one image: as training finds it, but without stopping at
the first fault.
"""

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
    """Faults of boxes (float32 [n, 4], normalised) and scores (float32 [n]); `shown` are the boxes as their source has
    them.
    """
    finite = np.isfinite(boxes).all(axis=1) & np.isfinite(scores)
    inverted = (boxes[:, 2:] < boxes[:, :2]).any(axis=1)
    outside = ((boxes > np.float32(1 + TOLERANCE)) | (boxes < np.float32(-TOLERANCE))).any(axis=1)
    clipped = np.clip(boxes, 0, 1)
    empty = (clipped[:, 2:] <= clipped[:, :2]).any(axis=1)
    sticks_out = (boxes != clipped).any(axis=1)
    usable = finite & ~inverted & ~outside
    found = {
        "proposal_unreadable": ~finite | (finite & inverted),
        "proposal_outside": finite & ~inverted & outside,
        "proposal_empty": usable & empty,
        "proposal_clipped": usable & sticks_out & ~empty,
    }
    for kind, rows in found.items():
        if rows.any():
            first = int(np.flatnonzero(rows)[0])
            numbers = ", ".join(f"{value:g}" for value in (*shown[first], scores[first]))
            yield ProposalFault(
                kind,
                f"{rows.sum()} of {len(boxes)}, first: number {first}, (ymin, xmin, ymax, xmax, score) = ({numbers})",
            )
    if not (usable & ~empty).any() and not (found["proposal_unreadable"] | found["proposal_outside"]).any():
        yield ProposalFault("proposal_none", "")
