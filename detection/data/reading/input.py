"""Input pipelines of training and evaluation.

    training:    epoch after epoch (shuffle shards -> read several at once -> shuffle records -> 1 of n)
                 -> decode -> augment -> resize -> pad -> batch -> prefetch
    evaluation:  shards in order -> 1 of n -> decode -> resize -> pad -> batch -> prefetch, once

Memory stays small because records are shuffled while they are still compressed. An epoch ends before the next begins,
so a small data set starts immediately, however large the shuffle buffer, and every image appears once per epoch. The
order of the data and all augmentations depend only on the seed and the position in the stream: epoch e is shuffled with
(seed, e), sample i is augmented with (seed, i). So `start_step` resumes a stopped run exactly where it was, by counting
the records of an epoch (from their headers) and skipping whole epochs without reading them.

For tf.distribute the pipelines request sharding by data, not by file. Workers that each build their own pipeline pass
`worker` and `workers`; each then decodes only its part.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable, Sequence

import tensorflow as tf
from absl import logging

from detection.data.augment import draw
from detection.data.reading import shard_files
from detection.data.reading.batching import by_size, dataset_options, finish, of_one_size
from detection.data.reading.class_scores import ClassScoreReader
from detection.data.reading.corrections import Corrections
from detection.data.reading.decode import Decoded, Decoder
from detection.data.reading.extra_channels import ExtraChannelReader
from detection.data.reading.frames import FrameReader
from detection.data.reading.image_labels import ImageLabelReader, hierarchy
from detection.data.reading.iteration import describe_fault
from detection.data.reading.labels import LabelLookup
from detection.data.reading.options import InputOptions
from detection.data.reading.streams import mixed_stream, read_in_order
from detection.data.reading.tracing import without_autograph
from detection.data.resize import Resizer
from detection.data.sample import Augmentation, Record
from detection.types import Example


def train_dataset(
    options: InputOptions,
    augmentations: Sequence[Augmentation],
    resizer: Resizer,
    batch_size: int,
    seed: int | None,
    *,
    start_step: int = 0,
    worker: int = 0,
    workers: int = 1,
    corrections: Corrections | None = None,
) -> tf.data.Dataset:
    """Endless batches of `types.Example`, all `batch_size` large.

    Args:
        options: what to read.
        augmentations: applied in this order, each with its own random numbers.
        resizer: if it does not give all images the same size, batches are padded with zeros to their largest image.
        batch_size: images in a batch of this pipeline.
        seed: makes order and augmentation reproducible; None for a random seed.
        start_step: number of batches that a run with this seed and batch size has already used.
        worker: number of this pipeline among `workers`.
        workers: number of pipelines that share the records.
        corrections: counts the corrections made to records.

    Raises:
        ConfigError: no file matches.
        DataError: files without records, or compressed files. Other errors are raised while iterating: see `iterate`.
    """
    corrections = Corrections() if corrections is None else corrections
    _warn_of_too_many_boxes(options)
    decode = _decoder(options, corrections, options.frame_index)
    deterministic = seed is not None
    seed = secrets.randbits(31) if seed is None else seed
    position = start_step * batch_size * workers
    stream = mixed_stream(options, decode, seed, position).enumerate(start=position)
    if workers > 1:
        stream = stream.shard(workers, worker)

    def prepare(position: tf.Tensor, element: Record | Decoded) -> Example:
        if options.sequences and not options.cache:  # elements of a cache are single frames
            frame_seed = tf.random.fold_in(tf.stack([tf.constant(seed, tf.int64), position]), len(augmentations))
            element = element._replace(frame=tf.cast(draw.integer(frame_seed, 0, 2**31 - 1), tf.int64))
        decoded = element if options.cache else decode(element)
        sample = decoded.sample
        for number, augment in enumerate(augmentations):
            sample = augment(sample, tf.random.fold_in(tf.stack([tf.constant(seed, tf.int64), position]), number))
        return finish(decoded._replace(sample=sample), resizer, options, corrections)

    samples = stream.map(without_autograph(prepare), num_parallel_calls=tf.data.AUTOTUNE, deterministic=deterministic)
    batches = (samples.batch if of_one_size(samples) else samples.padded_batch)(batch_size, drop_remainder=True)
    return batches.prefetch(max(options.num_prefetch_batches, 1)).with_options(dataset_options(deterministic))


def eval_dataset(
    options: InputOptions, resizer: Resizer, batch_size: int, *, corrections: Corrections | None = None
) -> tf.data.Dataset:
    """All records once, in the order of the sorted shards.

    The last batch may be smaller; the batch dimension is static only for `batch_size` 1.

    Images are never padded to a common size, since padding changes the input of a network at the border: if the resizer
    gives several sizes, each batch has images of one size. For that, the images of a few batches are grouped by size,
    and batches may be smaller; the result for an image does not depend on the batch size.

    Args:
        options: what to read.
        resizer: of the images.
        batch_size: images in a batch.
        corrections: counts the corrections made to records.

    Raises:
        ConfigError, DataError: as in `train_dataset`.
    """
    corrections = Corrections() if corrections is None else corrections
    decode = _decoder(options, corrections)
    options = _with_enough_boxes(options, options.shards())
    records = read_in_order(options, options.shards())
    if options.sample_1_of_n_examples > 1:
        records = records.shard(options.sample_1_of_n_examples, 0)

    def prepare(record: Record) -> Example:
        return finish(decode(record), resizer, options, corrections)

    samples = records.map(without_autograph(prepare), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    if batch_size == 1 or of_one_size(samples):
        batches = samples.batch(batch_size, drop_remainder=batch_size == 1)
    else:
        batches = by_size(samples, batch_size)
    return batches.prefetch(max(options.num_prefetch_batches, 1)).with_options(dataset_options(deterministic=True))


def checker(options: InputOptions, corrections: Corrections | None = None) -> Callable[[str, int, bytes], str | None]:
    """A function (shard, number, serialised record) -> why training cannot use the record, or None.

    It may be called from several threads.

    Args:
        options: of the input.
        corrections: counts the corrections made to usable records.
    """
    decode = _decoder(options, Corrections() if corrections is None else corrections)

    @tf.function(
        autograph=False, input_signature=[tf.TensorSpec([], dtype) for dtype in (tf.string, tf.int64, tf.string)]
    )
    def decoded(path: tf.Tensor, number: tf.Tensor, serialized: tf.Tensor) -> list[tf.Tensor]:
        return tf.nest.flatten(decode(Record(path, number, serialized)))

    decoded = decoded.get_concrete_function()  # Otherwise several threads might each trace it.

    def check(path: str, number: int, serialized: bytes) -> str | None:
        try:
            decoded(tf.constant(path), tf.constant(number, tf.int64), tf.constant(serialized))
        except (tf.errors.OpError, UnicodeDecodeError) as error:
            return describe_fault(error, serialized, options)
        return None

    return check


def _decoder(options: InputOptions, corrections: Corrections, frame_index: int = -1) -> Callable[[Record], Decoded]:
    ids = tuple(category.id for category in options.categories)
    lookup = LabelLookup(options.text_ids, ids, options.num_classes)
    classes = (
        hierarchy(options.ancestors, options.descendants, options.label_ids, options.label_count)
        if options.ancestors
        else None
    )
    decoder = Decoder(
        lookup,
        corrections,
        options.label_source,
        options.drop_unknown_labels,
        difficult_objects=options.difficult,
        proposals=None if options.proposals is None else options.proposals.open(),
        image_labels=ImageLabelReader(lookup, options.label_count, classes) if options.open_images else None,
        hierarchy=classes,
        frames=FrameReader(frame_index) if options.sequences else None,
        extra_channels=ExtraChannelReader(options.extra_channels) if options.extra_channels else None,
        class_scores=ClassScoreReader(options.class_scores, options.label_count) if options.class_scores else None,
    )

    def decode(record: Record) -> Decoded:
        return Decoded(*decoder(record), record._replace(serialized=tf.constant("")))

    return without_autograph(decode)


def _warn_of_too_many_boxes(options: InputOptions) -> None:
    """Warns before training if manifests show that records have too many boxes; otherwise `Corrections` reports it."""
    if options.python is not None:
        max_boxes = options.python.most_boxes or 0
    else:
        max_boxes = max((shard_files.known_most_boxes(path) or 0 for path in options.shards()), default=0)
    if max_boxes > options.max_number_of_boxes:
        description = f"{options.boxes_field} is {options.max_number_of_boxes}, but a record has {max_boxes} boxes"
        logging.warning("%s: the others are not used for training; set it to %d to use all", description, max_boxes)


def _with_enough_boxes(options: InputOptions, files: tuple[str, ...]) -> InputOptions:
    """Raises max_number_of_boxes to the largest number of a record, since evaluation needs all boxes of an image."""
    if options.python is not None:
        max_boxes = options.python.most_boxes or 0
    else:
        max_boxes = max((shard_files.most_boxes(path) for path in files), default=0)
    max_boxes *= 1 + max((len(ancestors) for _, ancestors in options.ancestors), default=0)  # one box for each
    if max_boxes <= options.max_number_of_boxes:
        return options
    logging.warning(
        "%s is %d, but a record has %d boxes; evaluation uses all of them",
        options.boxes_field,
        options.max_number_of_boxes,
        max_boxes,
    )
    return dataclasses.replace(options, max_number_of_boxes=max_boxes)
