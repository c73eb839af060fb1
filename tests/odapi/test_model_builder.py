"""Cells of the inference tutorial and of the eager few-shot one, on a thin detector; a zoo checkpoint where there is
one."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import detection.odapi  # noqa: F401
from detection import config
from detection.errors import ConfigError
from tests.helpers import detector_configs, keras_ssd
from tests.helpers.tf2_parity import Reference

from object_detection.builders import model_builder  # isort: skip
from object_detection.utils import config_util  # isort: skip

IMAGE = np.random.default_rng(0).integers(0, 255, (1, 80, 100, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def configs(tmp_path_factory) -> dict:
    path = tmp_path_factory.mktemp("config") / "pipeline.config"
    path.write_text(keras_ssd.config())
    return config_util.get_configs_from_pipeline_file(path)


@pytest.fixture(scope="module")
def detection_model(configs):
    return model_builder.build(model_config=configs["model"], is_training=False)


@pytest.fixture(scope="module")
def checkpoint_path(configs, tmp_path_factory) -> str:
    """As somebody's zoo model: other weights, written by TensorFlow."""
    other = model_builder.build(model_config=configs["model"], is_training=False)
    for number, variable in enumerate(other.variables):
        if variable.dtype == "float32":
            variable.assign(variable + 0.01 * (number % 7))
    return tf.train.Checkpoint(model=other).save(str(tmp_path_factory.mktemp("zoo") / "ckpt"))


def test_a_checkpoint_is_restored_and_the_model_detects(detection_model, checkpoint_path):
    ckpt = tf.compat.v2.train.Checkpoint(model=detection_model)
    status = ckpt.restore(checkpoint_path).expect_partial()
    status.assert_existing_objects_matched()
    stored = tf.train.load_checkpoint(checkpoint_path)
    for key, variable in detection_model._parts.detector.object_keys().items():
        np.testing.assert_array_equal(stored.get_tensor(f"{key}/.ATTRIBUTES/VARIABLE_VALUE"), variable.numpy())

    @tf.function
    def detect_fn(image):
        image, shapes = detection_model.preprocess(image)
        prediction_dict = detection_model.predict(image, shapes)
        detections = detection_model.postprocess(prediction_dict, shapes)
        return detections, prediction_dict, tf.reshape(shapes, [-1])

    detections, prediction_dict, shapes = detect_fn(tf.constant(IMAGE))
    assert shapes.numpy().tolist() == [64, 64, 3]
    label_id_offset = 1
    classes = (detections["detection_classes"][0].numpy() + label_id_offset).astype(int)
    assert detections["detection_boxes"].shape[-1] == 4 and classes.min() >= 1 and classes.max() <= 4
    anchors = prediction_dict["box_encodings"].shape[1]
    assert prediction_dict["class_predictions_with_background"].shape == (1, anchors, 5)


def test_keys_that_tensorflow_writes_are_those_of_the_original(detection_model, checkpoint_path):
    names = {name for name, _ in tf.train.list_variables(checkpoint_path)}
    keys = {f"{key}/.ATTRIBUTES/VARIABLE_VALUE" for key in detection_model._parts.detector.object_keys()}
    assert names - keys == {"_CHECKPOINTABLE_OBJECT_GRAPH", "save_counter/.ATTRIBUTES/VARIABLE_VALUE"}
    assert keys <= names


def test_few_shot_training_as_the_eager_colab_does_it(configs, checkpoint_path):
    num_classes = 1
    model_config = config.from_text(keras_ssd.config()).model
    model_config.ssd.num_classes = num_classes
    model_config.ssd.freeze_batchnorm = True
    detection_model = model_builder.build(model_config=model_config, is_training=True)
    before = {key: v.numpy() for key, v in detection_model._parts.detector.object_keys().items()}
    fake_box_predictor = tf.compat.v2.train.Checkpoint(
        _base_tower_layers_for_heads=detection_model._box_predictor._base_tower_layers_for_heads,
        # The classification head is not restored: it has another number of classes.
        _box_prediction_head=detection_model._box_predictor._box_prediction_head,
    )
    fake_model = tf.compat.v2.train.Checkpoint(
        _feature_extractor=detection_model._feature_extractor, _box_predictor=fake_box_predictor
    )
    ckpt = tf.compat.v2.train.Checkpoint(model=fake_model)
    ckpt.restore(checkpoint_path).expect_partial()
    stored = tf.train.load_checkpoint(checkpoint_path)
    for key, variable in detection_model._parts.detector.object_keys().items():
        restored = "_feature_extractor/" in key or "_box_prediction_head/" in key or "_base_tower" in key
        value = stored.get_tensor(f"{key}/.ATTRIBUTES/VARIABLE_VALUE") if restored else before[key]
        np.testing.assert_array_equal(variable.numpy(), value, err_msg=key)

    prefixes_to_train = [
        "WeightSharedConvolutionalBoxPredictor/WeightSharedConvolutionalBoxHead",
        "WeightSharedConvolutionalBoxPredictor/WeightSharedConvolutionalClassHead",
    ]
    to_fine_tune = []
    for var in detection_model.trainable_variables:
        if any(var.name.startswith(prefix) for prefix in prefixes_to_train):
            to_fine_tune.append(var)
    assert len(to_fine_tune) == 4
    optimizer = tf.keras.optimizers.SGD(learning_rate=0.005, momentum=0.9)
    gt_boxes = [tf.constant([[0.2, 0.2, 0.7, 0.7]]), tf.constant([[0.1, 0.3, 0.5, 0.8], [0.5, 0.5, 0.9, 0.9]])]
    gt_classes = [tf.one_hot(tf.zeros([len(boxes)], tf.int32), num_classes) for boxes in gt_boxes]

    @tf.function
    def train_step_fn(image_tensors, groundtruth_boxes_list, groundtruth_classes_list):
        shapes = tf.constant(2 * [[64, 64, 3]], dtype=tf.int32)
        detection_model.provide_groundtruth(
            groundtruth_boxes_list=groundtruth_boxes_list, groundtruth_classes_list=groundtruth_classes_list
        )
        with tf.GradientTape() as tape:
            preprocessed_images = tf.concat(
                [detection_model.preprocess(image_tensor)[0] for image_tensor in image_tensors], axis=0
            )
            prediction_dict = detection_model.predict(preprocessed_images, shapes)
            losses_dict = detection_model.loss(prediction_dict, shapes)
            total_loss = losses_dict["Loss/localization_loss"] + losses_dict["Loss/classification_loss"]
        gradients = tape.gradient(total_loss, to_fine_tune)
        return total_loss, gradients

    losses = []
    for _ in range(5):
        total_loss, gradients = train_step_fn([tf.constant(IMAGE), tf.constant(255 - IMAGE)], gt_boxes, gt_classes)
        optimizer.apply_gradients(zip(gradients, to_fine_tune, strict=True))
        losses.append(float(total_loss))
    assert losses[-1] < losses[0]


def test_what_training_asks_for(configs):
    detection_model = model_builder.build(configs["model"], is_training=True)
    image, shapes = detection_model.preprocess(tf.constant(IMAGE))
    with pytest.raises(ConfigError, match="loss: there is no groundtruth; call provide_groundtruth first"):
        detection_model.loss(detection_model.predict(image, shapes), shapes)
    with pytest.raises(ConfigError, match="provide_groundtruth: groundtruth_masks_list is not supported"):
        detection_model.provide_groundtruth([], [], groundtruth_masks_list=[1])
    (penalty,) = detection_model.regularization_losses()
    assert penalty > 0 and detection_model.updates() == [] and detection_model.num_classes == 4
    assert set(detection_model.restore_from_objects()) == {"model"}
    assert detection_model.restore_from_objects("full")["model"] is detection_model
    with pytest.raises(ConfigError, match="fine_tune_checkpoint_type='classification'"):
        detection_model.restore_from_objects("classification")


def test_a_model_without_object_keys_is_not_restored_silently():
    settings = detector_configs.Settings("ssd_mobilenet_v1", 64, 64, depth_multiplier=0.1)
    detection_model = model_builder.build(config.from_text(detector_configs.ssd(settings)).model, is_training=False)
    image, shapes = detection_model.preprocess(tf.constant(IMAGE))
    assert "detection_boxes" in detection_model.postprocess(detection_model.predict(image, shapes), shapes)
    with pytest.raises(ValueError, match="trackable"):
        tf.train.Checkpoint(model=detection_model)


def test_a_config_that_is_not_supported_is_refused(configs):
    model_config = config.from_text(keras_ssd.config()).model
    model_config.ssd.num_classes = 0
    with pytest.raises(ConfigError, match="model_config: model.ssd.num_classes"):
        model_builder.build(model_config, is_training=False)


def test_a_zoo_checkpoint_gives_the_stored_forward_pass(shared):
    name = "ssd_mobilenet_v2_fpnlite_320x320"
    reference = Reference(shared, name)
    path = shared / "odapi_configs" / "tf2" / reference.model["config"]
    configs = config_util.get_configs_from_pipeline_file(path)
    detection_model = model_builder.build(model_config=configs["model"], is_training=False)
    ckpt = tf.compat.v2.train.Checkpoint(model=detection_model)
    ckpt.restore(str(shared / "parity_tf2" / "ckpt" / name / "ckpt-0")).expect_partial().assert_consumed()
    reference.detector = detection_model._parts.detector
    assert all(row[-1] for row in reference.forward("a"))
    names = {variable.name for variable in detection_model.trainable_variables}
    lines = (shared / "parity_tf2" / f"{name}.keys.tsv").read_text().splitlines()[1:]
    heads = {f"{line.split(chr(9))[2]}:0" for line in lines if "Head/" in line.split(chr(9))[2]}
    assert len(heads) == 6 and heads <= names
