"""A coarse map at the size of a finer one."""

from __future__ import annotations

import tensorflow as tf


def upsampled(coarse: tf.Tensor, fine: tf.Tensor) -> tf.Tensor:
    """Every pixel of `coarse`, float32 [B, h, w, c], four times, cut to the height and width of `fine`."""
    _, height, width, depth = coarse.shape
    dynamic = tf.shape(coarse)
    height, width = height or dynamic[1], width or dynamic[2]
    repeated = tf.tile(coarse[:, :, tf.newaxis, :, tf.newaxis, :], [1, 1, 2, 1, 2, 1])
    repeated = tf.reshape(repeated, [dynamic[0], 2 * height, 2 * width, depth])
    wanted = tf.shape(fine)
    same = fine.shape[1] is not None and tuple(repeated.shape[1:3]) == tuple(fine.shape[1:3])
    return repeated if same else repeated[:, : wanted[1], : wanted[2]]
