"""What the stored cases of the reference implementation have in common, whatever the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from detection.types import Groundtruth


def groundtruth(
    rows: Sequence[Mapping], true_shapes: tf.Tensor, *, padded: int = 8, kind: type[np.floating] = np.float64
) -> Groundtruth:
    """The objects of a batch, padded, so that padding is seen not to count.

    Args:
        rows: of the manifest's table `groundtruth`, one an image.
        true_shapes: int32 [B, 2], sizes of the images as resized.
        padded: rows M of the result.
        kind: type in which normalised boxes become pixels. In float32, as the reference has them, anchors that tie by
            IoU tie by rounding.
    """
    boxes, classes, weights = (
        np.zeros((len(rows), padded, *last), kept) for last, kept in (((4,), "f4"), ((), "i4"), ((), "f4"))
    )
    for i, row in enumerate(rows):
        count = len(row["label_ids_1_based"])
        normalised = np.array(row["boxes_ymin_xmin_ymax_xmax_normalised"], kind)
        boxes[i, :count] = normalised * np.tile(true_shapes[i].numpy(), 2).astype(kind)
        classes[i, :count] = np.array(row["label_ids_1_based"]) - 1
        weights[i, :count] = 1
    counts = (weights > 0).sum(1).astype("i4")
    flags = np.zeros_like(weights, bool)
    return Groundtruth(*map(tf.constant, (boxes, classes, weights, counts, flags, flags, weights)))
