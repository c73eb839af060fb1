"""What reading knows of proposals (the regions that Fast R-CNN classifies): that something gives them for each record.

Package `proposals` has what gives them: `proposals.input_sources`.
"""

from __future__ import annotations

from typing import Protocol

import tensorflow as tf

from detection.data.reading.corrections import Corrections
from detection.data.sample import Record, SampleProposals


class ProposalReader(Protocol):
    """Gives the proposals of each record of a pipeline."""

    features: dict[str, tf.io.RaggedFeature]  # what is to be parsed from a record, beside what every record has

    def __call__(
        self, record: Record, features: dict[str, tf.Tensor], shape: tf.Tensor, corrections: Corrections
    ) -> SampleProposals:
        """Those of one record, whose image has `shape` (int32 [2], height and width).

        Fails with a marked error (see `record_errors`) where they are unusable.
        """


class ProposalSource(Protocol):
    """Where the proposals of a data set lie."""

    paths: tuple[str, ...]  # globs of files beside the records; empty where the records hold them
    features: dict[str, tf.io.RaggedFeature]  # as of its readers

    def open(self) -> ProposalReader:
        """Opens the files, once a pipeline. Raises ConfigError or DataError where they cannot be used."""
