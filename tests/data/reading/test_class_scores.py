"""Scores of all classes, one row a box, as targets of training."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from detection.data.augment import rows
from detection.data.reading.class_scores import KEY, ClassScoreReader
from detection.data.reading.input import train_dataset
from detection.data.reading.record_errors import find
from detection.data.resize import IdentityResizer
from detection.data.sample import Record, Sample, keep_rows


def read(scores, classes=(2, 0), columns=3):
    record = Record(tf.constant("a.record"), tf.constant(4, tf.int64), tf.constant(b""))
    return ClassScoreReader(columns, 3)(record, {KEY: tf.constant(scores, tf.float32)}, tf.constant(classes, tf.int32))


def test_rows_of_scores_or_one_hot():
    np.testing.assert_allclose(read([0.2, 0.3, 0.5, 0.1, 0.6, 0.3]), [[0.2, 0.3, 0.5], [0.1, 0.6, 0.3]])
    np.testing.assert_array_equal(read([]), [[0, 0, 1], [1, 0, 0]])
    assert read([], ()).shape == (0, 3)
    np.testing.assert_array_equal(read([], columns=4), [[0, 0, 0, 1], [0, 1, 0, 0]])  # the background first
    np.testing.assert_allclose(read([0.1, 0.2, 0.3, 0.4], (1,), columns=4), [[0.1, 0.2, 0.3, 0.4]])


@pytest.mark.parametrize(
    ("scores", "said"),
    [([0.5] * 5, "has 5 values for 2 boxes; write 3 for each box"), ([0.5] * 5 + [np.nan], "not finite")],
)
def test_other_numbers_of_scores_name_the_record(scores, said):
    with pytest.raises(tf.errors.InvalidArgumentError) as raised:
        read(scores)
    assert str(find(raised.value)).startswith(f"a.record, record 4: {KEY} ") and said in str(find(raised.value))


def test_training_reads_them_where_the_config_asks(write, example, options):
    """They stay with their boxes through what drops and doubles boxes."""
    boxes = [(0, 0, 0.5, 0.5), (0.5, 0.5, 1, 1)]
    scores = [0.25, 0.5, 0.25, 0, 0.75, 0.125]
    record = example(boxes=boxes, image__object__class__label=[3, 1], image__object__class__multiclass_scores=scores)
    settings = options(write(record, example(boxes=boxes[:1], image__object__class__label=[3])), num_epochs=1)
    settings = dataclasses.replace(settings, class_scores=3, shuffle=False)

    def drop_first(sample: Sample, seed: tf.Tensor) -> Sample:
        doubled = rows.random_self_concat_image(sample, seed, 1.0, 0.0)
        return keep_rows(doubled, tf.range(tf.size(doubled.classes)) > 0)

    first, second = train_dataset(settings, (drop_first,), IdentityResizer(), 1, seed=1)
    found = first.groundtruth.class_sets[0].numpy()
    np.testing.assert_array_equal(found[:4], [[0.25, 0.5, 0.25], [0, 0.75, 0.125], [0, 0.75, 0.125], [0, 0, 0]])
    np.testing.assert_array_equal(second.groundtruth.class_sets[0, :2], [[0, 0, 1], [0, 0, 0]])


def test_logits_become_probabilities():
    flags, weights = tf.constant([False]), tf.constant([1.0])
    sample = Sample(tf.zeros([2, 2, 3]), tf.zeros([1, 4]), tf.constant([0]), weights, flags, flags, weights)
    logits = np.array([[1.0, 3.0, -2.0]], "f4")
    found = rows.convert_class_logits_to_softmax(sample._replace(class_scores=tf.constant(logits)), temperature=2.0)
    expected = np.exp(logits / 2) / np.exp(logits / 2).sum()
    np.testing.assert_allclose(found.class_scores, expected, rtol=1e-6)
