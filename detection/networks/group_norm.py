"""Group normalisation (Wu and He 2018), with the names of tf-slim's layer: `GroupNorm/gamma`, `GroupNorm/beta`.

    y = (x - mean) / sqrt(variance + epsilon) * gamma + beta

with mean and variance over all cells of one image and one group of its channels, so that results do not depend on the
batch size.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from detection.networks.hyperparams import GroupNormSettings


class GroupNorm(keras.layers.Layer):
    """Group normalisation: each group of channels of each image has its own mean and variance.

    Args:
        settings: number of groups and epsilon.
    """

    def __init__(self, settings: GroupNormSettings) -> None:
        super().__init__(name="GroupNorm", autocast=False)
        self.settings = settings

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Creates gamma and beta.

        Raises:
            ValueError: the number of channels is not a multiple of the number of groups.
        """
        groups, channels = self.settings.groups, shape[-1]
        if channels % groups:
            raise ValueError(
                f"group_norm has {groups} groups, and a layer has {channels} channels; choose depths that are multiples"
                f" of {groups}, or batch_norm"
            )
        self.gamma = self.add_weight(name="gamma", shape=(channels,), initializer="ones")
        self.beta = self.add_weight(name="beta", shape=(channels,), initializer="zeros")

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """float32 [B, h, w, c] -> the same shape."""
        shape, groups = tf.shape(x), self.settings.groups
        parts = tf.reshape(x, tf.concat([shape[:3], [groups, x.shape[-1] // groups]], axis=0))
        mean, variance = tf.nn.moments(parts, [1, 2, 4], keepdims=True)
        scaled = tf.reshape((parts - mean) * tf.math.rsqrt(variance + self.settings.epsilon), shape)
        return tf.ensure_shape(scaled * self.gamma + self.beta, x.shape)
