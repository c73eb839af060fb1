"""Values far beyond usual sizes are refused before anything is built, with the name of the field."""

from __future__ import annotations

import time

import pytest
from google.protobuf import descriptor_pool, message_factory

from detection import config
from detection.config import bounds, fields
from detection.config.schema import PACKAGE
from detection.errors import DetectionError

RESIZER, ANCHORS = "model.ssd.image_resizer", "model.ssd.anchor_generator"
PREDICTOR = "model.ssd.box_predictor.convolutional_box_predictor"
FASTER = """
model={faster_rcnn { num_classes: 3 image_resizer { keep_aspect_ratio_resizer { } }
feature_extractor { type: 'faster_rcnn_resnet50' }
first_stage_anchor_generator { grid_anchor_generator { scales: 1 aspect_ratios: 1 } }
first_stage_box_predictor_conv_hyperparams { initializer { truncated_normal_initializer { } } }
initial_crop_size: 14 maxpool_kernel_size: 2 maxpool_stride: 2
second_stage_box_predictor { mask_rcnn_box_predictor { fc_hyperparams {
initializer { truncated_normal_initializer { } } } } } } }
""".replace("\n", " ")


def faults(message, *settings: str) -> list[str]:
    started = time.process_time()
    try:
        config.check(config.override(message, settings), "my.config", check_paths=False)
    except DetectionError as error:
        assert time.process_time() - started < 5  # No list of a billion numbers was made on the way.
        return [line.removeprefix("my.config: ") for line in error.lines()]
    return []


def kind(name: str):
    return message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(f"{PACKAGE}{name}"))


@pytest.mark.parametrize(
    ("name", "field"),
    [(name, row.name) for name, rows in fields.TABLE.items() for row in rows.values() if row.limit is not None],
)
def test_every_limit_is_kept(name, field):
    message, limit = kind(name)(), fields.TABLE[name][field].limit
    repeated = message.DESCRIPTOR.fields_by_name[field].is_repeated
    for value, expected in ((limit.high, 0), (limit.high + 1, 1)):
        message.ClearField(field)
        getattr(message, field).append(value) if repeated else setattr(message, field, value)
        found = [text for text in bounds.too_large(message, "here") if text.startswith(f"here.{field}")]
        assert len(found) == expected
    assert f"is more than {limit.high:,}: {limit.reason}" in found[0]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            [f"{RESIZER}.fixed_shape_resizer.height=1000000", f"{RESIZER}.fixed_shape_resizer.width=1000000"],
            (
                f"{RESIZER}.fixed_shape_resizer (height 1000000, width 1000000) makes images of 1,000,000,000,000"
                " pixels, more than 100,000,000; lower it"
            ),
        ),
        (
            [f"{RESIZER}.fixed_shape_resizer.width=1000000000"],
            f"{RESIZER}.fixed_shape_resizer (height 96, width 1000000000) makes images of ",
        ),
        (
            [
                f"{RESIZER}={{keep_aspect_ratio_resizer {{ min_dimension: 600 max_dimension: 20000"
                " pad_to_max_dimension: true }}"
            ],
            (
                f"{RESIZER}.keep_aspect_ratio_resizer.max_dimension (20000, with pad_to_max_dimension) makes images of"
                " 400,000,000 pixels"
            ),
        ),
        (
            [f"{RESIZER}={{keep_aspect_ratio_resizer {{ min_dimension: 20000 max_dimension: 20000 }}}}"],
            (
                f"{RESIZER}.keep_aspect_ratio_resizer.max_dimension (20000, with min_dimension 20000) makes images of"
                " 400,000,000 pixels"
            ),
        ),
        (
            [f"{RESIZER}={{conditional_shape_resizer {{ condition: SMALLER size_threshold: 1000000 }}}}"],
            f"{RESIZER}.conditional_shape_resizer.size_threshold (1000000) makes images of 1,000,000,000,000 pixels",
        ),
        (
            [f"{RESIZER}={{pad_to_multiple_resizer {{ multiple: 1000000 }}}}"],
            f"{RESIZER}.pad_to_multiple_resizer.multiple (1000000) makes images of 1,000,000,000,000 pixels",
        ),
        (
            ["model.ssd.num_classes=1000000000"],
            "model.ssd.num_classes (1000000000) is more than 1,000,000: every anchor has a score for each",
        ),
        (
            ["model.ssd.num_classes=100000"],
            "model.ssd.num_classes (100000) with 23 anchors per cell and box_predictor's kernel_size (1) makes ",
        ),
        (
            [
                f"{ANCHORS}.ssd_anchor_generator.num_layers=1000000000",
                "model.ssd.feature_extractor.num_layers=1000000000",
            ],
            "model.ssd.feature_extractor.num_layers (1000000000) is more than 20: ",
        ),
        (
            [f"{ANCHORS}={{multiscale_anchor_generator {{ max_level: 2000000000 }}}}"],
            f"{ANCHORS}.multiscale_anchor_generator.max_level (2000000000) is more than 20: ",
        ),
        (
            [f"{ANCHORS}={{multiscale_anchor_generator {{ scales_per_octave: 999 aspect_ratios: [1, 2, 3] }}}}"],
            f"{ANCHORS}.multiscale_anchor_generator makes 2,997 anchors at every cell, more than 1,000",
        ),
        (
            [f"{ANCHORS}.ssd_anchor_generator.aspect_ratios=[{','.join(['1'] * 1001)}]"],
            (
                f"{ANCHORS}.ssd_anchor_generator makes 1,002 anchors at every cell, more than 1,000; list fewer scales"
                " or aspect_ratios"
            ),
        ),
        (
            [
                f"{ANCHORS}.ssd_anchor_generator.aspect_ratios=[{','.join(['1'] * 40)}]",
                f"{RESIZER}.fixed_shape_resizer.height=9000",
                f"{RESIZER}.fixed_shape_resizer.width=9000",
                f"{ANCHORS}.ssd_anchor_generator.reduce_boxes_in_lowest_layer=false",
            ],
            (
                f"{ANCHORS}.ssd_anchor_generator makes about 69,170,609 anchors on images of 81,000,000 pixels"
                " (image_resizer.fixed"
            ),
        ),
        (
            [f"{PREDICTOR}.min_depth=4096", f"{PREDICTOR}.num_layers_before_predictor=32"],
            f"{PREDICTOR}.num_layers_before_predictor (32) of min_depth (4096) makes about 3,221,225,472 weights",
        ),
        (
            ["train_config.batch_size=1000000000"],
            "train_config.batch_size (1000000000) is more than 1,000,000: all images of a batch",
        ),
        (
            ["train_config.batch_size=1000000"],
            (
                "train_config.batch_size (1000000) of images of 9,216 pixels"
                " (model.ssd.image_resizer.fixed_shape_resizer) makes batches of 9,216,000,000"
            ),
        ),
        (["eval_config.batch_size=1000000"], "eval_config.batch_size (1000000) of images of 9,216 pixels"),
        (
            ["train_input_reader.max_number_of_boxes=1000000000"],
            "train_input_reader.max_number_of_boxes (1000000000) is more than 100,000: ",
        ),
        (
            ["eval_input_reader.shuffle_buffer_size=4000000000"],
            "eval_input_reader[0].shuffle_buffer_size (4000000000) is more than 10,000,000: ",
        ),
        (
            ["train_input_reader.num_readers=1000000000"],
            "train_input_reader.num_readers (1000000000) is more than 10,000: ",
        ),
        (
            ["eval_config.num_visualizations=1000000000"],
            "eval_config.num_visualizations (1000000000) is more than 10,000: ",
        ),
        (
            ["train_config.data_augmentation_options={resize_image {new_height: 90000 new_width: 90000}}"],
            (
                "train_config.data_augmentation_options[0].resize_image.new_height (90000) and new_width (90000) make"
                " images of 8,100,000,000 pixels"
            ),
        ),
    ],
)
def test_sizes_of_ssd(ssd, settings, expected):
    found = faults(ssd, *settings)
    assert any(line.startswith(expected) for line in found), found


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (
            "num_classes=1000000",
            (
                "num_classes (1000000) makes a predictor of boxes of about 8,192,008,192 weights, more than"
                " 134,217,728; lower it"
            ),
        ),
        ("first_stage_max_proposals=1000000000", "first_stage_max_proposals (1000000000) is more than 100,000: "),
        ("second_stage_batch_size=1000000000", "second_stage_batch_size (1000000000) is more than 100,000: "),
        (
            "first_stage_box_predictor_depth=1000000000",
            "first_stage_box_predictor_depth (1000000000) is more than 4,096: ",
        ),
        ("initial_crop_size=1000000000", "initial_crop_size (1000000000) is more than 512: "),
        (
            (
                "second_stage_box_predictor={rfcn_box_predictor {conv_hyperparams {initializer"
                " {truncated_normal_initializer {}}} num_spatial_bins_height: 90 crop_height: 90}}"
            ),
            "num_classes (3), depth (1024) and 90 x 3 bins makes a predictor of boxes of about",
        ),
        (
            (
                "second_stage_post_processing={batch_non_max_suppression {max_detections_per_class: 1000000000"
                " max_total_detections: 1000000000}}"
            ),
            (
                "second_stage_post_processing.batch_non_max_suppression.max_total_detections (1000000000) is more than"
                " 100,000: "
            ),
        ),
        (
            "first_stage_anchor_generator.grid_anchor_generator.scales=[" + ",".join(["1"] * 1500) + "]",
            "first_stage_anchor_generator.grid_anchor_generator makes 1,500 anchors at every cell",
        ),
    ],
)
def test_sizes_of_two_stage_detectors(ssd, setting, expected):
    found = faults(ssd, FASTER, f"model.faster_rcnn.{setting}")
    if "90 x 3" in expected:  # Small enough for three classes.
        assert found == []
        found = faults(ssd, FASTER, f"model.faster_rcnn.{setting}", "model.faster_rcnn.num_classes=300")
        expected = expected.replace("(3)", "(300)")
    assert any(line.startswith(f"model.faster_rcnn.{expected}") for line in found), found


def test_usual_sizes_are_far_below_the_limits(ssd):
    """Aerial images, LVIS, YOLO9000, "no bound" on the long side, a large buffer.

    LVIS has 1203 classes and YOLO9000 9418; the shuffle buffer holds all records.
    """
    assert (
        faults(
            ssd,
            f"{RESIZER}.fixed_shape_resizer.height=4096",
            f"{RESIZER}.fixed_shape_resizer.width=4096",
            "model.ssd.num_classes=1203",
        )
        == []
    )
    assert (
        faults(
            ssd,
            f"{PREDICTOR}.kernel_size=3",
            "model.ssd.num_classes=1203",
            "train_input_reader.shuffle_buffer_size=1000000",
        )
        == []
    )
    unbounded = "model.faster_rcnn.image_resizer.keep_aspect_ratio_resizer.max_dimension=100000"
    assert faults(ssd, FASTER, unbounded, "model.faster_rcnn.num_classes=9418") == []
