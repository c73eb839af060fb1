"""Random weights keep signals alive: what detectors of every kind find in noise differs from box to box."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from detection import config as configs
from detection.benchmark import random_weights
from detection.builders import pipeline as pipelines
from detection.networks.dense import Dense
from detection.networks.hyperparams import Hyperparams
from detection.networks.layers import Conv
from detection.types import ImageBatch, Proposals

METAS = ("ssd", "faster_rcnn", "rfcn", "fast_rcnn")


def make(path: str):
    pipeline = pipelines.build(configs.prepare(path, [], check_paths=False), read_label_maps=False)
    detector = pipeline.detector()
    return detector


@pytest.mark.parametrize("meta", METAS)
def test_scores_differ(config_of, meta):
    path = config_of(meta)
    detector = make(path)
    random_weights.draw(detector)
    assert meta == "ssd" or "run" not in vars(
        detector.second_stage.regions
    )  # The second stage sees all its regions again.
    boxes = tf.constant(np.random.default_rng(0).uniform(0, 60, (1, 9, 2)), tf.float32)
    given = (
        Proposals(tf.concat([boxes, boxes + 30], -1), tf.ones([1, 9]), tf.constant([9])) if meta == "fast_rcnn" else ()
    )
    predictions = detector.predict(
        ImageBatch(tf.random.uniform([1, 96, 96, 3], maxval=255.0), tf.constant([[96, 96]]), given)
    )
    raw = predictions.raw()
    for name in ("box_codes", "class_logits"):
        values = raw[name].numpy()
        assert np.isfinite(values).all() and 0.05 < values.std() < 20.0
    logits = np.unique(raw["class_logits"].numpy())
    assert len(logits) > 0.9 * raw["class_logits"].numpy().size
    again = make(path)
    random_weights.draw(again)
    for one, other in zip(detector.weights, again.weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_layer_gives_unit_spread_and_is_itself_again():
    """Whatever its kernel was; one that sees zeros keeps what it drew."""
    hyperparams = Hyperparams(keras.initializers.RandomNormal(stddev=1e-3), activation=None)
    conv, dense = Conv("conv", 5, 3, hyperparams), Dense("dense", 4, hyperparams)
    conv(tf.ones([1, 8, 8, 3]))
    dense(tf.ones([2, 7]))

    class Holder:
        def _flatten_layers(self):
            return [conv, dense]

    with random_weights._drawing_kernels(Holder(), 0):
        made = conv(tf.random.normal([4, 8, 8, 3]))
        dense(tf.zeros([2, 7]))
    assert float(tf.math.reduce_std(made)) == pytest.approx(1.0, rel=1e-3)
    assert np.isfinite(dense.kernel).all()
    assert "call" not in vars(conv) and "call" not in vars(dense)
