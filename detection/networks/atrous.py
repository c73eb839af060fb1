"""Atrous (dilated) convolution of stride 1, with gradients that work on every device.

TensorFlow's own gradients work on CPUs only if oneDNN is enabled.

    y[q] = sum_i x[q + i * rate - low] w[i]          i over the kernel, low: pixels of padding before the first one

    dx     = convolution of dy, with the same dilation and the kernel reversed
    dw[i]  = sum_q x[q + i * rate - low]^T dy[q], one matrix product for each i

Space-to-batch, TensorFlow's alternative, takes several times as long unless the rate is much smaller than the map (rate
6 on 19 x 19).
"""

from __future__ import annotations

import tensorflow as tf

Borders = tuple[tuple[int, int], tuple[int, int]]  # (before, after) of height and width, pixels


def atrous_conv2d(x: tf.Tensor, kernel: tf.Tensor, rate: int, padding: str) -> tf.Tensor:
    """Computes the convolution.

    Args:
        x: float32 [B, h, w, in].
        kernel: float32 [kh, kw, in, out].
        rate: dilation rate of both axes.
        padding: SAME or VALID.

    Returns:
        float32 [B, h', w', out].
    """

    @tf.custom_gradient
    def convolve(x: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, object]:
        def gradients(dy: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return _gradient_of_input(dy, kernel, rate, padding), _gradient_of_kernel(
                x, dy, kernel.shape, rate, padding
            )

        return tf.nn.conv2d(x, kernel, 1, padding, dilations=rate), gradients

    return convolve(x, kernel)


def _borders(kernel_shape: tf.TensorShape, rate: int, padding: str) -> Borders:
    totals = [(size - 1) * rate if padding == "SAME" else 0 for size in kernel_shape[:2]]
    return tuple((total // 2, total - total // 2) for total in totals)


def _pad(x: tf.Tensor, borders: Borders) -> tf.Tensor:
    return tf.pad(x, [(0, 0), *borders, (0, 0)])


def _gradient_of_input(dy: tf.Tensor, kernel: tf.Tensor, rate: int, padding: str) -> tf.Tensor:
    turned = tf.transpose(tf.reverse(kernel, axis=[0, 1]), [0, 1, 3, 2])
    spans = [(size - 1) * rate for size in kernel.shape[:2]]
    borders = [
        (span - before, span - after)
        for span, (before, after) in zip(spans, _borders(kernel.shape, rate, padding), strict=True)
    ]
    return tf.nn.conv2d(_pad(dy, tuple(borders)), turned, 1, "VALID", dilations=rate)


def _gradient_of_kernel(
    x: tf.Tensor, dy: tf.Tensor, kernel_shape: tf.TensorShape, rate: int, padding: str
) -> tf.Tensor:
    rows, columns, channels, filters = kernel_shape
    height, width = (dy.shape[axis] or tf.shape(dy)[axis] for axis in (1, 2))
    padded, dy = _pad(x, _borders(kernel_shape, rate, padding)), tf.reshape(dy, [-1, filters])
    taps = []
    for top in range(0, rows * rate, rate):
        for left in range(0, columns * rate, rate):
            seen = tf.reshape(padded[:, top : top + height, left : left + width], [-1, channels])
            taps.append(tf.matmul(seen, dy, transpose_a=True))
    return tf.reshape(tf.stack(taps), kernel_shape)
