"""The order of a training stream: epochs, seeds, resuming, sharing among workers, mixing, caching."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from detection.data.augment.color import random_adjust_brightness
from detection.data.augment.flip import random_horizontal_flip
from detection.data.reading.input import train_dataset
from detection.data.resize import FixedShapeResizer

RESIZER = FixedShapeResizer(height=16, width=16)
AUGMENTATIONS = (random_horizontal_flip, random_adjust_brightness)


def ids(dataset, batches=None) -> list[list[int]]:
    batches = dataset if batches is None else dataset.take(batches)
    return [[int(source_id) for source_id in example.info.source_ids.numpy()] for example in batches]


def flat(lists):
    return [item for items in lists for item in items]


def test_every_image_once_an_epoch_in_a_new_order(numbered):
    dataset = train_dataset(numbered(7, 5), (), RESIZER, 4, seed=3)
    stream = flat(ids(dataset, 9))
    epochs = [stream[start : start + 12] for start in (0, 12, 24)]
    assert all(sorted(epoch) == list(range(12)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] != list(range(12))


def test_no_shuffle_keeps_the_order(numbered):
    settings = numbered(5, shuffle=False)
    assert flat(ids(train_dataset(settings, (), RESIZER, 5, seed=3), 2)) == [0, 1, 2, 3, 4] * 2


def test_num_epochs_ends(numbered):
    assert len(flat(ids(train_dataset(numbered(6, num_epochs=2), (), RESIZER, 4, seed=3)))) == 12


def test_1_of_n_in_training(numbered):
    stream = flat(ids(train_dataset(numbered(7, shuffle=False, sample_1_of_n_examples=3), (), RESIZER, 3, seed=3), 2))
    assert stream == [0, 3, 6] * 2


def elements(settings, batches, **how):
    return [
        tf.nest.map_structure(lambda t: t.numpy(), e)
        for e in train_dataset(settings, AUGMENTATIONS, RESIZER, 4, **how).take(batches)
    ]


def same(first, second) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(tf.nest.flatten(first), tf.nest.flatten(second), strict=True))


def test_a_seed_repeats_the_run_and_start_step_continues_it(numbered):
    settings = numbered(7, 6)
    whole = elements(settings, 9, seed=11)
    assert same(whole, elements(settings, 9, seed=11))
    assert not same(whole, elements(settings, 9, seed=12))
    assert same(whole[5:], elements(settings, 4, seed=11, start_step=5))  # 20 samples: in the second epoch


def test_no_seed_is_a_new_order_every_time(numbered):
    first, second = (ids(train_dataset(numbered(40), (), RESIZER, 40, seed=None), 1) for _ in range(2))
    assert first != second


def test_workers_share_the_stream(numbered):
    settings = numbered(7, 6)
    whole = flat(ids(train_dataset(settings, (), RESIZER, 4, seed=1), 6))
    parts = [
        flat(ids(train_dataset(settings, (), RESIZER, 2, seed=1, worker=worker, workers=2), 6)) for worker in (0, 1)
    ]
    assert flat(zip(*parts, strict=True)) == whole
    assert (
        flat(ids(train_dataset(settings, (), RESIZER, 2, seed=1, worker=1, workers=2, start_step=4), 2)) == parts[1][8:]
    )


def test_weights_mix_data_sets_and_resume(numbered):
    settings = numbered(3, 5, weights=(1.0, 3.0))
    whole = ids(train_dataset(settings, (), RESIZER, 16, seed=1), 25)
    share = np.mean(np.array(flat(whole)) >= 3)
    assert 0.68 < share < 0.82
    assert ids(train_dataset(settings, (), RESIZER, 16, seed=1, start_step=15), 10) == whole[15:]


def test_cached_images_go_through_the_same_pipeline(numbered):
    settings = numbered(7, 5, cache=True)
    whole = elements(settings, 9, seed=3)
    stream = [int(source_id) for element in whole for source_id in element.info.source_ids]
    assert (
        all(sorted(stream[start : start + 12]) == list(range(12)) for start in (0, 12, 24))
        and stream[:12] != stream[12:24]
    )
    assert same(whole[4:], elements(settings, 5, seed=3, start_step=4))
    plain = elements(dataclasses.replace(settings, cache=False), 9, seed=3)
    assert sum(element.groundtruth.areas.sum() for element in whole) > 0 and len(plain) == len(whole)


def test_the_cache_decodes_once(write, example, options):
    path = write(*[example(image__source_id=str(number)) for number in range(6)])
    settings = options(path, cache=True)
    dataset = train_dataset(settings, (), RESIZER, 6, seed=0)
    batches = iter(dataset)
    first = sorted(ids([next(batches)])[0])
    with open(path, "wb") as file:  # later epochs do not read it again
        file.write(b"")
    assert [sorted(batch) for batch in ids([next(batches) for _ in range(5)])] == [first] * 5


@pytest.mark.parametrize("global_seed", [0, 2**31 - 1, 5])
def test_a_global_seed_does_no_harm(numbered, global_seed):
    """TensorFlow takes both numbers for zero, and a shuffle whose own seed is a tensor then failed: `--seed=0` trained
    nothing."""
    tf.random.set_seed(global_seed)
    try:
        stream = flat(ids(train_dataset(numbered(7, 5), (), RESIZER, 4, seed=0), 3))
    finally:
        tf.random.set_seed(None)
    assert sorted(stream) == list(range(12)) != stream
