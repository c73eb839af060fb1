"""Whole pipelines: what their elements hold, and that they run wherever training runs. Their order:
test_input_order.py."""

from __future__ import annotations

import dataclasses
from functools import partial

import numpy as np
import pytest
import tensorflow as tf

from detection.data.augment.color import random_adjust_brightness
from detection.data.augment.crop import ssd_random_crop
from detection.data.augment.flip import random_horizontal_flip
from detection.data.reading.corrections import Corrections
from detection.data.reading.input import eval_dataset, train_dataset
from detection.data.reading.iteration import iterate
from detection.data.reading.streams import count_records
from detection.data.resize import FixedShapeResizer, IdentityResizer, KeepAspectRatioResizer, PadToMultipleResizer
from detection.errors import DataError

RESIZER = FixedShapeResizer(height=16, width=16)
AUGMENTATIONS = (random_horizontal_flip, ssd_random_crop, random_adjust_brightness)


def ids(dataset, batches=None) -> list[list[int]]:
    batches = dataset if batches is None else dataset.take(batches)
    return [[int(source_id) for source_id in example.info.source_ids.numpy()] for example in batches]


def test_eval_reads_everything_once_in_order(numbered):
    settings = numbered(3, 4)
    dataset = eval_dataset(settings, RESIZER, 3)
    assert ids(dataset) == [[0, 1, 2], [3, 4, 5], [6]] == ids(dataset)
    assert ids(eval_dataset(dataclasses.replace(settings, sample_1_of_n_examples=3), RESIZER, 2)) == [[0, 3], [6]]
    assert count_records(settings) == 7 and count_records(dataclasses.replace(settings, sample_1_of_n_examples=3)) == 3


def test_elements(numbered):
    dataset = train_dataset(numbered(4), (), RESIZER, 2, seed=0)
    spec = dataset.element_spec
    assert spec.batch.images.shape.as_list() == [2, 16, 16, 3] and spec.groundtruth.boxes.shape.as_list() == [2, 5, 4]
    assert all(tensor.shape.is_fully_defined() for tensor in tf.nest.flatten(spec))
    batch, groundtruth, info = next(iter(dataset))
    assert batch.images.dtype == tf.float32 and batch.true_shapes.numpy().tolist() == [[16, 16]] * 2
    np.testing.assert_allclose(groundtruth.boxes[0], [[1.6, 3.2, 8, 9.6], [0, 0, 16, 16]] + [[0] * 4] * 3, rtol=1e-5)
    np.testing.assert_array_equal(groundtruth.weights, [[1, 1, 0, 0, 0]] * 2)
    np.testing.assert_array_equal(groundtruth.counts, [2, 2])
    np.testing.assert_allclose(groundtruth.areas[0], [96, 600, 0, 0, 0], rtol=1e-5)
    assert groundtruth.classes.dtype == tf.int32 and groundtruth.is_crowd.dtype == tf.bool
    assert info.original_shapes.numpy().tolist() == [[20, 30]] * 2
    assert eval_dataset(numbered(4), RESIZER, 1).element_spec.batch.images.shape.as_list() == [1, 16, 16, 3]


def test_nothing_tunes_parallelism_in_a_thread_that_ends_late(numbered):
    for dataset in (train_dataset(numbered(4), (), RESIZER, 2, seed=0), eval_dataset(numbered(4), RESIZER, 1)):
        assert dataset.options().autotune.enabled is False


def many_boxes(count: int) -> list[tuple[float, ...]]:
    return [(0, 0, 0.1 * n, 0.1 * n) for n in range(1, count + 1)]


def test_more_boxes_than_room_are_cut_and_counted_in_training(write, example, options):
    corrections = Corrections()
    settings = options(write(example(boxes=many_boxes(8)), example(boxes=many_boxes(9)), example()), shuffle=False)
    groundtruth = next(iter(train_dataset(settings, (), RESIZER, 3, seed=0, corrections=corrections))).groundtruth
    assert groundtruth.counts.numpy().tolist() == [5, 5, 1] and groundtruth.weights.numpy()[0].tolist() == [1] * 5
    assert corrections.totals()["cut"][:2] == (7, 2)
    assert (
        corrections.lines()["cut"]
        == f"7 boxes beyond max_number_of_boxes dropped, in 2 records (e.g. {settings.paths[0]}:0); "
        "set the input reader's max_number_of_boxes to 9 or more to train on all"
    )


def test_evaluation_takes_all_boxes(write, example, options, caplog):
    """Groundtruth that is cut makes right detections wrong."""
    settings = options(
        write(example(boxes=many_boxes(8)), example()), field="eval_input_reader[0].tf_record_input_reader.input_path"
    )
    corrections = Corrections()
    with caplog.at_level("WARNING", logger="absl"):
        groundtruth = next(iter(eval_dataset(settings, RESIZER, 2, corrections=corrections))).groundtruth
    assert (
        groundtruth.counts.numpy().tolist() == [8, 1]
        and groundtruth.boxes.shape == (2, 8, 4)
        and not corrections.lines()
    )
    assert (
        "eval_input_reader[0].max_number_of_boxes is 5, but a record has 8 boxes; evaluation uses all of them"
        in caplog.text
    )
    assert eval_dataset(options(write(example())), RESIZER, 1).element_spec.groundtruth.boxes.shape[1] == 5


def test_files_that_lose_their_records_end_training(write, example, options):
    """An epoch without a record would be followed by the next, for ever."""
    path = write(example())
    settings = options(path)
    batches = iterate(train_dataset(settings, (), RESIZER, 1, seed=0), settings)
    next(batches)
    open(path, "wb").close()
    with pytest.raises(DataError, match="contains no records"):
        for _, _ in zip(batches, range(10_000), strict=False):
            pass


def test_images_without_boxes_and_with_crowds_only(write, example, options):
    settings = options(write(example(boxes=()), example(image__object__is_crowd=[1])))
    groundtruth = next(iter(eval_dataset(settings, RESIZER, 2))).groundtruth
    assert groundtruth.counts.numpy().tolist() == [0, 1]
    assert groundtruth.weights.numpy().sum() == 0 and groundtruth.is_crowd.numpy()[1, 0]
    for example_ in train_dataset(settings, AUGMENTATIONS, RESIZER, 2, seed=0).take(10):
        assert (
            np.isfinite(example_.batch.images.numpy()).all() and np.isfinite(example_.groundtruth.boxes.numpy()).all()
        )


RESIZERS_OF_MANY_SIZES = [
    IdentityResizer(),
    KeepAspectRatioResizer(min_dimension=10, max_dimension=16),
    PadToMultipleResizer(multiple=8),
]


@pytest.mark.parametrize("resizer", RESIZERS_OF_MANY_SIZES[:2])
def test_training_pads_images_of_several_sizes_to_each_other(write, example, options, resizer):
    settings = dataclasses.replace(options(write(example(), example(height=30, width=20))), shuffle=False)
    batch = next(iter(train_dataset(settings, (), resizer, 2, seed=0))).batch
    side = 30 if isinstance(resizer, IdentityResizer) else 15
    assert batch.images.shape == (2, side, side, 3)
    assert batch.true_shapes.numpy().tolist() == [[side * 2 // 3, side], [side, side * 2 // 3]]
    assert batch.images.numpy()[0, side * 2 // 3 :].max() == 0


@pytest.mark.parametrize("resizer", RESIZERS_OF_MANY_SIZES)
def test_evaluation_never_pads_images_to_each_other(write, example, options, resizer):
    """Every image once, as it is alone, whatever the batch size; those of one size go together."""
    sizes = [(20, 30), (30, 20), (20, 30), (22, 22), (20, 30), (30, 20), (20, 30), (20, 30), (30, 20)]
    records = [example(height=h, width=w, image__source_id=str(number)) for number, (h, w) in enumerate(sizes)]
    settings = options(write(*records))
    alone = {int(one.info.source_ids[0]): one for one in eval_dataset(settings, resizer, 1)}
    batches = list(eval_dataset(settings, resizer, 2))
    assert sorted(number for numbers in ids(batches) for number in numbers) == list(range(len(sizes))) == sorted(alone)
    assert max(len(numbers) for numbers in ids(batches)) == 2 and len(batches) < len(sizes)
    for batch in batches:
        for row, number in enumerate(batch.info.source_ids.numpy().astype(int)):
            jointly, singly = (tf.nest.flatten(example_) for example_ in (batch, alone[number]))
            for together, apart in zip(jointly, singly, strict=True):
                np.testing.assert_array_equal(together[row], apart[0])
    assert ids(eval_dataset(settings, resizer, 2)) == ids(batches), "the same batches every time"
    spec = eval_dataset(settings, resizer, 2).element_spec
    assert spec.batch.images.shape.as_list() == [None, None, None, 3] and spec.groundtruth.boxes.shape.as_list() == [
        None,
        5,
        4,
    ]


def test_images_of_very_many_sizes_do_not_pile_up(write, example, options):
    """No size occurs twice: no batch fills up, and still each comes before all are read. Four batches of two are looked
    at together."""
    settings = options(
        write(*(example(height=10 + number, width=20, image__source_id=str(number)) for number in range(20)))
    )
    order = [number for numbers in ids(eval_dataset(settings, IdentityResizer(), 2)) for number in numbers]
    assert sorted(order) == list(range(20))
    assert [sorted(order[start : start + 8]) for start in range(0, 20, 8)] == [
        list(range(start, min(start + 8, 20))) for start in range(0, 20, 8)
    ]


@pytest.mark.parametrize("resizer", [RESIZER, KeepAspectRatioResizer(min_dimension=10, max_dimension=16)])
def test_one_pixel_images_train(write, example, options, resizer):
    settings = options(write(example(boxes=[(0, 0, 1, 1)], height=1, width=1)))
    for element in iterate(train_dataset(settings, AUGMENTATIONS, resizer, 2, seed=0).take(5), settings):
        assert all(np.isfinite(tensor.numpy()).all() for tensor in tf.nest.flatten(element) if tensor.dtype.is_floating)
        assert (element.batch.true_shapes.numpy() > 1).all() and element.batch.images.numpy().max() > 0


def test_dataset_works_under_a_distribution_strategy(numbered):
    strategy = tf.distribute.MirroredStrategy(["/cpu:0"])
    settings = numbered(8)
    with strategy.scope():
        dataset = train_dataset(settings, (), RESIZER, 4, seed=0)
    distributed = strategy.experimental_distribute_dataset(dataset)
    found = [
        example.info.source_ids.numpy() for example, _ in zip(iterate(distributed, settings), range(4), strict=False)
    ]
    assert [[int(i) for i in batch] for batch in found] == ids(dataset, 4)


def test_errors_reach_through_a_distribution_strategy(write, example, options):
    settings = options(write(example(boxes=[(5.0, 5.0, 9.0, 9.0)])))
    strategy = tf.distribute.MirroredStrategy(["/cpu:0"])
    with pytest.raises(DataError, match="data.record, record 0: image/object/bbox"):
        next(
            iterate(strategy.experimental_distribute_dataset(train_dataset(settings, (), RESIZER, 1, seed=0)), settings)
        )


def test_augmentations_run_in_order_with_their_own_seeds(write, example, options):
    seen = []

    def note(sample, seed, name):
        seen.append(name)
        return sample._replace(image=tf.cast(sample.image, tf.float32) + tf.cast(seed[0] % 7, tf.float32) * 0)

    settings = options(write(example()))
    train_dataset(settings, (partial(note, name="a"), partial(note, name="b")), RESIZER, 1, seed=0)
    assert seen == ["a", "b"]
