"""Random minibatches of anchors with a bounded share of positives (Ren et al. 2015, section 3.1.3), as masks."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf


def random_subset(candidates: tf.Tensor, counts: tf.Tensor, seed: tf.Tensor | None = None) -> tf.Tensor:
    """A uniformly drawn subset of each row of candidates.

    Args:
        candidates: bool [B, A].
        counts: int32 [B], members to draw; all of a row where it has no more.
        seed: int32 [2] for a reproducible draw; None draws from TensorFlow's global generator.

    Returns:
        bool [B, A].
    """
    shape = tf.shape(candidates)
    keys = tf.random.uniform(shape) if seed is None else tf.random.stateless_uniform(shape, seed)
    keys = tf.where(candidates, keys, 2.0)  # after every candidate
    ranks = tf.argsort(tf.argsort(keys, axis=-1, stable=True), axis=-1, stable=True)
    return candidates & (ranks < counts[:, tf.newaxis])


@dataclass(frozen=True)
class BalancedSampler:
    """Draws at most int(positive_fraction * size) positives per image and fills up with negatives.

    Without a size (SSD's random_example_sampler) all positives stay, with (1 - f) / f negatives for each.
    """

    positive_fraction: float

    def __call__(
        self, eligible: tf.Tensor, positive: tf.Tensor, size: int | None, seed: tf.Tensor | None = None
    ) -> tf.Tensor:
        """The drawn anchors, bool [B, A].

        Args:
            eligible: bool [B, A], anchors that may be drawn (class weight above 0).
            positive: bool [B, A], the others are negatives.
            size: anchors to draw per image; fewer are drawn if there are not enough negatives. None as above.
            seed: int32 [2], see random_subset.
        """
        positives, negatives = eligible & positive, eligible & ~positive
        positive_seed, negative_seed = (None, None) if seed is None else tf.unstack(tf.random.split(seed))
        if size is None:
            drawn = positives
            share = (1.0 - self.positive_fraction) / self.positive_fraction
            num_negatives = tf.cast(share * tf.cast(_count(drawn), tf.float32), tf.int32)
        else:
            max_positives = tf.fill(tf.shape(positives)[:1], int(self.positive_fraction * size))
            drawn = random_subset(positives, max_positives, positive_seed)
            num_negatives = size - _count(drawn)
        return drawn | random_subset(negatives, num_negatives, negative_seed)


def _count(mask: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(mask, tf.int32), axis=-1)
