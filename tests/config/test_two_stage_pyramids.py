"""The check of two-stage configs with a feature pyramid."""

from __future__ import annotations

import pytest
from google.protobuf import text_format

from detection import config
from detection.errors import ConfigError
from detection.protos import pipeline_pb2
from tests.helpers import detector_configs

MODEL = "model.faster_rcnn"
EXTRACTOR, ANCHORS = f"{MODEL}.feature_extractor", f"{MODEL}.first_stage_anchor_generator"
MULTISCALE = f"{ANCHORS}.multiscale_anchor_generator"
PYRAMID, ONE_MAP = "faster_rcnn_resnet50_fpn_keras", "faster_rcnn_resnet50_keras"


def _check(*settings: str, type_: str = PYRAMID, template=detector_configs.faster_rcnn) -> tuple[list[str], list[str]]:
    """(faults, warnings), one line each."""
    text = template(detector_configs.Settings(type_, 128, 128))
    message = config.override(text_format.Parse(text, pipeline_pb2.TrainEvalPipelineConfig()), list(settings))
    try:
        return [], config.check(message, "", check_paths=False)
    except ConfigError as error:
        return [line.removeprefix(": ") for line in error.lines()], []


@pytest.mark.parametrize("form", ["", "_keras"])
@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilenet_v2", "resnet50", "resnet101", "resnet152"])
def test_types(name: str, form: str) -> None:
    """The pyramid uses conv_hyperparams, so there is no warning that they have no effect."""
    assert _check(type_=f"faster_rcnn_{name}_fpn{form}") == ([], [])
    assert _check(type_=f"faster_rcnn_{name}_fpn{form}", template=detector_configs.fast_rcnn) == ([], [])


def test_without_fpn_the_levels_are_2_to_6() -> None:
    """As in the TF Object Detection API; an empty message has other levels."""
    faults, _ = _check(f"{EXTRACTOR}.fpn=none")
    assert faults == [
        f"{MULTISCALE} has levels 3 to 6, and feature_extractor.fpn has 2 to 6 where it is not set; give both the same"
        " levels"
    ]
    assert _check(f"{EXTRACTOR}.fpn=none", f"{MULTISCALE}.min_level=2") == ([], [])


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (f"{MULTISCALE}.max_level=7", f"{MULTISCALE} has levels 3 to 7, and feature_extractor.fpn has 3 to 6; give"),
        (f"{EXTRACTOR}.fpn.min_level=1", f"{EXTRACTOR}.fpn.min_level (1) must be in [2, 5]"),
        (
            f"{ANCHORS}={{grid_anchor_generator {{ scales: 1 aspect_ratios: 1 }}}}",
            f"{ANCHORS}.grid_anchor_generator is for one map, and {PYRAMID} has those of levels 3 to 6; use",
        ),
        (f"{EXTRACTOR}.conv_hyperparams=none", f"{EXTRACTOR}.conv_hyperparams is not set; the layers of the pyramid"),
        (f"{MODEL}.roi_max_pool=true", f"{MODEL}.roi_max_pool is for one map, not for the pyramid of {PYRAMID}"),
        (f"{MODEL}.initial_crop_size=100", f"{MODEL}.initial_crop_size (100) makes crops of 50 x 50 cells, and with"),
        (f"{EXTRACTOR}.first_stage_features_stride=4", f"{EXTRACTOR}.first_stage_features_stride (4) is not one that"),
    ],
)
def test_faults_name_the_field(setting: str, expected: str) -> None:
    settings = [setting]
    if "crop" in setting:
        settings.append(f"{EXTRACTOR}.fpn.additional_layer_depth=256")
    faults, _ = _check(*settings)
    assert any(line.startswith(expected) for line in faults), faults


def test_rfcn_has_one_map() -> None:
    faults, _ = _check(template=detector_configs.rfcn)
    assert any("rfcn_box_predictor scores one map, not the pyramid of" in line for line in faults), faults


def test_types_without_a_pyramid() -> None:
    faults, _ = _check(f"{EXTRACTOR}.fpn={{}}", type_=ONE_MAP)
    assert any(line.startswith(f"{EXTRACTOR}.fpn is for types with a feature pyramid, such as") for line in faults)
    faults, _ = _check(f"{ANCHORS}={{multiscale_anchor_generator {{ aspect_ratios: 1 }}}}", type_=ONE_MAP)
    assert any(
        line.startswith(f"{MULTISCALE} makes anchors for 5 maps, and regions are proposed on one; use")
        for line in faults
    )
    faults, _ = _check(f"{EXTRACTOR}.first_stage_features_stride=8", type_=ONE_MAP)  # which the slim form can have
    assert any(f"first_stage_features_stride (8) is not one that {ONE_MAP} can have; use 16" in line for line in faults)


def test_masks_and_context_are_refused_all_at_once() -> None:
    head = f"{MODEL}.second_stage_box_predictor.mask_rcnn_box_predictor"
    settings = (
        f"{MODEL}.number_of_stages=3",
        f"{MODEL}.context_config={{}}",
        f"{head}.predict_instance_masks=true",
        f"{head}.predict_keypoints=true",
    )
    faults, _ = _check(*settings, type_="faster_rcnn_inception_resnet_v2_keras")
    for name in (f"{MODEL}.number_of_stages", f"{MODEL}.context_config", f"{head}.predict_instance_masks"):
        assert any(line.startswith(f"{name} ") for line in faults), (name, faults)
    assert len(faults) == 4
