"""Whose a checkpoint is, by its names and shapes: networks at several depths, and the heads of every
meta-architecture."""

from __future__ import annotations

import csv
import json

import pytest
import tensorflow as tf

from detection.checkpoints import recognise
from detection.checkpoints.checkpoint_files import Entry
from detection.checkpoints.recognise import Detector, Network


def _found(shapes: dict[str, tuple[int, ...]], scope: str = "") -> dict[str, Entry]:
    return {f"{scope}{name}": Entry(shape, tf.float32) for name, shape in shapes.items()}


@pytest.mark.parametrize(
    ("name", "num_logits", "multiplier"),
    [("mobilenet_v1", 1001, 1.0), ("mobilenet_v1", 7, 0.25), ("mobilenet_v1", 12, 0.6), ("mobilenet_v2", 9, 0.35)],
)
def test_a_network_its_depth_and_its_logits(name, num_logits, multiplier):
    shapes = recognise.classifier_shapes(name, num_logits, multiplier)
    assert recognise.network(_found(shapes)) == Network(name, multiplier, num_logits)


def test_below_the_scope_of_an_extractor_without_a_head():
    shapes = recognise.classifier_shapes("mobilenet_v1", 10, 0.5)
    body = {name: shape for name, shape in shapes.items() if "/Logits/" not in name}
    assert recognise.network(_found(body, "FeatureExtractor/")) == Network("mobilenet_v1", 0.5, None)


def test_thinned_layers_of_an_ssd_do_not_hide_the_network():
    shapes = recognise.classifier_shapes("vgg_16", 10)
    shapes = shapes | {
        "vgg_16/fc6/weights": (3, 3, 512, 1024),
        "vgg_16/fc6/biases": (1024,),
        "vgg_16/fc7/weights": (1, 1, 1024, 1024),
    }
    body = {name: shape for name, shape in shapes.items() if "/fc8/" not in name}
    assert recognise.network(_found(body, "FeatureExtractor/")) == Network("vgg_16", 1.0, None)


def test_widths_of_no_depth_multiplier_and_unknown_scopes():
    shapes = recognise.classifier_shapes("mobilenet_v1", 10)
    odd = {name: (*shape[:-1], shape[-1] + index) for index, (name, shape) in enumerate(shapes.items(), start=1)}
    assert recognise.network(_found(odd)).depth_multiplier is None
    assert recognise.network(_found({"SomeNet/conv/weights": (3, 3, 3, 8)})) is None
    assert recognise.network({}) is None and recognise.detector({}) is None


def test_shapes_take_no_memory_for_weights():
    """VGG16 at eight times its width would be 32 GB."""
    shapes = recognise.classifier_shapes("vgg_16", 1000, 8.0)
    assert shapes["vgg_16/fc6/weights"] == (7, 7, 4096, 32768)


@pytest.mark.parametrize(
    ("heads", "expected"),
    [
        (
            {
                f"BoxPredictor_{i}/{part}Predictor/biases": (size,)
                for i in range(6)
                for part, size in (("BoxEncoding", 24), ("Class", 126))
            },
            Detector("SSD", 20, 6, None),
        ),
        (
            {"BoxPredictor/BoxEncodingPredictor/biases": (12,), "BoxPredictor/ClassPredictor/biases": (6,)},
            Detector("SSD", 1, 1, None),
        ),
        ({"FeatureExtractor/MobilenetV1/Conv2d_0/weights": (3, 3, 3, 8)}, Detector("SSD", None, None, None)),
        (
            {
                "FeatureExtractor/MobilenetV2/fpn/projection_1/biases": (8,),
                "WeightSharedConvolutionalBoxPredictor/BoxPredictor/biases": (24,),
                "WeightSharedConvolutionalBoxPredictor/ClassPredictor/biases": (126,),
            },
            Detector("SSD", 20, None, None),
        ),
        (  # of 20 classes and the background, or of 21 alone
            {
                "FeatureExtractor/efficientnet-b0/bifpn/0_up_lvl_6/input_0/biases": (8,),
                "WeightSharedConvolutionalBoxPredictor/BoxPredictor/biases": (24,),
                "WeightSharedConvolutionalBoxPredictor/ClassPredictor/biases": (126,),
            },
            Detector("SSD", None, None, None),
        ),
        (
            {
                "FirstStageFeatureExtractor/x/weights": (1,),
                "Conv/biases": (512,),
                "FirstStageBoxPredictor/BoxEncodingPredictor/biases": (48,),
                "SecondStageBoxPredictor/ClassPredictor/biases": (91,),
            },
            Detector("Faster R-CNN", 90, None, 12),
        ),
        (
            {"SecondStageFeatureExtractor/x/weights": (1,), "SecondStageBoxPredictor/ClassPredictor/biases": (21,)},
            Detector("Fast R-CNN", 20, None, None),
        ),
        (
            {
                "FirstStageFeatureExtractor/x/weights": (1,),
                "FirstStageBoxPredictor/BoxEncodingPredictor/biases": (36,),
                "SecondStageBoxPredictor/class_predictions/biases": (3 * 3 * 21,),
                "SecondStageBoxPredictor/refined_locations/biases": (3 * 3 * 20 * 4,),
            },
            Detector("R-FCN", 20, None, 9),
        ),
    ],
)
def test_what_the_heads_tell(heads, expected):
    assert recognise.detector(_found(heads)) == expected


@pytest.mark.parametrize(
    ("model", "network", "detector"),
    [
        ("ssd_mobilenet_v2_coco", Network("mobilenet_v2", 1.0, None), Detector("SSD", 90, 6, None)),
        (
            "CKPT_faster_rcnn_inception_v2_coco_2018_01_28",
            Network("inception_v2", 1.0, None),
            Detector("Faster R-CNN", 90, None, 12),
        ),
        ("rfcn_resnet101_coco", Network("resnet_v1_101", 1.0, None), Detector("R-FCN", 90, None, 12)),
        ("SLIM_vgg_16", Network("vgg_16", 1.0, 1000), None),
    ],
)
def test_published_checkpoints(shared, model, network, detector):
    with open(shared / f"reference/odapi_vars/{model}.tsv", encoding="utf-8") as lines:
        found = _found({name: tuple(json.loads(shape)) for name, shape, _ in csv.reader(lines, delimiter="\t")})
    assert recognise.network(found) == network and recognise.detector(found) == detector
