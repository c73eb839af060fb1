"""Exports laid out as those of the TF Object Detection API's exporters, made by the programs of their names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import graph_pb2

import detection
from detection.checkpoints import checkpoint_files, object_files
from detection.commands.call import call
from detection.errors import ConfigError
from detection.export import layouts

IMAGES = np.random.default_rng(0).integers(0, 255, (1, 60, 80, 3), np.uint8)


@pytest.fixture(scope="module")
def served(exported):
    """What the own export finds."""
    return {key: value.numpy() for key, value in tf.saved_model.load(str(exported / "saved_model"))(IMAGES).items()}


def _same(found, served) -> None:
    for key, value in served.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-5, atol=1e-5, err_msg=key)


@pytest.fixture(scope="module")
def of_tf1(trained, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("tf1") / "out"
    paths = (f"--pipeline_config_path={trained.config}", f"--trained_checkpoint_prefix={trained.checkpoint}")
    assert call("export_inference_graph.py", "--input_type=image_tensor", *paths, f"--output_directory={out}") == 0
    return out


def test_the_folder_of_the_tf1_exporter(of_tf1):
    assert {path.name for path in of_tf1.iterdir()} == {
        "frozen_inference_graph.pb",
        "model.ckpt.index",
        "model.ckpt.data-00000-of-00001",
        "checkpoint",
        "saved_model",
        "pipeline.config",
        "label_map.pbtxt",
    }
    assert tf.train.latest_checkpoint(str(of_tf1)) == str(of_tf1 / "model.ckpt")
    pipeline = detection.load_pipeline(of_tf1 / "pipeline.config", check_paths=False)
    assert pipeline.restore(pipeline.detector(), of_tf1 / "model.ckpt") == 7


def test_the_frozen_graph_is_fed_and_fetched_by_name(of_tf1, served):
    """As in the first notebook of the API."""
    detection_graph = tf.Graph()
    with detection_graph.as_default():
        od_graph_def = tf.compat.v1.GraphDef()
        with tf.io.gfile.GFile(str(of_tf1 / "frozen_inference_graph.pb"), "rb") as fid:
            od_graph_def.ParseFromString(fid.read())
            tf.import_graph_def(od_graph_def, name="")
        with tf.compat.v1.Session(graph=detection_graph) as session:
            tensors = {key: detection_graph.get_tensor_by_name(f"{key}:0") for key in served}
            found = session.run(tensors, feed_dict={"image_tensor:0": IMAGES})
    _same(found, served)


def test_the_saved_model_of_tf1_is_called_by_its_key(of_tf1, served):
    model = tf.saved_model.load(str(of_tf1 / "saved_model"))
    _same(model.signatures["serving_default"](inputs=tf.constant(IMAGES)), served)
    _same(model(inputs=IMAGES), served)


def test_a_node_is_renamed_wherever_it_is_read():
    graph = graph_pb2.GraphDef()
    graph.node.add(name="x", op="Placeholder")
    graph.node.add(name="xy", op="Neg", input=["x:0", "^x"])
    renamed = layouts.renamed(graph, "x", "image_tensor")
    assert [node.name for node in renamed.node] == ["image_tensor", "xy"]
    assert list(renamed.node[1].input) == ["image_tensor:0", "^image_tensor"] and graph.node[0].name == "x"


def test_the_folder_of_the_tf2_exporter_and_records_as_input(trained, served, tmp_path):
    out = tmp_path / "out"
    paths = (f"--pipeline_config_path={trained.config}", f"--trained_checkpoint_dir={trained.folder}")
    assert call("exporter_main_v2.py", "--input_type=tf_example", *paths, f"--output_directory={out}") == 0
    assert {path.name for path in out.iterdir()} == {"checkpoint", "saved_model", "pipeline.config", "label_map.pbtxt"}
    assert tf.train.latest_checkpoint(str(out / "checkpoint")) == str(out / "checkpoint" / "ckpt-0")
    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[tf.io.encode_png(IMAGES[0]).numpy()]))
    example = tf.train.Example(features=tf.train.Features(feature={"image/encoded": feature}))
    detect_fn = tf.saved_model.load(str(out / "saved_model"))
    _same(detect_fn(input_tensor=tf.constant([example.SerializeToString()])), served)
    with pytest.raises(tf.errors.InvalidArgumentError, match="not a JPEG"):
        detect_fn(input_tensor=tf.constant([b""]))
    with pytest.raises(tf.errors.InvalidArgumentError):  # TensorFlow's own parser ends the process at such a length
        detect_fn(input_tensor=tf.constant([b"\n\x10\n\x0e\n\x01a\x12\t\x12\x07\n\xff\xff\xff\xff\x0f"]))
    with pytest.raises(ConfigError, match="takes serialized tf.Examples .*--input_type=image_tensor"):
        detection.load_model(out).detect(IMAGES)


def test_images_by_keyword(exported, served):
    """`detect_fn(input_tensor=...)`, as every notebook calls it."""
    detect_fn = tf.saved_model.load(str(exported / "saved_model"))
    input_tensor = tf.convert_to_tensor(IMAGES[0])[tf.newaxis, ...]
    _same(detect_fn(input_tensor=input_tensor), served)


def test_an_object_based_checkpoint_where_the_model_has_one(keras_detector, tmp_path):
    layouts.write_checkpoint(layouts.TF2, tmp_path, keras_detector, step=5)
    prefix = checkpoint_files.locate(tmp_path / "checkpoint")
    assert prefix.endswith("checkpoint/ckpt-0")
    found = object_files.contents(prefix)
    assert set(found.entries) == {*keras_detector.object_keys(), "save_counter"}
    for key, variable in keras_detector.object_keys().items():
        np.testing.assert_array_equal(object_files.read(prefix, [key])[key], variable.numpy())
