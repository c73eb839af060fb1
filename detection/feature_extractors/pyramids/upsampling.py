"""A coarse map at the size of a finer one."""

from __future__ import annotations

import tensorflow as tf

from detection.networks.blocks import doubled


def upsampled(coarse: tf.Tensor, fine: tf.Tensor) -> tf.Tensor:
    """Every pixel of `coarse`, float32 [B, h, w, c], four times, cut to the height and width of `fine`."""
    repeated, wanted = doubled(coarse), tf.shape(fine)
    same = fine.shape[1] is not None and tuple(repeated.shape[1:3]) == tuple(fine.shape[1:3])
    return repeated if same else repeated[:, : wanted[1], : wanted[2]]
