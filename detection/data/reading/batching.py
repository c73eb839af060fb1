"""Makes batches from samples: resizing, boxes in pixels, padding to a fixed number of boxes, batches of one size."""

from __future__ import annotations

import tensorflow as tf

from detection.data.reading.corrections import Corrections
from detection.data.reading.decode import Decoded
from detection.data.reading.merging import merge_equal_boxes
from detection.data.reading.options import InputOptions
from detection.data.reading.tracing import without_autograph
from detection.data.resize import Resizer
from detection.data.sample import SampleProposals, keep_rows
from detection.types import Example, Groundtruth, ImageBatch, ImageInfo, Proposals

_SORTED_BATCHES = 4  # batches of an evaluation whose images are sorted by size together
_MAX_PARALLEL = 64  # images prepared in parallel; each occupies memory until its batch is complete


def finish(decoded: Decoded, resizer: Resizer, options: InputOptions, corrections: Corrections) -> Example:
    """Resizes the image, converts boxes to pixels of the resized image, and pads them to max_number_of_boxes.

    The result has no batch dimension.

    Args:
        decoded: the sample.
        resizer: of the images.
        options: numbers of boxes and proposals.
        corrections: counts the boxes beyond max_number_of_boxes.
    """
    sample, info, max_boxes = decoded.sample, decoded.info, options.max_number_of_boxes
    sample = keep_rows(sample, ~_is_empty(sample.boxes))
    class_sets = sample.class_scores
    if options.merge_boxes:
        sample, class_sets = merge_equal_boxes(sample, options.label_count)
    num_boxes = tf.shape(sample.boxes)[0]
    corrections.note(
        decoded.record, {"cut": tf.maximum(num_boxes - max_boxes, 0)}, {"cut": tf.strings.as_string(num_boxes)}
    )
    count = tf.minimum(num_boxes, max_boxes)
    image, true_shape = resizer(sample.image)
    scale = tf.cast(tf.tile(true_shape, [2]), tf.float32)

    def pad(field: tf.Tensor) -> tf.Tensor:
        padded = tf.pad(field[:max_boxes], [[0, max_boxes - count]] + [[0, 0]] * (field.shape.rank - 1))
        padded.set_shape([max_boxes, *field.shape[1:]])
        return padded

    groundtruth = Groundtruth(
        boxes=pad(sample.boxes * scale),
        classes=pad(sample.classes),
        weights=pad(sample.weights),
        counts=count,
        is_crowd=pad(sample.is_crowd),
        difficult=pad(sample.difficult),
        areas=pad(sample.areas),
        class_sets=() if isinstance(class_sets, tuple) else pad(class_sets),
        group_of=() if isinstance(sample.group_of, tuple) else pad(sample.group_of),
        checked=sample.checked,
    )
    proposals = pad_proposals(sample.proposals, true_shape, options.max_number_of_proposals) if sample.proposals else ()
    return Example(
        ImageBatch(image, true_shape, proposals), groundtruth, ImageInfo(info.source_id, info.original_shape)
    )


def _is_empty(boxes: tf.Tensor) -> tf.Tensor:
    """Whether boxes have no area, as crops leave some; bool [n]."""
    return tf.reduce_any(boxes[:, 2:] <= boxes[:, :2], axis=1)


def pad_proposals(proposals: SampleProposals, true_shape: tf.Tensor, max_proposals: int) -> Proposals:
    """Converts proposals to pixels and pads them with zeros to a fixed number; without batch dimension.

    Args:
        proposals: of one image.
        true_shape: int32 [2], size of the resized image.
        max_proposals: how many to keep, the best ones.
    """
    proposals = proposals.rows(tf.where(~_is_empty(proposals.boxes))[:, 0])
    count = tf.minimum(tf.shape(proposals.scores)[0], max_proposals)
    boxes = proposals.boxes[:max_proposals] * tf.cast(tf.tile(true_shape, [2]), tf.float32)
    padding = [[0, max_proposals - count]]
    return Proposals(
        boxes=tf.ensure_shape(tf.pad(boxes, [*padding, [0, 0]]), [max_proposals, 4]),
        scores=tf.ensure_shape(tf.pad(proposals.scores[:max_proposals], padding), [max_proposals]),
        counts=count,
    )


def of_one_size(samples: tf.data.Dataset) -> bool:
    """Whether all images of the data set are known to have the same size."""
    return samples.element_spec.batch.images.shape.is_fully_defined()


def by_size(samples: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
    """Batches of images of one size.

    Only a few batches of samples are grouped at a time, so that memory stays small for any number of sizes.
    """
    structure = samples.element_spec

    def size(*parts: tf.Tensor) -> tf.Tensor:
        shape = tf.shape(tf.nest.pack_sequence_as(structure, parts).batch.images, tf.int64)
        return shape[0] * 2**31 + shape[1]

    def grouped(*parts: tf.data.Dataset) -> tf.data.Dataset:
        window = tf.data.Dataset.zip(parts)
        return window.group_by_window(
            without_autograph(size), without_autograph(lambda key, group: group.batch(batch_size)), batch_size
        )

    flat = samples.map(without_autograph(lambda *sample: tuple(tf.nest.flatten(sample))))
    batches = flat.window(_SORTED_BATCHES * batch_size).flat_map(without_autograph(grouped))
    return batches.map(without_autograph(lambda *parts: tf.nest.pack_sequence_as(structure, parts)))


def dataset_options(deterministic: bool) -> tf.data.Options:
    """Options of a whole pipeline; a distribution strategy shards it by data, not by files.

    Images are prepared in parallel on all cores (at most `_MAX_PARALLEL`), without tf.data's autotuner. Its thread
    sleeps for up to a minute at a time. Deleting an iterator wakes the thread and waits for it, but if the thread runs
    before the cancellation is marked as complete, it goes back to sleep. The end of an evaluation, or any place where
    Python's garbage collector deletes an iterator, was then blocked for as long as a minute.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    options.autotune.initial_parallelism = _MAX_PARALLEL
    options.deterministic = deterministic
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return options
