"""Validates proposals in files: whether a record has proposals, of its image, that training can use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from detection.data.validation.proposal_values import ProposalFault, check
from detection.proposals import proposal_files
from detection.proposals.proposal_files import ProposalFile


class KnownProposals:
    """Proposal files, with the same lookup as in training."""

    def __init__(self, files: Sequence[ProposalFile]) -> None:
        """Raises DataError if two files contain the same image."""
        self._keys = proposal_files.index(files)
        self._images = list(proposal_files.images(files))

    @classmethod
    def read(cls, patterns: Sequence[str], field: str) -> KnownProposals:
        """Reads all files that match the globs.

        Args:
            patterns: globs.
            field: where they come from, for messages.

        Raises:
            ConfigError: a pattern matches no file.
            DataError: a file cannot be used.
        """
        return cls(proposal_files.read_all(patterns, field))

    def check(self, source_id: str, filename: str, height: int, width: int) -> Iterator[ProposalFault]:
        """Faults of the proposals for an image of this name and size."""
        hits = (self._keys.get(name) for name in proposal_files.names(source_id, filename))
        number = next((hit for hit in hits if hit is not None), None)
        if number is None:
            yield ProposalFault("proposal_missing", f"no entry for {source_id!r} (file {filename!r})")
            return
        file, row = self._images[number]
        if file.sizes is not None and tuple(file.sizes[row]) != (height, width):
            file_size = "x".join(map(str, file.sizes[row][::-1]))
            yield ProposalFault(
                "proposal_size", f"{file.path} is of an image of {file_size} pixels, this one has {width}x{height}"
            )
            return
        boxes, scores = file.of(row)
        with np.errstate(over="ignore"):  # Numbers beyond float32 become infinite and are reported.
            normalised = boxes / np.array([height, width] * 2, np.float32)
        for fault in check(normalised, scores, boxes):
            yield fault._replace(value=f"{file.path}: {fault.value}" if fault.value else file.path)
