"""Crops and pads a sample to a window of its image, with its boxes and proposals.

A window is [ymin, xmin, ymax, xmax] as fractions of the old image; it becomes the new image.
"""

from __future__ import annotations

import tensorflow as tf

from detection.data.sample import Sample, keep_proposals, keep_rows, move_boxes


def visible_part(boxes: tf.Tensor, window: tf.Tensor) -> tf.Tensor:
    """Intersection of box and window over the area of the box, float32 [n]; 0 for boxes without area."""
    sides = tf.maximum(tf.minimum(boxes[:, 2:], window[2:]) - tf.maximum(boxes[:, :2], window[:2]), 0)
    areas = tf.reduce_prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return tf.math.divide_no_nan(tf.reduce_prod(sides, axis=1), areas)


def overlaps(boxes: tf.Tensor, window: tf.Tensor) -> tf.Tensor:
    """Whether a box shares more than an edge with the window, bool [n]."""
    return tf.reduce_all((boxes[:, :2] < window[2:]) & (boxes[:, 2:] > window[:2]), axis=1)


def change_frame(boxes: tf.Tensor, window: tf.Tensor) -> tf.Tensor:
    """Converts boxes to coordinates of the window."""
    origin, size = window[:2], window[2:] - window[:2]
    return (boxes - tf.tile(origin, [2])) / tf.tile(size, [2])


def clip(boxes: tf.Tensor) -> tf.Tensor:
    """Clips boxes to the image."""
    return tf.clip_by_value(boxes, 0.0, 1.0)


def crop(sample: Sample, begin: tf.Tensor, size: tf.Tensor, overlap_thresh: float, clip_boxes: bool) -> Sample:
    """Crops the image and its boxes.

    Proposals are dropped only if they are completely outside, and always clipped: a proposal that shows only a corner
    of an object is background.

    Args:
        sample: the sample.
        begin: int32 [2], y and x of the window, pixels.
        size: int32 [2], height and width of the window, pixels.
        overlap_thresh: boxes are dropped if a smaller fraction of their area is inside.
        clip_boxes: clip the other boxes to the new image.
    """
    shape = tf.cast(tf.shape(sample.image)[:2], tf.float32)
    window = tf.concat([tf.cast(begin, tf.float32) / shape, tf.cast(begin + size, tf.float32) / shape], axis=0)
    channels = sample.image.shape[2]
    image = tf.slice(sample.image, tf.concat([begin, [0]], axis=0), tf.concat([size, [channels]], axis=0))
    keep = overlaps(sample.boxes, window) & (visible_part(sample.boxes, window) >= overlap_thresh)
    sample = keep_proposals(keep_rows(sample._replace(image=image), keep), lambda boxes: overlaps(boxes, window))
    sample = move_boxes(sample, lambda boxes: change_frame(boxes, window))
    if clip_boxes:
        return move_boxes(sample, clip)
    return move_boxes(sample, clip)._replace(boxes=sample.boxes)


def pad(sample: Sample, before: tf.Tensor, size: tf.Tensor, color: tf.Tensor | None = None) -> Sample:
    """Places the image on a canvas.

    Args:
        sample: the sample.
        before: int32 [2], y and x of the image on the canvas, pixels.
        size: int32 [2], height and width of the canvas, pixels.
        color: float32 [3], or of as many channels as the image has, of the canvas, 0 to 255; channels without a value,
            and all where it is None, are black.
    """
    shape = tf.shape(sample.image)[:2]
    after = size - before - shape
    margins = tf.concat([tf.stack([before, after], axis=1), [[0, 0]]], axis=0)
    channels = sample.image.shape[2]
    if color is not None:
        color = tf.pad(color, [[0, channels - color.shape[0]]]) if color.shape[0] < channels else color
    image = (
        tf.pad(sample.image, margins)
        if color is None
        else tf.pad(tf.cast(sample.image, tf.float32) - color, margins) + color
    )
    image.set_shape([None, None, channels])
    window = tf.cast(tf.concat([-before, size - before], axis=0), tf.float32) / tf.tile(tf.cast(shape, tf.float32), [2])
    return move_boxes(sample._replace(image=image), lambda boxes: change_frame(boxes, window))
