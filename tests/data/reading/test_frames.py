"""Videos as records: frames are images, with the boxes of their own."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from detection.data.reading.input import eval_dataset, train_dataset
from detection.data.reading.iteration import iterate
from detection.data.resize import IdentityResizer
from detection.errors import DataError

BOXES = [[(0, 0, 0.5, 0.5)], [], [(0.25, 0.5, 0.75, 1), (0, 0, 1, 1)]]
NAMES = [["dog"], [], ["cat", "dog"]]


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full([20, 30, 3], value, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def sequence(annotated=None, ids=("a", "b", "c"), boxes=BOXES, names=NAMES) -> bytes:
    """Three frames of grey 10, 20 and 30."""
    message = tf.train.SequenceExample()
    message.context.feature["image/height"].int64_list.value.append(20)
    message.context.feature["image/width"].int64_list.value.append(30)
    message.context.feature["image/context_features"].float_list.value.extend([1, 2, 3])
    lists = message.feature_lists.feature_list
    for number, (of_frame, classes) in enumerate(zip(boxes, names, strict=True)):
        lists["image/encoded"].feature.add().bytes_list.value.append(png(10 * (number + 1)))
        for side, place in (("ymin", 0), ("xmin", 1), ("ymax", 2), ("xmax", 3)):
            feature = lists[f"region/bbox/{side}"].feature.add()
            feature.float_list.value.extend(box[place] for box in of_frame)
        lists["region/label/string"].feature.add().bytes_list.value.extend(name.encode() for name in classes)
        if ids:
            lists["image/source_id"].feature.add().bytes_list.value.append(ids[number].encode())
        if annotated:
            lists["region/is_annotated"].feature.add().int64_list.value.append(annotated[number])
    return message.SerializeToString()


def reader(options, path, **settings):
    texts = (("cat", 1), ("dog", 3))
    return dataclasses.replace(options(path), sequences=True, text_ids=texts, num_epochs=1, **settings)


def test_evaluation_reads_every_frame(write, options):
    settings = reader(options, write(sequence(), sequence(annotated=[0, 1, 0], ids=())))
    batches = list(eval_dataset(settings, IdentityResizer(), 1))
    assert [float(each.batch.images[0, 0, 0, 0]) for each in batches] == [10, 20, 30, 20]
    ids = [each.info.source_ids[0].numpy().decode() for each in batches]
    assert ids[:3] == ["a", "b", "c"] and ids[3] == "data.record:1:1"
    assert [int(each.groundtruth.counts[0]) for each in batches] == [1, 0, 2, 0]
    np.testing.assert_allclose(batches[2].groundtruth.boxes[0, :2], [[5, 15, 15, 30], [0, 0, 20, 30]])
    assert batches[2].groundtruth.classes[0, :2].numpy().tolist() == [0, 2]


def test_training_takes_a_frame_of_each_sequence(write, options):
    settings = reader(options, write(*[sequence(annotated=[1, 0, 1])] * 12))
    seen = [float(each.batch.images[0, 0, 0, 0]) for each in train_dataset(settings, (), IdentityResizer(), 1, seed=1)]
    again = [float(each.batch.images[0, 0, 0, 0]) for each in train_dataset(settings, (), IdentityResizer(), 1, seed=1)]
    assert len(seen) == 12 and set(seen) == {10, 30} and seen == again
    fixed = dataclasses.replace(settings, frame_index=2)
    third = [each.batch.images[0, 0, 0, 0] for each in train_dataset(fixed, (), IdentityResizer(), 1, seed=1)]
    assert {float(value) for value in third} == {30}
    cached = dataclasses.replace(settings, cache=True)
    assert len(list(train_dataset(cached, (), IdentityResizer(), 1, seed=1))) == 24


@pytest.mark.parametrize(
    ("settings", "record", "said"),
    [
        ({"frame_index": 5}, sequence(), "image/encoded has 3 frames; set frame_index (5) to less"),
        ({}, sequence(annotated=[0, 0, 0]), "region/is_annotated names no frame; mark a frame, or leave the"),
        ({}, sequence(names=[["dog"] * 2, ["dog"], ["dog"]]), "image/object/class/text"),
    ],
)
def test_unusable_sequences_are_named(write, options, settings, record, said):
    read = reader(options, write(record), **settings)
    with pytest.raises(DataError) as error:
        next(iter(iterate(train_dataset(read, (), IdentityResizer(), 1, seed=1), read)))
    assert "record 0" in str(error.value) and said in str(error.value)
