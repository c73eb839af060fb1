"""From config and checkpoint to folder: overrides, averaged weights, images that keep their proportions, TF1's input
name; and what goes wrong."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from detection import config
from detection.builders import pipeline as pipeline_builder
from detection.checkpoints import loading, rotation
from detection.data.reading import labels
from detection.errors import ConfigError, DataError
from detection.export import exporter
from detection.export.predictor import Predictor
from detection.export.serving import ServingInput, preparation

KEEP_ASPECT = "model { ssd { image_resizer { keep_aspect_ratio_resizer { min_dimension: 64 max_dimension: 128 } } } }"

STRAY = "FeatureExtractor/MobilenetV1/Conv2d_14_pointwise/BatchNorm/beta"
STRINGS = ServingInput("encoded_image_string_tensor", "inputs")


@pytest.fixture(scope="module")
def varied(trained, tmp_path_factory) -> Path:
    """Exported with everything that differs from the default at once."""
    folder = tmp_path_factory.mktemp("varied")
    averages = {f"{v.path}/ExponentialMovingAverage": v.numpy() * 0.5 for v in trained.detector.trainable_variables}
    kept = rotation.Checkpoints(folder / "model_dir")
    kept.folder.mkdir()
    stray = {STRAY: np.zeros(4, np.float32)}
    kept.save(9, {**loading.by_name(trained.detector), **averages, **stray, "global_step": np.int64(9)})
    overrides = [
        "eval_config.use_moving_averages=true",
        "model.ssd.post_processing.batch_non_max_suppression.max_total_detections=30",
    ]
    given = (trained.config, str(folder / "model_dir"), str(folder / "out"), STRINGS, overrides, KEEP_ASPECT)
    made = exporter.export(*given, allow_unused_checkpoint_variables=True)
    assert made.step == 9 and "step 9" in made.summary()
    return folder / "out"


def test_tf1_clients_find_their_input(varied):
    serve = tf.saved_model.load(str(varied / "saved_model")).signatures["serving_default"]
    assert serve(inputs=tf.stack([tf.io.encode_png(np.zeros((40, 60, 3), np.uint8))]))["detection_boxes"].shape == (
        1,
        30,
        4,
    )


def test_a_checkpoint_of_another_network_is_exported_on_request_only(varied, trained, tmp_path):
    """All that the model wants is in it, and a layer that the model does not have."""
    checkpoint = varied.parent / "model_dir"
    with pytest.raises(
        ConfigError,
        match=rf"model.ckpt-9: {STRAY} has no counterpart in the model.*--allow_unused_checkpoint_variables",
    ):
        exporter.export(trained.config, str(checkpoint), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    assert STRAY not in tf.train.load_checkpoint(str(varied / "checkpoint")).get_variable_to_shape_map()


def test_averaged_weights_are_exported_under_the_plain_names(varied, trained):
    reader = tf.train.load_checkpoint(str(varied / "checkpoint"))
    for variable in trained.detector.trainable_variables:
        np.testing.assert_array_equal(reader.get_tensor(variable.path), variable.numpy() * 0.5)
    assert not [name for name in reader.get_variable_to_shape_map() if "ExponentialMovingAverage" in name]
    assert config.load(varied / "pipeline.config").eval_config.use_moving_averages is False


def test_overrides_are_in_the_config_beside_it(varied):
    written = config.load(varied / "pipeline.config").model.ssd
    assert written.image_resizer.keep_aspect_ratio_resizer.min_dimension == 64
    assert written.post_processing.batch_non_max_suppression.max_total_detections == 30


def test_images_keep_their_proportions_and_boxes_stay_in_them(varied):
    predictor = Predictor.load(varied)
    for height, width in ((40, 60), (200, 60), (64, 64)):
        (result,) = predictor.detect(np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8))
        assert (
            len(result.boxes) and (result.boxes >= 0).all() and (result.boxes <= [height, width, height, width]).all()
        )


def test_several_images_of_several_sizes_are_each_what_they_are_alone(varied):
    """Those of one size go through together; none is padded to another."""
    predictor, random = Predictor.load(varied), np.random.default_rng(1)
    images = [
        random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        for height, width in ((40, 60), (200, 60), (40, 60), (64, 64), (200, 60))
    ]
    for together, image in zip(predictor.detect(images), images, strict=True):
        (alone,) = predictor.detect(image)
        np.testing.assert_allclose(together.scores, alone.scores, atol=1e-5)
        np.testing.assert_array_equal(together.boxes.shape, alone.boxes.shape)


def test_strings_of_unequal_sizes_are_refused_in_words(varied):
    resizer = pipeline_builder.build(config.load(varied / "pipeline.config")).resizer
    prepare = tf.function(
        preparation(STRINGS.spec(), resizer), input_signature=[tf.TensorSpec([None], tf.string)], autograph=False
    )
    images = [np.random.default_rng(1).integers(0, 256, (40, width, 3), dtype=np.uint8) for width in (60, 60, 50)]
    strings = [tf.io.encode_png(image) for image in images]
    batch, expected = prepare(tf.stack(strings[:2])), resizer.batch(tf.stack(images[:2]))
    np.testing.assert_array_equal(batch.images, expected.images)
    np.testing.assert_array_equal(batch.true_shapes, expected.true_shapes)
    serve = tf.saved_model.load(str(varied / "saved_model")).signatures["serving_default"]
    assert serve(inputs=tf.stack(strings[:2]))["detection_boxes"].shape == (2, 30, 4)
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="must have one size after resizing; send others separately"
    ):
        serve(inputs=tf.stack(strings))


def test_a_checkpoint_of_another_model_is_refused_and_nothing_written(trained, tmp_path):
    with pytest.raises(ConfigError, match="BoxPredictor_0/ClassPredictor/.*checkpoint"):
        exporter.export(
            trained.config, trained.checkpoint, str(tmp_path / "out"), overrides=["model.ssd.num_classes=4"]
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("config_path", "checkpoint", "text", "message"),
    [
        ("absent.config", "CHECKPOINT", "", "absent.config"),
        ("CONFIG", "absent.ckpt", "", "absent.ckpt: no such checkpoint"),
        ("CONFIG", "CHECKPOINT", "model { sd { } }", "--config_override:1:9"),
    ],
)
def test_wrong_arguments_are_named(trained, tmp_path, config_path, checkpoint, text, message):
    config_path, checkpoint = (
        config_path.replace("CONFIG", trained.config),
        checkpoint.replace("CHECKPOINT", trained.checkpoint),
    )
    with pytest.raises((ConfigError, DataError), match=message):
        exporter.export(config_path, checkpoint, str(tmp_path / "out"), override_text=text)


def test_a_model_is_exported_where_its_label_map_is_not(trained, tmp_path, caplog):
    moved = "train_input_reader.label_map_path=/nowhere/map.pbtxt"
    exporter.export(
        trained.config,
        trained.checkpoint,
        str(tmp_path / "out"),
        overrides=[moved, moved.replace("train_input_reader", "eval_input_reader[0]")],
    )
    assert "label_map_path /nowhere/map.pbtxt: no such file" in caplog.text
    assert [category.name for category in Predictor.load(tmp_path / "out").categories] == [
        "category_1",
        "category_2",
        "category_3",
    ]


def test_after_data_was_read_in_the_same_process_nothing_is_said(trained, tmp_path, capfd):
    """As after a training: its lookup tables must not turn up in what TensorFlow says while it saves."""
    labels.LabelLookup((("circle", 1),), (1,), 3)
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    tf.get_logger().addHandler(handler)
    try:
        exporter.export(trained.config, trained.checkpoint, str(tmp_path / "exported"))
    finally:
        tf.get_logger().removeHandler(handler)
    assert not [message for message in messages if "table_initializer" in message or "collection" in message]
    assert "table_initializer" not in "".join(capfd.readouterr())
