"""Atrous convolution against TensorFlow's space-to-batch form, whose gradients exist everywhere."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from detection.networks.atrous import atrous_conv2d


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(("kernel_size", "rate"), [((3, 3), 2), ((2, 3), 3), ((3, 3), 6)])
def test_value_and_gradients_equal_space_to_batch(
    kernel_size: tuple[int, int], rate: int, padding: str, compiled: bool
) -> None:
    generator = np.random.default_rng(0)
    x, kernel = (
        tf.constant(generator.normal(size=size), tf.float32) for size in ((2, 15, 18, 4), (*kernel_size, 4, 5))
    )

    def run(convolve) -> tuple[tf.Tensor, ...]:
        with tf.GradientTape() as tape:
            tape.watch((x, kernel))
            y = convolve()
            loss = tf.reduce_sum(tf.sin(y))
        return (y, *tape.gradient(loss, (x, kernel)))

    expected = run(lambda: tf.nn.convolution(x, kernel, 1, padding, dilations=rate))
    ours = tf.function(lambda: run(lambda: atrous_conv2d(x, kernel, rate, padding)), jit_compile=compiled)()
    for value, reference in zip(ours, expected, strict=True):
        assert value.shape == reference.shape
        # Sums of up to 500 float32 terms in another order.
        np.testing.assert_allclose(value, reference, atol=1e-5 * np.abs(reference).max())


def test_images_of_unknown_size() -> None:
    kernel = tf.ones([3, 3, 1, 1])

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 1])])
    def gradient(x: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch((x, kernel))
            y = tf.reduce_sum(atrous_conv2d(x, kernel, 2, "SAME"))
        return tape.gradient(y, (x, kernel))

    dx, dkernel = gradient(tf.ones([1, 5, 5, 1]))
    # Of nine taps two pixels apart, the number that fall into 5 x 5 pixels.
    np.testing.assert_array_equal(dx[0, :, 0, 0], [4, 4, 6, 4, 4])
    np.testing.assert_array_equal(dkernel[..., 0, 0], [[9, 15, 9], [15, 25, 15], [9, 15, 9]])
