"""A real detector of 300 parameters: one convolution with batch norm and dropout, four anchors, two classes. It obeys
the same verbs as the large ones, its variables have their kind of names, and it learns; so the trainer is tested with
nothing pretended."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from detection.optimizers.rules import Momentum, OptimizerSettings
from detection.optimizers.schedules import Constant
from detection.types import DensePredictions, Detections, Example, Groundtruth, ImageBatch, ImageInfo

SIDE, ANCHORS, CLASSES = 8, 4, 2


class _Conv(keras.layers.Layer):
    def build(self, shape):
        self.weights_ = self.add_weight(name="weights", shape=(3, 3, shape[-1], 4), initializer="glorot_uniform")
        self.norm = keras.layers.BatchNormalization(name="BatchNorm")
        self.norm.build((*shape[:-1], 4))

    def call(self, images, training=False):
        return tf.nn.relu(self.norm(tf.nn.conv2d(images, self.weights_, 2, "SAME"), training=training))


class _Network(keras.layers.Layer):
    def __init__(self, name):
        super().__init__(name=name)
        self.conv = _Conv(name="Conv2d_0")

    def build(self, shape):
        self.conv.build(shape)

    def call(self, images, training=False):
        return self.conv(images, training=training)


class _Extractor(keras.layers.Layer):
    def __init__(self):
        super().__init__(name="FeatureExtractor")
        self.net = _Network("TinyNet")
        self.dropout = keras.layers.Dropout(0.1, seed=3)

    def build(self, shape):
        self.net.build(shape)

    def call(self, images, training=False):
        return self.dropout(self.net(images, training=training), training=training)


class _Head(keras.layers.Layer):
    def __init__(self, num_classes):
        super().__init__(name="BoxPredictor_0")
        self.columns = ANCHORS * (4 + num_classes + 1)

    def build(self, shape):
        self.weights_ = self.add_weight(name="weights", shape=(shape[-1], self.columns), initializer="glorot_uniform")
        self.biases = self.add_weight(name="biases", shape=(self.columns,), initializer="zeros")

    def call(self, features):
        return tf.reduce_mean(features, [1, 2]) @ tf.convert_to_tensor(self.weights_) + tf.convert_to_tensor(
            self.biases
        )


class TinyDetector(keras.layers.Layer):
    def __init__(self, num_classes: int = CLASSES):
        super().__init__(name="tiny", autocast=False)
        self.num_classes = num_classes
        self.extractor, self.head = _Extractor(), _Head(num_classes)

    anchors_per_cell, takes_proposals, measures_targets = (ANCHORS,), False, False

    def measure_targets(self, examples) -> tf.Tensor:
        return tf.zeros([self.num_classes])

    def build_weights(self) -> None:
        if not self.head.built:
            self.extractor.build((None, SIDE, SIDE, 3))
            self.head.build((None, 4))

    def predict(self, batch, groundtruth=None, training=False) -> DensePredictions:
        features = self.extractor(batch.images / 255.0, training=training)
        raw = tf.reshape(self.head(features), [-1, ANCHORS, 5 + self.num_classes])
        anchors = tf.constant([[0, 0, 4, 4], [0, 4, 4, 8], [4, 0, 8, 4], [4, 4, 8, 8]], tf.float32)
        return DensePredictions(raw[..., :4], raw[..., 4:], anchors, (features,), batch.images)

    def loss(self, predictions, groundtruth) -> dict[str, tf.Tensor]:
        boxes = groundtruth.boxes - predictions.anchors
        classes = tf.one_hot(groundtruth.classes + 1, self.num_classes + 1)
        cross = tf.nn.softmax_cross_entropy_with_logits(classes, predictions.class_logits)
        return {
            "Loss/localization_loss": tf.reduce_mean(tf.square(boxes - predictions.box_codes)),
            "Loss/classification_loss": tf.reduce_mean(cross * groundtruth.weights),
        }

    def regularization_loss(self) -> tf.Tensor:
        return 1e-3 * tf.nn.l2_loss(tf.convert_to_tensor(self.head.weights_))

    def object_keys(self) -> dict[str, tf.Variable]:
        return {}

    def postprocess(self, predictions, true_shapes) -> Detections:
        boxes = (predictions.anchors + predictions.box_codes) / SIDE
        scores = tf.nn.softmax(predictions.class_logits)
        best = tf.argmax(scores[..., 1:], -1, tf.int32)
        counts = tf.fill([tf.shape(boxes)[0]], ANCHORS)
        return Detections(boxes, tf.reduce_max(scores[..., 1:], -1), best, counts, boxes, scores)


def make_detector(num_classes: int = CLASSES) -> TinyDetector:
    """A detector with its weights, the same ones each time."""
    keras.utils.set_random_seed(7)
    detector = TinyDetector(num_classes)
    detector.build_weights()
    return detector


def make_dataset(batch: int = 4, poison: tuple[int, ...] = (), size: int = 40) -> tf.data.Dataset:
    """Returns batches that repeat forever in a fixed order; images whose number is in `poison` contain NaN."""
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (size, SIDE, SIDE, 3)).astype(np.float32)
    images[list(poison)] = np.nan
    boxes = np.tile(np.float32([[0, 0, 5, 4], [1, 4, 4, 8], [4, 0, 7, 4], [4, 5, 8, 8]]), (size, 1, 1))
    classes = rng.integers(0, CLASSES, (size, ANCHORS)).astype(np.int32)
    rows = (images, boxes, classes, [f"image_{index}" for index in range(size)])

    def example(image, box, label, name):
        return Example(
            ImageBatch(image, tf.fill([batch, 2], SIDE)),
            Groundtruth(
                box,
                label,
                tf.ones([batch, ANCHORS]),
                tf.fill([batch], ANCHORS),
                tf.zeros([batch, ANCHORS], tf.bool),
                tf.zeros([batch, ANCHORS], tf.bool),
                tf.ones([batch, ANCHORS]),
            ),
            ImageInfo(name, tf.fill([batch, 2], SIDE)),
        )

    return tf.data.Dataset.from_tensor_slices(rows).repeat().batch(batch, drop_remainder=True).map(example)


def make_optimizer(rate: float = 0.01, decay: float | None = None, rule=None) -> OptimizerSettings:
    return OptimizerSettings(rule or Momentum(0.9), Constant(rate), decay)


def write_records(folder, images: int = 12, boxes: int = 1, right: float = 0.5) -> str:
    """A shard of `images` small pictures with `boxes` boxes each, whose right side is at `right`, and a glob that finds
    it."""
    import io

    from PIL import Image

    from detection.data.record_writer import RecordBox, RecordImage, to_example

    rng = np.random.default_rng(1)
    path = folder / "tiny.record-00000-of-00001"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for index in range(images):
            buffer = io.BytesIO()
            Image.fromarray(rng.integers(0, 255, (SIDE, SIDE, 3), np.uint8)).save(buffer, "PNG")
            box = RecordBox(0.0, 0.0, 0.5, right, 1 + index % CLASSES, "ab"[index % CLASSES], 16.0)
            image = RecordImage(buffer.getvalue(), "png", SIDE, SIDE, f"{index}.png", f"image_{index}", (box,) * boxes)
            writer.write(to_example(image).SerializeToString())
    return str(folder / "tiny.record-*")


def make_pipeline(folder, **settings):
    """A whole pipeline over freshly written records; `settings` are those of TrainSettings."""
    from detection.data.reading.options import InputOptions
    from detection.data.resize import FixedShapeResizer
    from detection.pipeline import Pipeline
    from detection.settings import EvalSettings, TrainSettings
    from detection.types import Category

    categories = (Category(1, "a"), Category(2, "b"))
    options = InputOptions(
        paths=(write_records(folder),),
        categories=categories,
        num_classes=CLASSES,
        max_number_of_boxes=ANCHORS,
        shuffle_buffer_size=8,
    )
    return Pipeline(
        make_detector=make_detector,
        resizer=FixedShapeResizer(height=SIDE, width=SIDE),
        categories=categories,
        train=TrainSettings(**({"num_steps": 6, "batch_size": 4, "optimizer": make_optimizer()} | settings)),
        train_input=options,
        augmentations=(),
        evaluate=EvalSettings(num_visualizations=0),
        eval_inputs=(options,),
        text="train_config {\n  batch_size: 4\n  num_steps: 6\n}\n",
    )
