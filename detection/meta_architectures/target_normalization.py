"""Normalises the box codes of every class to zero mean and unit variance (Girshick 2015, section 2.3).

    normalised = (code - mean[class]) / stddev[class]

Mean and standard deviation are measured once, on the training data, and are variables: a checkpoint holds the values
that its box layer was trained with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import keras
import tensorflow as tf

from detection.types import Example, Targets

_FEWEST = 8  # codes of a class; fewer give no useful estimate of its variance


class TargetNormalization(keras.layers.Layer):
    """Per-class statistics of box codes: mean 0 and standard deviation 1 until they are measured.

    Call its methods, not the layer itself, so that its variables stay at the root of a checkpoint.
    """

    measures = True

    def __init__(self, num_classes: int, code_size: int = 4) -> None:
        super().__init__(name="TargetNormalization", autocast=False)
        self.statistics = _Statistics(num_classes, code_size)

    def build_weights(self) -> None:
        """Creates the variables."""
        self.statistics(tf.zeros([1]))

    def normalise(self, codes: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
        """Normalises codes float32 [B, P, 4] of classes int32 [B, P]."""
        return (codes - tf.gather(self.statistics.mean, classes)) / tf.gather(self.statistics.stddev, classes)

    def restore(self, codes: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
        """The inverse of `normalise`."""
        return codes * tf.gather(self.statistics.stddev, classes) + tf.gather(self.statistics.mean, classes)

    def restore_all(self, codes: tf.Tensor) -> tf.Tensor:
        """Undoes the normalisation of codes float32 [B, P, K, 4] of every class."""
        return codes * self.statistics.stddev + self.statistics.mean

    def measure(self, examples: Iterable[Example], assign: Callable[[Example], Targets]) -> tf.Tensor:
        """Sets the statistics from the matched boxes of `examples`.

        A class with fewer than 8 of them, or whose code has no variance, gets the statistics of all classes together.

        Args:
            examples: the training data.
            assign: returns the targets of an example's proposals.

        Returns:
            The number of matched boxes of each class, float32 [K].
        """
        num_classes, code_size = self.statistics.mean.shape
        sums = [tf.Variable(tf.zeros([num_classes, columns])) for columns in (1, code_size, code_size)]

        @tf.function(autograph=False, reduce_retracing=True)
        def add(example: Example) -> None:
            targets = assign(example)
            # [B, P, K], 1 in the matched class.
            classes = targets.classes[..., 1:] * targets.box_weights[..., tf.newaxis]
            for total, values in zip(
                sums,
                (tf.ones_like(targets.box_codes[..., :1]), targets.box_codes, tf.square(targets.box_codes)),
                strict=True,
            ):
                total.assign_add(tf.einsum("bpk,bpc->kc", classes, values))

        for example in examples:
            add(example)
        count, first, second = (tf.convert_to_tensor(total) for total in sums)
        self._set(count, first, second)
        return count[:, 0]

    def _set(self, count: tf.Tensor, first: tf.Tensor, second: tf.Tensor) -> None:
        def moments(count: tf.Tensor, first: tf.Tensor, second: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            mean = tf.math.divide_no_nan(first, count)
            return mean, tf.sqrt(tf.maximum(tf.math.divide_no_nan(second, count) - tf.square(mean), 0.0))

        mean, stddev = moments(count, first, second)
        all_mean, all_stddev = moments(
            *(tf.reduce_sum(total, axis=0, keepdims=True) for total in (count, first, second))
        )
        all_stddev = tf.where(all_stddev > 1e-3, all_stddev, 1.0)
        known = (count >= _FEWEST) & (stddev > 1e-3)
        self.statistics.mean.assign(tf.where(known, mean, all_mean))
        self.statistics.stddev.assign(tf.where(known, stddev, all_stddev))


class Identity:
    """No normalisation: the box layer is trained on the codes themselves."""

    measures = False

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes

    def build_weights(self) -> None:
        """Does nothing: there are no variables."""

    def normalise(self, codes: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
        """Returns the codes unchanged."""
        return codes

    def restore(self, codes: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
        """Returns the codes unchanged."""
        return codes

    def restore_all(self, codes: tf.Tensor) -> tf.Tensor:
        """Returns the codes unchanged."""
        return codes

    def measure(self, examples: Iterable[Example], assign: Callable[[Example], Targets]) -> tf.Tensor:
        """Does nothing and reads no example. Returns float32 [K], all 0."""
        return tf.zeros([self.num_classes])


class _Statistics(keras.layers.Layer):
    """`TargetNormalization/{mean, stddev}`, each float32 [K, code]."""

    def __init__(self, num_classes: int, code_size: int) -> None:
        super().__init__(name="TargetNormalization", autocast=False)
        self.shape = (num_classes, code_size)

    def build(self, shape: tuple[int | None, ...]) -> None:
        self.mean = self.add_weight(name="mean", shape=self.shape, initializer="zeros", trainable=False)
        self.stddev = self.add_weight(name="stddev", shape=self.shape, initializer="ones", trainable=False)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return x
