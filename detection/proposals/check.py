"""What is wrong with the proposals of one image, as training would find it (`input_sources`), but without stopping at
the first fault."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from detection.proposals import proposal_files
from detection.proposals.input_sources import TOLERANCE
from detection.proposals.proposal_files import ProposalFile


class Wrong(NamedTuple):
    """One kind of fault, for all proposals of an image that have it."""

    kind: str  # of `findings.KINDS`
    value: str


def check(boxes: np.ndarray, scores: np.ndarray, shown: np.ndarray) -> Iterator[Wrong]:
    """Faults of boxes (float32 [n, 4], normalised) and scores (float32 [n]); `shown` are the boxes as their source has
    them."""
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
            yield Wrong(
                kind,
                f"{rows.sum()} of {len(boxes)}, first: number {first}, (ymin, xmin, ymax, xmax, score) = ({numbers})",
            )
    if not (usable & ~empty).any() and not (found["proposal_unreadable"] | found["proposal_outside"]).any():
        yield Wrong("proposal_none", "")


class KnownProposals:
    """Files of proposals, looked up as training does."""

    def __init__(self, files: Sequence[ProposalFile]) -> None:
        """Raises DataError where two files hold one image."""
        self._keys = proposal_files.index(files)
        self._images = list(proposal_files.images(files))

    def check(self, source_id: str, filename: str, height: int, width: int) -> Iterator[Wrong]:
        """Faults of the proposals for an image of this name and size."""
        hits = (self._keys.get(name) for name in proposal_files.names(source_id, filename))
        number = next((hit for hit in hits if hit is not None), None)
        if number is None:
            yield Wrong("proposal_missing", f"no entry for {source_id!r} (file {filename!r})")
            return
        file, row = self._images[number]
        if file.sizes is not None and tuple(file.sizes[row]) != (height, width):
            made_for = "x".join(map(str, file.sizes[row][::-1]))
            yield Wrong(
                "proposal_size", f"{file.path} is of an image of {made_for} pixels, this one has {width}x{height}"
            )
            return
        boxes, scores = file.of(row)
        with np.errstate(over="ignore"):  # Numbers beyond float32 are not finite, and told.
            normalised = boxes / np.array([height, width] * 2, np.float32)
        for wrong in check(normalised, scores, boxes):
            yield wrong._replace(value=f"{file.path}: {wrong.value}" if wrong.value else file.path)
