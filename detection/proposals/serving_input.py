"""Proposals that a client sends with its images: checks them and converts them to pixels of the resized image.

    proposals float32 [B, P, 4], [ymin, xmin, ymax, xmax] as fractions of the image as sent, best first; rows without
        area are padding, at any position

As in training and evaluation (`input_sources`), boxes slightly outside the image are clipped, and boxes that are not
valid for this image are an error: in the served graph (`with_proposals`), and in Python with messages in pixels
(`checked`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from detection.data.record_faults import TOLERANCE
from detection.errors import DataError
from detection.ops import boxes as box_ops
from detection.types import ImageBatch, Proposals

KEY = "proposals"  # name of the argument in the signature
UNEQUAL = "proposals [B, P, 4] must have as many rows B as there are images. Proposals, images:"
UNUSABLE = (
    "proposals must be finite, [ymin, xmin, ymax, xmax], 0 to 1 of the image as sent (not pixels), minimum first. Image"
    " and row, box:"
)


def with_proposals(batch: ImageBatch, proposals: tf.Tensor) -> ImageBatch:
    """Adds proposals to a batch; invalid ones fail at run time with `UNEQUAL` or `UNUSABLE` and their values.

    Args:
        batch: the resized images.
        proposals: float32 [B, P, 4] as sent; if P is 0, one row of padding is added.
    """
    proposals = tf.ensure_shape(proposals, proposals.shape)  # A signature does not check shapes.
    with tf.control_dependencies(_checks(proposals, tf.shape(batch.images)[0])):
        boxes = tf.clip_by_value(proposals, 0.0, 1.0)
    if proposals.shape[1] is None:  # With a row of padding, no later op has to handle an empty tensor.
        boxes = tf.pad(boxes, [[0, 0], [0, tf.maximum(1 - tf.shape(boxes)[1], 0)], [0, 0]])
    boxes = box_ops.to_pixels(boxes, batch.true_shapes)
    has_area = _has_area(boxes)
    # Boxes with area first, in their order.
    rows = tf.argsort(tf.cast(~has_area, tf.int32), axis=-1, stable=True)
    kept = tf.gather(has_area, rows, batch_dims=1)[..., tf.newaxis]
    return batch._replace(proposals=_of_boxes(tf.where(kept, tf.gather(boxes, rows, batch_dims=1), 0.0)))


def _of_boxes(boxes: tf.Tensor) -> Proposals:
    """Proposals from boxes [B, P, 4] in pixels with padding at the end.

    Scores and counts are computed from the boxes alone, so that a graph that is cut at the boxes needs no other input.
    """
    has_area = _has_area(boxes)
    counts = tf.reduce_sum(tf.cast(has_area, tf.int32), axis=-1)
    ranks = (
        tf.cast(tf.range(tf.shape(boxes)[1]), tf.float32) / tf.cast(tf.maximum(counts, 1), tf.float32)[:, tf.newaxis]
    )
    return Proposals(boxes, tf.where(has_area, 1.0 - ranks, 0.0), counts)


def _has_area(boxes: tf.Tensor) -> tf.Tensor:
    return tf.reduce_all(boxes[..., 2:] > boxes[..., :2], axis=-1)


def _checks(proposals: tf.Tensor, images: tf.Tensor) -> list[tf.Operation]:
    rows = tf.shape(proposals)[0]
    usable = (proposals >= -TOLERANCE) & (proposals <= 1 + TOLERANCE)  # False for NaN, too
    usable = tf.reduce_all(usable, axis=-1) & tf.reduce_all(proposals[..., 2:] >= proposals[..., :2], axis=-1)
    first = tf.where(~usable)[:1]
    return [
        tf.debugging.Assert(tf.equal(rows, images), [UNEQUAL, rows, images]),
        tf.debugging.Assert(tf.reduce_all(usable), [UNUSABLE, first, tf.gather_nd(proposals, first)], summarize=4),
    ]


def checked(boxes: object, shape: Sequence[int], name: str) -> np.ndarray:
    """Checks boxes in pixels of an image and converts them to fractions of it.

    Args:
        boxes: an array [n, 4], [ymin, xmin, ymax, xmax], or a value that numpy can convert to one.
        shape: of the image, height and width first.
        name: of the image, for messages.

    Returns:
        float32 [n, 4].

    Raises:
        DataError: a box is not finite, has swapped corners, or exceeds the image by more than
            `data.record_faults.TOLERANCE`; names the image and the box.
    """
    try:
        pixels = np.asarray(boxes, np.float32)
    except (TypeError, ValueError):
        raise DataError(
            f"{name}: its proposals are not an array of numbers; give float32 [n, 4], ymin, xmin, ymax, xmax in pixels"
        ) from None
    if not pixels.size and pixels.ndim <= 2:
        return np.zeros([0, 4], np.float32)
    if pixels.ndim != 2 or pixels.shape[1] != 4:
        raise DataError(
            f"{name}: its proposals have the shape {list(pixels.shape)}; give [n, 4], ymin, xmin, ymax, xmax in pixels"
        )
    normalised = pixels / np.array([*shape[:2], *shape[:2]], np.float32)
    inside = (normalised >= -TOLERANCE) & (normalised <= 1 + TOLERANCE)
    faults = {
        "is not finite": ~np.isfinite(pixels).all(axis=1),
        "has its minimum above its maximum": (pixels[:, 2:] < pixels[:, :2]).any(axis=1),
        f"lies far outside the image of {shape[0]} x {shape[1]} (height x width)": ~inside.all(axis=1),
    }
    for fault, rows in faults.items():
        if rows.any():
            row = int(np.argmax(rows))
            raise DataError(
                f"{name}: proposal {row} {fault}: {pixels[row].tolist()}; give ymin, xmin, ymax, xmax in pixels of this"
                " image"
            )
    return normalised


def packed(proposals: Sequence[np.ndarray], fixed: int | None = None) -> np.ndarray:
    """Packs the boxes of each image into one array, padded with zeros.

    Args:
        proposals: boxes [n, 4] of each image as fractions of it, best first.
        fixed: P of a model with a fixed number of proposals; only the best `fixed` boxes are used. None takes the
            largest n, rounded up by at most an eighth: an accelerator compiles and tunes anew for each shape, so there
            should be few.

    Returns:
        float32 [B, P, 4].
    """
    longest = max((len(boxes) for boxes in proposals), default=0)
    result = np.zeros([len(proposals), fixed or rounded(longest), 4], np.float32)
    for row, boxes in zip(result, proposals, strict=True):
        row[: len(boxes)] = boxes[: len(row)]
    return result


def rounded(count: int) -> int:
    """Rounds up to four significant binary digits, to at least 1."""
    step = 1 << max(max(count, 1).bit_length() - 4, 0)
    return -(-max(count, 1) // step) * step
