"""The check of SSD configs with a feature pyramid."""

from __future__ import annotations

import pytest
from google.protobuf import text_format

from detection import config
from detection.errors import ConfigError
from detection.protos import pipeline_pb2
from tests.helpers import detector_configs

BIFPN = "ssd_efficientnet-b0_bifpn_keras"
EXTRACTOR, ANCHORS = "model.ssd.feature_extractor", "model.ssd.anchor_generator"
MULTISCALE = "multiscale_anchor_generator"
PREDICTOR = "model.ssd.box_predictor.weight_shared_convolutional_box_predictor"


def _check(*settings: str, type_: str = "ssd_mobilenet_v2_fpn_keras") -> list[str]:
    """The faults, one line each."""
    text = detector_configs.ssd(detector_configs.Settings(type_, 128, 128))
    message = config.override(text_format.Parse(text, pipeline_pb2.TrainEvalPipelineConfig()), list(settings))
    try:
        config.check(message, "", check_paths=False)
    except ConfigError as error:
        return error.lines()
    return []


@pytest.mark.parametrize("form", ["", "_keras"])
@pytest.mark.parametrize("pyramid", ["fpn", "bifpn"])
@pytest.mark.parametrize(
    "name", ["mobilenet_v1", "mobilenet_v2", "resnet50_v1", "resnet101_v1", "resnet152_v1", "efficientnet-b7"]
)
def test_types(name: str, pyramid: str, form: str) -> None:
    assert _check(type_=f"ssd_{name}_{pyramid}{form}") == []


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (f"{ANCHORS}.{MULTISCALE}.max_level=6", f"{ANCHORS}.{MULTISCALE} has levels 3 to 6, and feature_extractor.fpn"),
        (f"{EXTRACTOR}.fpn.min_level=4", f"{ANCHORS}.{MULTISCALE} has levels 3 to 7, and feature_extractor.fpn has 4"),
        (f"{EXTRACTOR}.fpn.min_level=1", f"{EXTRACTOR}.fpn.min_level (1) must be in [2, 5]"),
        (f"{EXTRACTOR}.fpn.max_level=2", f"{EXTRACTOR}.fpn.min_level (3) must not exceed max_level (2)"),
        (f"{EXTRACTOR}.fpn.max_level=21", f"{EXTRACTOR}.fpn.max_level (21) is more than 20"),
        (f"{EXTRACTOR}.fpn.additional_layer_depth=0", f"{EXTRACTOR}.fpn.additional_layer_depth (0) must be at least 1"),
        (f"{PREDICTOR}.depth=0", f"{PREDICTOR}.depth is not set; the convolutions before the predictor need it"),
        (f"{PREDICTOR}.box_code_size=3", f"{PREDICTOR}.box_code_size (3) must be 4"),
        (f"{PREDICTOR}.box_encodings_clip_range={{min: 1 max: -1}}", f"{PREDICTOR}.box_encodings_clip_range.min (1)"),
        ("model.ssd.num_classes=100000", "model.ssd.num_classes (100000) with 3 anchors per cell and box_predictor's"),
        (f"{ANCHORS}={{grid_anchor_generator {{}}}}", f"{ANCHORS}.grid_anchor_generator has anchors for 1 map, and"),
    ],
)
def test_faults_name_the_field(setting: str, expected: str) -> None:
    settings = [setting]
    if "num_classes" in setting:
        settings += [f"{PREDICTOR}.depth=4096", f"{PREDICTOR}.use_depthwise=false"]
    faults = _check(*settings)
    assert any(expected in line for line in faults), faults


def test_use_depthwise_is_refused_for_resnets() -> None:
    faults = _check(f"{EXTRACTOR}.use_depthwise=true", type_="ssd_resnet50_v1_fpn_keras")
    assert any(f"{EXTRACTOR}.use_depthwise is not for ssd_resnet50_v1_fpn_keras" in line for line in faults)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (f"{ANCHORS}.{MULTISCALE}.max_level=6", f"{MULTISCALE} has levels 3 to 6, and feature_extractor.bifpn has 3"),
        (f"{EXTRACTOR}.bifpn.min_level=7", f"{EXTRACTOR}.bifpn.min_level (7) must be below max_level (7)"),
        (f"{EXTRACTOR}.bifpn.num_iterations=33", f"{EXTRACTOR}.bifpn.num_iterations (33) is more than 32"),
        (
            f"{EXTRACTOR}.bifpn.num_filters=4096",
            f"{EXTRACTOR}.bifpn.num_filters (4096) in num_iterations (32) on levels",
        ),
        (f"{EXTRACTOR}.bifpn.num_filters=-1", f"{EXTRACTOR}.bifpn.num_filters (-1) must be at least 0"),
        (
            f"{EXTRACTOR}.bifpn.combine_method='mean'",
            f"{EXTRACTOR}.bifpn.combine_method ('mean') is not supported; use one of fast_attention, weighted_sum,",
        ),
        (f"{EXTRACTOR}.use_depthwise=true", f"{EXTRACTOR}.use_depthwise is not for {BIFPN}; remove it"),
        (f"{EXTRACTOR}.fpn={{}}", f"{EXTRACTOR}.fpn is for types with a feature pyramid, such as"),
    ],
)
def test_faults_of_a_bidirectional_pyramid(setting: str, expected: str) -> None:
    settings = [setting, f"{EXTRACTOR}.bifpn.num_iterations=32"] if "4096" in setting else [setting]
    faults = _check(*settings, type_=BIFPN)
    assert any(expected in line for line in faults), faults


def test_a_pyramid_of_another_kind_is_refused() -> None:
    faults = _check(f"{EXTRACTOR}.bifpn={{}}")
    assert any(f"{EXTRACTOR}.bifpn is for types with a bidirectional feature pyramid" in line for line in faults)


def test_logits_without_a_column_for_the_background() -> None:
    alone = "model.ssd.add_background_class=false"
    assert _check(alone) == []
    faults = _check(alone, "model.ssd.encode_background_as_zeros=false")
    assert any("model.ssd.add_background_class is false: the background has no column" in line for line in faults)
    faults = _check(alone, "model.ssd.loss.classification_loss={weighted_softmax {}}")
    assert any("is false: weighted_softmax needs a column for the background" in line for line in faults)


def test_an_explicit_background_has_the_column() -> None:
    explicit = "model.ssd.explicit_background_class=true"
    alone = ("model.ssd.add_background_class=false", explicit)
    assert _check(*alone, "model.ssd.encode_background_as_zeros=false") == []
    assert any("set add_background_class: false" in line for line in _check(explicit))
    assert any("leaves no class besides the background" in line for line in _check(*alone, "model.ssd.num_classes=1"))
