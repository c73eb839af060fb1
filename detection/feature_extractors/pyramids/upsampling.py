"""Upsampling a coarse map to the size of a finer one."""

from __future__ import annotations

import tensorflow as tf

from detection.networks.blocks import doubled


def upsampled(coarse: tf.Tensor, fine: tf.Tensor) -> tf.Tensor:
    """Doubles `coarse`, float32 [B, h, w, c], by repeating pixels, and crops it to the height and width of `fine`."""
    repeated, shape = doubled(coarse), tf.shape(fine)
    same = fine.shape[1] is not None and tuple(repeated.shape[1:3]) == tuple(fine.shape[1:3])
    return repeated if same else repeated[:, : shape[1], : shape[2]]
