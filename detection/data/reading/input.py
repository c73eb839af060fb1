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
import functools
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import tensorflow as tf
from absl import logging

from detection.data.reading import damage, mixing
from detection.data.reading import shard_files as shards
from detection.data.reading.bad_records import BadRecords
from detection.data.reading.decode import Decoder
from detection.data.reading.iteration import iterate, translate, why
from detection.data.reading.labels import LabelLookup
from detection.data.reading.remarks import Remarks
from detection.data.resize import Resizer
from detection.data.sample import Augmentation, Record, Sample, SampleInfo, keep_rows
from detection.proposals import files as proposal_files
from detection.proposals.sources import FileProposals, ProposalSource, RecordProposals, to_batch
from detection.types import Category, Example, Groundtruth, ImageBatch, ImageInfo

__all__ = ["InputOptions", "checker", "count_records", "eval_dataset", "iterate", "train_dataset", "translate"]

_SORTED_BATCHES = 4  # batches of an evaluation whose images are sorted by size together


@dataclass(frozen=True, kw_only=True)
class InputOptions:
    """Which records to read and how. Numbers have the names and defaults of the InputReader message."""

    paths: tuple[str, ...]  # globs
    weights: tuple[
        float, ...
    ] = ()  # of the paths in training: how often each is drawn from; empty: all records are one data set
    field: str = "tf_record_input_reader.input_path"  # where the paths come from, for messages
    categories: tuple[Category, ...] = ()  # allowed label ids; empty: 1 to num_classes
    text_ids: tuple[tuple[str, int], ...] = ()  # names and display names with their ids; empty: class/text is not used
    num_classes: int = 0  # 0: as many as the label map has
    label_source: str = "label_map_path"  # where the classes come from, for messages
    drop_unknown_labels: bool = False  # as the TF Object Detection API did; otherwise such a box is an error
    max_number_of_boxes: int = 100
    max_number_of_proposals: int = 0  # the best of each image; 0: none are read
    proposals_paths: tuple[str, ...] = ()  # globs of files that hold them; empty: the records do
    proposals_field: str = "proposals_path"  # where those paths come from, for messages
    shuffle: bool = True
    shuffle_buffer_size: int = 2048
    filenames_shuffle_buffer_size: int = 100
    num_epochs: int = 0  # of training; 0: for ever
    sample_1_of_n_examples: int = 1
    num_readers: int = 64
    read_block_length: int = 32
    num_prefetch_batches: int = 2
    bad_records: BadRecords | None = None  # to leave out; None: a bad record is an error
    # training keeps the decoded images in memory, 3 bytes a pixel: for small data sets and slow disks or decoders
    cache: bool = False

    def shards(self) -> tuple[str, ...]:
        """The files, sorted; errors name `field`."""
        return self.listed(self.paths)

    @property
    def boxes_field(self) -> str:
        """Where `max_number_of_boxes` comes from, for messages."""
        return self.field.replace("tf_record_input_reader.input_path", "max_number_of_boxes")

    def listed(self, paths: Sequence[str]) -> tuple[str, ...]:
        """The files of some of the paths."""
        return shards.list_shards(paths, self.field, damaged=self.bad_records is not None)


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
    remarks: Remarks | None = None,
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
        remarks: collects what was put right in the records.

    Raises:
        ConfigError: no file matches. DataError: files that hold no records or are compressed. Everything else comes
            while iterating: see `iterate`.
    """
    remarks = Remarks() if remarks is None else remarks
    _warn_of_cut_boxes(options)
    decode = _decoder(options, remarks)
    deterministic = seed is not None
    seed = secrets.randbits(31) if seed is None else seed
    position = start_step * batch_size * workers
    stream = _mixed_stream(options, decode, seed, position).enumerate(start=position)
    if workers > 1:
        stream = stream.shard(workers, worker)

    def prepare(position: tf.Tensor, element: Record | _Decoded) -> Example:
        decoded = element if options.cache else decode(element)
        sample = decoded.sample
        for number, augment in enumerate(augmentations):
            sample = augment(sample, tf.random.fold_in(tf.stack([tf.constant(seed, tf.int64), position]), number))
        return _finish(decoded._replace(sample=sample), resizer, options, remarks)

    samples = stream.map(_as_is(prepare), num_parallel_calls=tf.data.AUTOTUNE, deterministic=deterministic)
    batches = (samples.batch if _of_one_size(samples) else samples.padded_batch)(batch_size, drop_remainder=True)
    return batches.prefetch(max(options.num_prefetch_batches, 1)).with_options(_dataset_options(deterministic))


def eval_dataset(
    options: InputOptions, resizer: Resizer, batch_size: int, *, remarks: Remarks | None = None
) -> tf.data.Dataset:
    """All records once, in the order of the sorted shards. The last batch may be smaller; the batch dimension is static
    only for `batch_size` 1.

    Images are never padded to each other, since padding changes what a network sees at the border: where the resizer
    gives several sizes, a batch holds images of one size. For that the images of a few batches are sorted by size, and
    batches may be smaller; so every image is evaluated as it would be alone, whatever the batch size.

    Raises: as `train_dataset`.
    """
    remarks = Remarks() if remarks is None else remarks
    decode = _decoder(options, remarks)
    options = _with_room(options, options.shards())
    records = _read_in_order(options, options.shards())
    if options.sample_1_of_n_examples > 1:
        records = records.shard(options.sample_1_of_n_examples, 0)

    def prepare(record: Record) -> Example:
        return _finish(decode(record), resizer, options, remarks)

    samples = records.map(_as_is(prepare), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    if batch_size == 1 or _of_one_size(samples):
        batches = samples.batch(batch_size, drop_remainder=batch_size == 1)
    else:
        batches = _by_size(samples, batch_size)
    return batches.prefetch(max(options.num_prefetch_batches, 1)).with_options(_dataset_options(deterministic=True))


def count_records(options: InputOptions) -> int:
    """Records that one epoch (or one evaluation) gives, from the headers of the shards."""
    return _epoch_length(options, options.shards())


def _epoch_length(options: InputOptions, files: tuple[str, ...]) -> int:
    known = options.bad_records.counts if options.bad_records else {}
    return -(
        -sum(known[path] if path in known else shards.count_records(path) for path in files)
        // options.sample_1_of_n_examples
    )


class _Decoded(NamedTuple):
    """What a record became; the record keeps its address and loses its bytes."""

    sample: Sample
    info: SampleInfo
    record: Record


def checker(options: InputOptions) -> Callable[[str, int, bytes], str | None]:
    """(shard, number, serialised record) -> why training cannot use it, or None. May be called from several threads."""
    decode = _decoder(options, Remarks())

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
            return why(error, serialized)
        return None

    return check


def _decoder(options: InputOptions, remarks: Remarks) -> Callable[[Record], _Decoded]:
    lookup = LabelLookup(options.text_ids, tuple(category.id for category in options.categories), options.num_classes)
    decoder = Decoder(lookup, remarks, options.label_source, options.drop_unknown_labels, _proposals(options))

    def decode(record: Record) -> _Decoded:
        return _Decoded(*decoder(record), record._replace(serialized=tf.constant("")))

    return _as_is(decode)


def _proposals(options: InputOptions) -> ProposalSource | None:
    """Files are opened here, once a pipeline."""
    if not options.max_number_of_proposals:
        return None
    if not options.proposals_paths:
        return RecordProposals()
    return FileProposals(
        proposal_files.read_all(options.proposals_paths, options.proposals_field), options.proposals_field
    )


def _mixed_stream(
    options: InputOptions, decode: Callable[[Record], _Decoded], seed: int, position: int
) -> tf.data.Dataset:
    """Records (with `cache`: decoded ones) of all data sets from `position` on, in proportion to their weights if there
    are any."""
    if not options.weights:
        return _stream(options, options.shards(), decode, seed, position)
    groups = [options.listed([path]) for path in options.paths]
    starts = mixing.taken(options.weights, seed, position)
    streams = [
        _stream(options, files, decode, seed + number, start)
        for number, (files, start) in enumerate(zip(groups, starts, strict=True))
    ]
    return tf.data.Dataset.choose_from_datasets(
        streams, mixing.choices(options.weights, seed, position), stop_on_empty_dataset=False
    )


def _stream(
    options: InputOptions, files: tuple[str, ...], decode: Callable[[Record], _Decoded], seed: int, position: int
) -> tf.data.Dataset:
    """Records (with `cache`: decoded ones) of these files, epoch after epoch, from `position` on."""
    first, skipped = divmod(position, _epoch_length(options, files)) if position else (0, 0)
    # Neighbouring seeds give unrelated orders; the factor keeps (seed, epoch) pairs of different runs apart.
    seeds = tf.data.Dataset.range(first, options.num_epochs or tf.int64.max).map(
        lambda number: seed * 1_000_003 + number
    )

    cached = (
        _read_in_order(options, files).map(decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).cache()
        if options.cache
        else None
    )

    def epoch(epoch_seed: tf.Tensor) -> tf.data.Dataset:
        _allow_global_seed_zero()
        elements = _read_shuffled(options, files, epoch_seed) if cached is None else cached
        if options.shuffle and options.shuffle_buffer_size > 1:
            elements = elements.shuffle(options.shuffle_buffer_size, seed=epoch_seed)
        if options.sample_1_of_n_examples > 1:
            elements = elements.shard(options.sample_1_of_n_examples, 0)
        source = _read_in_order(options, files) if cached is None else cached
        return elements.concatenate(_nothing_unless_empty(source, elements))

    stream = seeds.flat_map(_as_is(epoch))
    return stream.skip(skipped) if skipped else stream


def _allow_global_seed_zero() -> None:
    """For the function that is being traced: TensorFlow asks in Python whether both seeds of a shuffle are zero, which
    a tensor cannot answer."""
    graph = tf.compat.v1.get_default_graph()
    if graph.seed is not None and graph.seed % (2**31 - 1) == 0:  # TensorFlow's idea of zero
        graph.seed = 1


def _nothing_unless_empty(source: tf.data.Dataset, like: tf.data.Dataset) -> tf.data.Dataset:
    """No elements, of the types of `like`; fails where `source` has none either: epoch after empty epoch would be read
    for ever."""

    def check(_: tf.Tensor) -> tf.data.Dataset:
        count = source.take(1).reduce(tf.constant(0, tf.int64), _as_is(lambda count, *_: count + 1))
        gone = tf.debugging.Assert(count > 0, ["the record files hold no record"])
        with tf.control_dependencies([gone]):
            return like.take(tf.identity(count) * 0)

    return tf.data.Dataset.from_tensors(0).flat_map(_as_is(check))


def _warn_of_cut_boxes(options: InputOptions) -> None:
    """Before training, where manifests say it; otherwise it is said of the first record that has too many
    (`Remarks`)."""
    most = max((shards.known_most_boxes(path) or 0 for path in options.shards()), default=0)
    if most > options.max_number_of_boxes:
        what = f"{options.boxes_field} is {options.max_number_of_boxes}, and a record holds {most} boxes"
        logging.warning("%s: those beyond are not learnt; set it to %d to learn from all", what, most)


def _with_room(options: InputOptions, files: tuple[str, ...]) -> InputOptions:
    """For evaluation, which must know all boxes of an image: room for as many as any record holds."""
    most = max((shards.most_boxes(path) for path in files), default=0)
    if most <= options.max_number_of_boxes:
        return options
    logging.warning(
        "%s is %d; a record holds %d boxes, and evaluation takes all of them",
        options.boxes_field,
        options.max_number_of_boxes,
        most,
    )
    return dataclasses.replace(options, max_number_of_boxes=most)


def _read_in_order(options: InputOptions, files: tuple[str, ...]) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(list(files)).flat_map(_as_is(functools.partial(_read_shard, options)))


def _read_shuffled(options: InputOptions, files: tuple[str, ...], seed: tf.Tensor) -> tf.data.Dataset:
    """The records of files in random order, several files at once."""
    paths = tf.data.Dataset.from_tensor_slices(list(files))
    readers = max(min(options.num_readers, len(files)), 1)
    if options.shuffle and len(files) > 1:
        paths = paths.shuffle(min(max(options.filenames_shuffle_buffer_size, 1), len(files)), seed=seed)
    if readers == 1:
        return paths.flat_map(_as_is(functools.partial(_read_shard, options)))
    block = max(options.read_block_length, 1)
    return paths.interleave(
        _as_is(functools.partial(_read_shard, options)),
        readers,
        block,
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )


def _read_shard(options: InputOptions, path: tf.Tensor) -> tf.data.Dataset:
    """Records of one file with their addresses, without the bad ones that are known."""
    bad = options.bad_records
    if bad is not None and bad.damaged:
        records = damage.read_stretches(path, bad.damaged)
    else:
        records = tf.data.TFRecordDataset(path, buffer_size=1 << 20).enumerate()
        records = records.map(_as_is(lambda index, serialized: Record(path, index, serialized)))
    if bad is None or not bad.found:
        return records
    addresses = [(name, number) for name, numbers in bad.numbers().items() for number in numbers]
    names, numbers = (
        tf.constant([name for name, _ in addresses]),
        tf.constant([number for _, number in addresses], tf.int64),
    )
    mine = tf.boolean_mask(numbers, names == path)
    return records.filter(_as_is(lambda record: ~tf.reduce_any(mine == record.index)))


def _finish(decoded: _Decoded, resizer: Resizer, options: InputOptions, remarks: Remarks) -> Example:
    """Resizes, turns boxes into pixels of the resized image, and pads them to as many as there may be. Everything
    without the batch dimension."""
    sample, info, max_boxes = decoded.sample, decoded.info, options.max_number_of_boxes
    empty = tf.reduce_any(sample.boxes[:, 2:] <= sample.boxes[:, :2], axis=1)  # slivers that a crop left
    sample = tf.cond(tf.reduce_any(empty), lambda: keep_rows(sample, ~empty), lambda: sample)
    found = tf.shape(sample.boxes)[0]
    remarks.note(
        decoded.record, {"cut": tf.maximum(found - max_boxes, 0)}, {"cut": lambda: tf.strings.as_string(found)}
    )
    count = tf.minimum(found, max_boxes)
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
    )
    proposals = to_batch(sample.proposals, true_shape, options.max_number_of_proposals) if sample.proposals else ()
    return Example(
        ImageBatch(image, true_shape, proposals), groundtruth, ImageInfo(info.source_id, info.original_shape)
    )


def _of_one_size(samples: tf.data.Dataset) -> bool:
    return samples.element_spec.batch.images.shape.is_fully_defined()


def _by_size(samples: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
    """Batches of images of one size, from a few batches of samples at a time: memory stays small however many sizes
    there are."""
    structure = samples.element_spec

    def size(*parts: tf.Tensor) -> tf.Tensor:
        shape = tf.shape(tf.nest.pack_sequence_as(structure, parts).batch.images, tf.int64)
        return shape[0] * 2**31 + shape[1]

    def grouped(*parts: tf.data.Dataset) -> tf.data.Dataset:
        together = tf.data.Dataset.zip(parts)
        return together.group_by_window(_as_is(size), _as_is(lambda key, same: same.batch(batch_size)), batch_size)

    flat = samples.map(_as_is(lambda *sample: tuple(tf.nest.flatten(sample))))
    batches = flat.window(_SORTED_BATCHES * batch_size).flat_map(_as_is(grouped))
    return batches.map(_as_is(lambda *parts: tf.nest.pack_sequence_as(structure, parts)))


def _dataset_options(deterministic: bool) -> tf.data.Options:
    options = tf.data.Options()
    options.deterministic = deterministic
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return options


def _as_is(function: Callable) -> Callable:
    """Keeps autograph away: everything here is plain operations, and tracing is faster without."""
    return functools.wraps(function)(tf.autograph.experimental.do_not_convert(function))
