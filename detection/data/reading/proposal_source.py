"""Interfaces through which the input pipeline gets region proposals for Fast R-CNN.

They are implemented in `proposals.input_sources`.
"""

from __future__ import annotations

from typing import Protocol

import tensorflow as tf

from detection.data.reading.corrections import Corrections
from detection.data.sample import Record, SampleProposals


class ProposalReader(Protocol):
    """Returns the proposals of each record of a pipeline."""

    features: dict[str, tf.io.RaggedFeature]  # additional keys to parse from a record

    def __call__(
        self, record: Record, features: dict[str, tf.Tensor], shape: tf.Tensor, corrections: Corrections
    ) -> SampleProposals:
        """The proposals of one record; fails with a marked error (see `record_errors`) if they are unusable.

        Args:
            record: the record.
            features: its parsed keys.
            shape: int32 [2], height and width of its image.
            corrections: counts the corrections made to proposals.
        """


class ProposalSource(Protocol):
    """The source of the proposals of a data set."""

    paths: tuple[str, ...]  # globs of files beside the records; empty if the records contain the proposals
    features: dict[str, tf.io.RaggedFeature]  # as in its readers

    def open(self) -> ProposalReader:
        """Opens the files, once per pipeline. Raises ConfigError or DataError if they cannot be used."""
