"""Step 3 of a two-stage detector in training: sampling the proposals that the second stage is trained on."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from detection.ops.samplers import BalancedSampler
from detection.types import Proposals, Targets


@dataclasses.dataclass(frozen=True)
class ProposalSampler:
    """Samples `size` proposals per image, at most `positive_fraction` of them matched (Girshick 2015, section 2.3).

    Where fewer proposals are made than that, from all of them.
    """

    size: int
    positive_fraction: float

    def __call__(self, proposals: Proposals, targets: Targets) -> tuple[Proposals, Targets]:
        """Returns the sampled proposals and their targets, in their original order.

        There are P = min(`size`, given proposals) rows, with padding if fewer are sampled. As in the reference, the
        limit on positives is always `positive_fraction` of `size`.
        """
        valid = valid_rows(proposals)
        drawn = BalancedSampler(self.positive_fraction)(
            valid & (targets.class_weights > 0), targets.matches >= 0, self.size
        )
        # A stable sort by "not drawn" moves the drawn ones to the front and keeps their order.
        rows = tf.argsort(tf.cast(~drawn, tf.int32), axis=-1, stable=True)[:, : self.size]
        counts = tf.reduce_sum(tf.cast(drawn, tf.int32), axis=-1)

        def pick(values: tf.Tensor) -> tf.Tensor:
            picked = tf.gather(values, rows, batch_dims=1)
            kept = tf.reshape(
                tf.sequence_mask(counts, tf.shape(rows)[1]),
                tf.concat([tf.shape(rows), [1] * (values.shape.rank - 2)], 0),
            )
            return tf.where(kept, picked, tf.zeros([], picked.dtype))

        return Proposals(pick(proposals.boxes), pick(proposals.scores), counts), Targets(*map(pick, targets))


class AllProposals:
    """No sampling: the second stage is trained on all proposals, from which a miner picks the hard ones."""

    def __call__(self, proposals: Proposals, targets: Targets) -> tuple[Proposals, Targets]:
        """Returns both unchanged."""
        return proposals, targets


def valid_rows(proposals: Proposals) -> tf.Tensor:
    """Returns a mask, bool [B, P], False in padding."""
    return tf.sequence_mask(proposals.counts, tf.shape(proposals.scores)[1])
