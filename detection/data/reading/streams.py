"""Streams of records: once in order for evaluation, or epoch after epoch, shuffled with a seed, for training.

    epoch e:  shuffle the shards with (seed, e) -> read several at once -> shuffle the records -> 1 of n

An epoch ends before the next begins, so a small data set starts immediately, however large the shuffle buffer, and
every image appears once per epoch. A stream can start at any position without reading the epochs before it: the records
of an epoch are counted (from their headers), and whole epochs are skipped.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import tensorflow as tf

from detection.data.reading import damage, mixing, shard_files
from detection.data.reading.decode import Decoded
from detection.data.reading.frames import each_frame
from detection.data.reading.options import InputOptions
from detection.data.reading.tracing import without_autograph
from detection.data.sample import Record


def count_records(options: InputOptions) -> int | None:
    """Number of images in an epoch or evaluation, from the headers of records; None if unknown before reading."""
    return None if options.sequences else _epoch_length(options, options.shards())


def _epoch_length(options: InputOptions, files: tuple[str, ...]) -> int | None:
    if options.python is not None:
        count = options.python.count
        return None if count is None else -(-count // options.sample_1_of_n_examples)
    counts = options.bad_records.counts if options.bad_records else {}
    return -(
        -sum(counts[path] if path in counts else shard_files.count_records(path) for path in files)
        // options.sample_1_of_n_examples
    )


def mixed_stream(
    options: InputOptions, decode: Callable[[Record], Decoded], seed: int, position: int
) -> tf.data.Dataset:
    """Records (decoded ones with `cache`) of all data sets, in proportion to their weights if there are any.

    Args:
        options: what to read.
        decode: used with `cache`.
        seed: of shuffling and mixing.
        position: number of the first record.
    """
    if not options.weights:
        return _stream(options, options.shards(), decode, seed, position)
    groups = [options.listed([path]) for path in options.paths]
    starts = mixing.samples_taken(options.weights, seed, position)
    streams = [
        _stream(options, files, decode, seed + number, start)
        for number, (files, start) in enumerate(zip(groups, starts, strict=True))
    ]
    return tf.data.Dataset.choose_from_datasets(
        streams, mixing.choices(options.weights, seed, position), stop_on_empty_dataset=False
    )


def _stream(
    options: InputOptions, files: tuple[str, ...], decode: Callable[[Record], Decoded], seed: int, position: int
) -> tf.data.Dataset:
    """Records (decoded ones with `cache`) of these files, epoch after epoch, from `position` on."""
    length = _epoch_length(options, files) if position else None
    first, skipped = (0, position) if length is None else divmod(position, length)
    # Adjacent seeds give unrelated orders; the factor makes (seed, epoch) pairs of different runs distinct.
    seeds = tf.data.Dataset.range(first, options.num_epochs or tf.int64.max).map(
        lambda number: seed * 1_000_003 + number
    )

    cached = (
        read_in_order(options, files).map(decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).cache()
        if options.cache
        else None
    )

    def epoch(epoch_seed: tf.Tensor) -> tf.data.Dataset:
        _allow_global_seed_zero()
        elements = _read_shuffled(options, files, epoch_seed) if cached is None else cached
        if options.shuffle and options.shuffle_buffer_size > 1 and (options.python is None or cached is not None):
            elements = elements.shuffle(options.shuffle_buffer_size, seed=epoch_seed)
        if options.sample_1_of_n_examples > 1:
            elements = elements.shard(options.sample_1_of_n_examples, 0)
        source = read_in_order(options, files) if cached is None else cached
        return elements.concatenate(_empty_or_fail(source, elements))

    stream = seeds.flat_map(without_autograph(epoch))
    return stream.skip(skipped) if skipped else stream


def _allow_global_seed_zero() -> None:
    """Changes a global seed of zero in the traced function.

    TensorFlow checks in Python whether both seeds of a shuffle are zero, which fails for a tensor.
    """
    graph = tf.compat.v1.get_default_graph()
    if graph.seed is not None and graph.seed % (2**31 - 1) == 0:  # TensorFlow treats these seeds as zero.
        graph.seed = 1


def _empty_or_fail(source: tf.data.Dataset, like: tf.data.Dataset) -> tf.data.Dataset:
    """An empty dataset with the types of `like` that fails if `source` is empty.

    Without it, empty epochs would be read forever.
    """

    def check(_: tf.Tensor) -> tf.data.Dataset:
        count = source.take(1).reduce(tf.constant(0, tf.int64), without_autograph(lambda count, *_: count + 1))
        assertion = tf.debugging.Assert(count > 0, ["the record files contain no records"])
        with tf.control_dependencies([assertion]):
            return like.take(tf.identity(count) * 0)

    return tf.data.Dataset.from_tensors(0).flat_map(without_autograph(check))


def read_in_order(options: InputOptions, files: tuple[str, ...]) -> tf.data.Dataset:
    """All `Record`s of the files, or of the data from Python, once and in order; of sequences each frame."""
    if options.python is not None:
        return options.python.records()
    records = tf.data.Dataset.from_tensor_slices(list(files)).flat_map(
        without_autograph(functools.partial(_read_shard, options))
    )
    return records.flat_map(without_autograph(each_frame)) if options.sequences else records


def _read_shuffled(options: InputOptions, files: tuple[str, ...], seed: tf.Tensor) -> tf.data.Dataset:
    """The records of the files in random order, several files at a time; data from Python is shuffled by itself."""
    if options.python is not None:
        return options.python.records(seed if options.shuffle else None)
    paths = tf.data.Dataset.from_tensor_slices(list(files))
    readers = max(min(options.num_readers, len(files)), 1)
    if options.shuffle and len(files) > 1:
        paths = paths.shuffle(min(max(options.filenames_shuffle_buffer_size, 1), len(files)), seed=seed)
    if readers == 1:
        return paths.flat_map(without_autograph(functools.partial(_read_shard, options)))
    block = max(options.read_block_length, 1)
    return paths.interleave(
        without_autograph(functools.partial(_read_shard, options)),
        readers,
        block,
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )


def _read_shard(options: InputOptions, path: tf.Tensor) -> tf.data.Dataset:
    """The records of one file with their addresses, without the known bad ones."""
    bad_records = options.bad_records
    if bad_records is not None and bad_records.damaged:
        records = damage.read_stretches(path, bad_records.damaged)
    else:
        records = tf.data.TFRecordDataset(path, buffer_size=1 << 20).enumerate()
        records = records.map(without_autograph(lambda index, serialized: Record(path, index, serialized)))
    if bad_records is None or not bad_records.found:
        return records
    addresses = [(name, number) for name, numbers in bad_records.numbers().items() for number in numbers]
    names, numbers = (
        tf.constant([name for name, _ in addresses]),
        tf.constant([number for _, number in addresses], tf.int64),
    )
    file_numbers = tf.boolean_mask(numbers, names == path)
    return records.filter(without_autograph(lambda record: ~tf.reduce_any(file_numbers == record.index)))
