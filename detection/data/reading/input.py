"""Input pipelines.

    training:    epoch after epoch (shuffle shards -> read several at once -> shuffle records -> 1 of n)
                 -> decode -> augment -> resize -> pad -> batch -> prefetch
    evaluation:  shards in order -> 1 of n -> decode -> resize -> pad -> batch -> prefetch, once

Memory stays small because records are shuffled while they are still compressed. An epoch ends before the next begins,
so a small data set starts at once, however large the shuffle buffer may be, and every image comes once an epoch. The
order of the data, and every random change to it, follows from the seed and the position in the stream alone: epoch e is
shuffled with (seed, e), sample i is augmented with (seed, i). So `start_step` continues a stopped run exactly where it
was, by counting the records of an epoch (their headers only) and skipping whole epochs without reading them.

For tf.distribute the pipelines ask for sharding by data, never by file. Workers that each build their own pipeline pass
`worker` and `workers` and share the work: every one decodes only its part.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable, Sequence

import tensorflow as tf
from absl import logging

from detection.data.reading import shard_files
from detection.data.reading.batching import by_size, dataset_options, finish, of_one_size
from detection.data.reading.corrections import Corrections
from detection.data.reading.decode import Decoded, Decoder
from detection.data.reading.iteration import why
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
        resizer: gives all images of a batch one size; where it does not, the batch is padded with zeros to the largest.
        batch_size: images in a batch of this pipeline.
        seed: makes order and augmentation repeatable; None for new ones every time.
        start_step: batches a run with this seed and batch size has already taken.
        worker: which of the `workers` pipelines that share the records this is.
        workers: how many pipelines share the records.
        corrections: collects what was put right in the records.

    Raises:
        ConfigError: no file matches. DataError: files that hold no records or are compressed. Everything else comes
            while iterating: see `iterate`.
    """
    corrections = Corrections() if corrections is None else corrections
    _warn_of_cut_boxes(options)
    decode = _decoder(options, corrections)
    deterministic = seed is not None
    seed = secrets.randbits(31) if seed is None else seed
    position = start_step * batch_size * workers
    stream = mixed_stream(options, decode, seed, position).enumerate(start=position)
    if workers > 1:
        stream = stream.shard(workers, worker)

    def prepare(position: tf.Tensor, element: Record | Decoded) -> Example:
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

    Images are never padded to each other, since padding changes what a network sees at the border: where the resizer
    gives several sizes, a batch holds images of one size. For that the images of a few batches are sorted by size, and
    batches may be smaller; so every image is evaluated as it would be alone, whatever the batch size.

    Raises: as `train_dataset`.
    """
    corrections = Corrections() if corrections is None else corrections
    decode = _decoder(options, corrections)
    options = _with_room(options, options.shards())
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
    """(shard, number, serialised record) -> why training cannot use it, or None. May be called from several threads.

    `corrections` collects what was put right in those that it can use.
    """
    decode = _decoder(options, Corrections() if corrections is None else corrections)

    @tf.function(
        autograph=False, input_signature=[tf.TensorSpec([], dtype) for dtype in (tf.string, tf.int64, tf.string)]
    )
    def decoded(path: tf.Tensor, number: tf.Tensor, serialized: tf.Tensor) -> list[tf.Tensor]:
        return tf.nest.flatten(decode(Record(path, number, serialized)))

    decoded = decoded.get_concrete_function()  # Threads that call it first together would each trace it.

    def check(path: str, number: int, serialized: bytes) -> str | None:
        try:
            decoded(tf.constant(path), tf.constant(number, tf.int64), tf.constant(serialized))
        except (tf.errors.OpError, UnicodeDecodeError) as error:
            return why(error, serialized, options)
        return None

    return check


def _decoder(options: InputOptions, corrections: Corrections) -> Callable[[Record], Decoded]:
    lookup = LabelLookup(options.text_ids, tuple(category.id for category in options.categories), options.num_classes)
    proposals = None if options.proposals is None else options.proposals.open()
    decoder = Decoder(lookup, corrections, options.label_source, options.drop_unknown_labels, proposals)

    def decode(record: Record) -> Decoded:
        return Decoded(*decoder(record), record._replace(serialized=tf.constant("")))

    return without_autograph(decode)


def _warn_of_cut_boxes(options: InputOptions) -> None:
    """Before training, where manifests say it; otherwise it is said of the first record that has too many
    (`Corrections`).
    """
    if options.python is not None:
        most = options.python.most_boxes or 0
    else:
        most = max((shard_files.known_most_boxes(path) or 0 for path in options.shards()), default=0)
    if most > options.max_number_of_boxes:
        what = f"{options.boxes_field} is {options.max_number_of_boxes}, and a record holds {most} boxes"
        logging.warning("%s: those beyond are not learnt; set it to %d to learn from all", what, most)


def _with_room(options: InputOptions, files: tuple[str, ...]) -> InputOptions:
    """For evaluation, which must know all boxes of an image: room for as many as any record holds."""
    if options.python is not None:
        most = options.python.most_boxes or 0
    else:
        most = max((shard_files.most_boxes(path) for path in files), default=0)
    if most <= options.max_number_of_boxes:
        return options
    logging.warning(
        "%s is %d; a record holds %d boxes, and evaluation takes all of them",
        options.boxes_field,
        options.max_number_of_boxes,
        most,
    )
    return dataclasses.replace(options, max_number_of_boxes=most)
