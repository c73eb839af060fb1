"""Cells of tutorials that make records, and what is left of `utils.ops`."""

from __future__ import annotations

import xml.etree.ElementTree as etree

import numpy as np
import pytest
import tensorflow as tf

import detection.odapi  # noqa: F401
from detection.data.record_writer import RecordBox, RecordImage, to_example
from detection.errors import ConfigError

from object_detection.utils import dataset_util, ops  # isort: skip


def test_a_record_as_the_guide_makes_it():
    encoded = tf.io.encode_jpeg(tf.zeros([60, 40, 3], tf.uint8)).numpy()
    tf_example = tf.train.Example(
        features=tf.train.Features(
            feature={
                "image/height": dataset_util.int64_feature(60),
                "image/width": dataset_util.int64_feature(40),
                "image/filename": dataset_util.bytes_feature(b"a.jpg"),
                "image/source_id": dataset_util.bytes_feature(b"a.jpg"),
                "image/encoded": dataset_util.bytes_feature(encoded),
                "image/format": dataset_util.bytes_feature(b"jpeg"),
                "image/object/bbox/xmin": dataset_util.float_list_feature([0.1]),
                "image/object/bbox/xmax": dataset_util.float_list_feature([0.3]),
                "image/object/bbox/ymin": dataset_util.float_list_feature([0.2]),
                "image/object/bbox/ymax": dataset_util.float_list_feature([0.4]),
                "image/object/class/text": dataset_util.bytes_list_feature([b"dog"]),
                "image/object/class/label": dataset_util.int64_list_feature([1]),
            }
        )
    )
    box = RecordBox(0.2, 0.1, 0.4, 0.3, 1, "dog", 1.0)
    ours = to_example(RecordImage(encoded, "jpeg", 60, 40, "a.jpg", "a.jpg", (box,))).features.feature
    for key, value in tf_example.features.feature.items():
        assert ours[key] == value, key
    assert dataset_util.float_feature(0.5).float_list.value == [0.5]


def test_a_voc_annotation_as_a_dict(tmp_path):
    xml = etree.fromstring(
        "<annotation><filename>a.jpg</filename><size><width>40</width></size>"
        "<object><name>dog</name><bndbox><xmin>1</xmin></bndbox></object><object><name>cat</name></object></annotation>"
    )
    data = dataset_util.recursive_parse_xml_to_dict(xml)["annotation"]
    assert data["filename"] == "a.jpg" and data["size"]["width"] == "40"
    assert data["object"] == [{"name": "dog", "bndbox": {"xmin": "1"}}, {"name": "cat"}]
    (tmp_path / "train.txt").write_text("2007_000027 1\n2007_000032 -1\n")
    assert dataset_util.read_examples_list(tmp_path / "train.txt") == ["2007_000027", "2007_000032"]


def test_ops():
    boxes = ops.normalized_to_image_coordinates(tf.constant([[[0.1, 0.2, 0.5, 1.0]]]), [1, 100, 200, 3])
    np.testing.assert_allclose(boxes, [[[10, 40, 50, 200]]], rtol=1e-6)
    with pytest.raises(ConfigError, match="reframe_box_masks_to_image_masks: masks are not supported"):
        ops.reframe_box_masks_to_image_masks(None, None, 1, 1)
