"""The check of CenterNet configs."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format

from detection import config
from detection.config import describe, facts, sweep_facts
from detection.config.fields import extractors
from detection.errors import ConfigError
from detection.protos import pipeline_pb2
from tests.helpers import detector_configs

MODEL = "model.center_net"
EXTRACTOR, CENTERS, BOXES = (
    f"{MODEL}.{part}" for part in ("feature_extractor", "object_center_params", "object_detection_task")
)
TASKS = (
    *("keypoint_estimation_task", "mask_estimation_task", "densepose_estimation_task", "track_estimation_task"),
    *("temporal_offset_task", "deepmac_mask_estimation"),
)


def _message(*settings: str, type_: str = "resnet_v2_101") -> pipeline_pb2.TrainEvalPipelineConfig:
    text = detector_configs.center_net(detector_configs.Settings(type_, 128, 128))
    return config.override(text_format.Parse(text, pipeline_pb2.TrainEvalPipelineConfig()), list(settings))


def _check(*settings: str, type_: str = "resnet_v2_101") -> tuple[list[str], list[str]]:
    """Faults and warnings, one line each."""
    try:
        return [], config.check(_message(*settings, type_=type_), "", check_paths=False)
    except ConfigError as error:
        return error.lines(), []


@pytest.mark.parametrize("type_", extractors.CENTER_NET)
def test_types(type_: str) -> None:
    assert _check(type_=type_) == ([], [])


def test_other_tasks_are_refused_by_name_and_line_all_at_once(tmp_path: Path) -> None:
    lines = detector_configs.center_net(detector_configs.Settings("hourglass_104", 128, 128)).rstrip().splitlines()
    first = len(lines)
    lines[-1:] = [f"  {task} {{ }}" for task in TASKS] + ["} }"]
    path = tmp_path / "my.config"
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        config.read_checked(path, check_paths=False)
    found = [line for line in error.value.lines() if "is not supported" in line]
    assert len(found) == len(TASKS)
    for number, task in enumerate(TASKS):
        assert any(f"my.config:{first + number}: {MODEL}.{task}" in line for line in found), found
    assert all(line.endswith("remove it: only boxes are predicted") for line in found)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (
            f"{EXTRACTOR}.type=resnet_v3_50",
            f"{EXTRACTOR}.type ('resnet_v3_50') is not supported; use one of resnet_v2_101",
        ),
        (
            f"{EXTRACTOR}.channel_means=[1, 2]",
            f"{EXTRACTOR}.channel_means has 2 values; give 3, one per channel, or none",
        ),
        (f"{EXTRACTOR}.channel_stds=[1, 0, 1]", f"{EXTRACTOR}.channel_stds[1] (0) must be more than 0"),
        (f"{EXTRACTOR}.upsampling_interpolation=cubic", "('cubic') is not supported; use nearest, bilinear"),
        (f"{CENTERS}.min_box_overlap_iou=1", f"{CENTERS}.min_box_overlap_iou (1) must be in (0, 1)"),
        (f"{CENTERS}.max_box_predictions=0", f"{CENTERS}.max_box_predictions (0) must be at least 1"),
        (f"{CENTERS}.keypoint_weights_for_center=[1]", f"{CENTERS}.keypoint_weights_for_center (1 value) is not supp"),
        (
            f"{CENTERS}.classification_loss={{weighted_sigmoid {{}}}}",
            f"{CENTERS}.classification_loss.weighted_sigmoid is not for heat maps; use penalty_reduced_logistic_focal",
        ),
        (
            f"{BOXES}.localization_loss={{weighted_giou {{}}}}",
            f"{BOXES}.localization_loss.weighted_giou is not for sizes and offsets; use l1_localization_loss",
        ),
        (f"{BOXES}.localization_loss=none", f"{BOXES}.localization_loss is not set"),
        (
            f"{BOXES}.scale_head_params={{num_filters: [8, 8] kernel_sizes: 3}}",
            f"{BOXES}.scale_head_params.num_filters has 2 values and kernel_sizes 1; give both the same number",
        ),
        (f"{MODEL}.num_classes=900000", f"{MODEL}.num_classes (900000) makes heat maps of 921,600,000 numbers"),
        (f"{CENTERS}.center_head_params={{num_filters: [4096, 4096] kernel_sizes: [31, 31]}}", "make a head of about"),
    ],
)
def test_invalid_values_are_refused(setting: str, expected: str) -> None:
    faults, _ = _check(setting)
    assert len(faults) == 1 and expected in faults[0], faults


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (f"{EXTRACTOR}.use_separable_conv=true", f"{EXTRACTOR}.use_separable_conv (true) has no effect"),
        (f"{EXTRACTOR}.upsampling_interpolation=bilinear", f"{EXTRACTOR}.upsampling_interpolation ('bilinear') has no"),
        (f"{EXTRACTOR}.use_depthwise=true", f"{EXTRACTOR}.use_depthwise (true) has no effect"),
        (
            f"{MODEL}.post_processing={{score_converter: SIGMOID batch_non_max_suppression {{}}}}",
            f"{MODEL}.post_processing.score_converter (SIGMOID) has no effect",
        ),
    ],
)
def test_fields_without_effect_give_warnings(setting: str, expected: str) -> None:
    faults, warnings = _check(setting)
    assert faults == [] and len(warnings) == 1 and expected in warnings[0], warnings
    assert "CenterNet.compute" not in str(_check(f"{MODEL}.compute_heatmap_sparse=true"))


def test_top_down_layers_of_mobilenet_can_be_changed() -> None:
    how = (f"{EXTRACTOR}.use_separable_conv=true", f"{EXTRACTOR}.upsampling_interpolation=bilinear")
    assert _check(*how, type_="mobilenet_v2_fpn") == ([], [])


def test_the_heat_map_loss_is_refused_elsewhere() -> None:
    text = detector_configs.ssd(detector_configs.Settings("ssd_mobilenet_v1", 128, 128))
    setting = "model.ssd.loss.classification_loss={penalty_reduced_logistic_focal_loss {}}"
    message = config.override(text_format.Parse(text, pipeline_pb2.TrainEvalPipelineConfig()), [setting])
    with pytest.raises(
        ConfigError, match="penalty_reduced_logistic_focal_loss is for the heat maps of model.center_net"
    ):
        config.check(message, "", check_paths=False)


def test_config_summary() -> None:
    message = _message(f"{BOXES}.task_loss_weight=2", f"{MODEL}.post_processing={{batch_non_max_suppression {{}}}}")
    rows = dict(describe.model_rows(message))
    assert rows["model"] == "center_net of resnet_v2_101, depth multiplier 1, 4 classes"
    assert rows["loss"] == (
        "1 x penalty_reduced_logistic_focal_loss (alpha 2, beta 4) + 0.2 x l1_localization_loss of the scale +"
        " 2 x l1_localization_loss of the offset"
    )
    assert rows["detections"].startswith("at most 50 peaks an image, each the largest of 3 x 3 cells; then IDENTITY")
    assert facts.of(message.model) == {
        **{"meta_architecture": "center_net", "feature_extractor": "resnet_v2_101", "resolution": "128x128"},
        **{"output_stride": "4", "location_loss": "l1", "loss_ratio": "0.2:1"},
    }
    assert sweep_facts.facts(message) == ("center_net", "resnet_v2_101", 128, 0, None)


BOX_ONLY = (
    "centernet_hourglass104_1024x1024_coco17_tpu-32",
    "centernet_hourglass104_512x512_coco17_tpu-8",
    "centernet_resnet101_v1_fpn_512x512_coco17_tpu-8",
)


def test_published_configs(shared: Path) -> None:
    """Configs of boxes alone give no warning; the others are refused because of their other tasks."""
    folder = shared / "odapi_configs" / "tf2"
    paths = sorted(path for path in folder.glob("center*net*.config"))
    assert {path.stem for path in paths} > set(BOX_ONLY)
    for path in paths:
        if path.stem in BOX_ONLY:
            assert config.read_checked(path, check_paths=False)[1] == []
            continue
        with pytest.raises(ConfigError) as error:
            config.read_checked(path, check_paths=False)
        task = "deepmac_mask_estimation" if "deepmac" in path.stem else "keypoint_estimation_task"
        assert any(f"{MODEL}.{task}" in line for line in error.value.lines()), path
