"""Configs of 2017 and 2018 with renamed, moved, retyped or removed fields still load."""

from __future__ import annotations

import logging

import pytest
from google.protobuf import text_format

from detection import config
from detection.config import text
from detection.errors import ConfigError
from detection.protos import losses_pb2, pipeline_pb2


def parse(content: str) -> pipeline_pb2.TrainEvalPipelineConfig:
    return text.parse(content, pipeline_pb2.TrainEvalPipelineConfig(), "old.config")


def fault(content: str) -> str:
    with pytest.raises(ConfigError) as error:
        parse(content)
    return error.value.lines()[0]


@pytest.fixture
def warnings(caplog):
    caplog.set_level(logging.WARNING, logger="absl")
    return lambda: [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(("written", "stages"), [("true", 1), ("false", 2), ("t", 1), ("0", 2)])
def test_first_stage_only(written, stages, warnings):
    loaded = parse(f"model {{ faster_rcnn {{\n first_stage_only: {written} num_classes: 3 }} }}")
    assert loaded.model.faster_rcnn.number_of_stages == stages and loaded.model.faster_rcnn.num_classes == 3
    assert warnings() == [
        f"old.config:2:2: first_stage_only is called number_of_stages now: read as number_of_stages: {stages}"
    ]


def test_errors_keep_the_places_of_the_file():
    faster = "model { faster_rcnn { %s } }"
    assert fault(faster % "first_stage_only:\n true first_stage_atrous_rate: x").startswith(
        "old.config:2:32: first_stage_atrous_rate"
    )
    assert fault(faster % "first_stage_only: maybe").startswith("old.config:1:23: unknown field 'first_stage_only'")
    assert fault(faster % "first_stage_only: true number_of_stages: 2").startswith(
        "old.config:1:46: number_of_stages is given twice"
    )
    assert fault("model { ssd { feature_extractor { batch_norm_trainable: true } num_clases: 1 } }").startswith(
        "old.config:1:64: unknown field"
    )


def test_batch_norm_trainable_is_ignored(warnings):
    loaded = parse(
        "model { ssd { feature_extractor { type: 'ssd_mobilenet_v2' batch_norm_trainable: false use_depthwise: true"
        " } } }"
    )
    assert loaded == text_format.Parse(
        "model { ssd { feature_extractor { type: 'ssd_mobilenet_v2' use_depthwise: true } } }", type(loaded)()
    )
    assert warnings()[0].startswith("old.config:1:60: batch_norm_trainable is ignored")
    assert "unknown field" in fault("model { ssd { batch_norm_trainable: false } }")  # Only where it once was.
    # FasterRcnnFeatureExtractor has a field of this name today.
    faster = parse("model { faster_rcnn { feature_extractor { batch_norm_trainable: true } } }").model.faster_rcnn
    assert faster.feature_extractor.batch_norm_trainable


def test_whole_numbers_that_were_floats():
    content = (
        "train_config { data_augmentation_options { random_pad_image { min_image_height: 600.0 max_image_width: 7 } } "
    )
    content += "data_augmentation_options { random_resize_method { target_height: 300. target_width: 3e2 } } }"
    with pytest.raises(ConfigError, match="target_width in RandomResizeMethod takes a whole number, not 3e2"):
        parse(content)
    steps = parse(content.replace("3e2", "300.0")).train_config.data_augmentation_options
    assert (steps[0].random_pad_image.min_image_height, steps[0].random_pad_image.max_image_width) == (600, 7)
    assert (steps[1].random_resize_method.target_height, steps[1].random_resize_method.target_width) == (300, 300)
    assert fault(content.replace("600.0", "600.5")).endswith(
        "min_image_height in RandomPadImage takes a whole number, not 600.5"
    )
    assert fault("model { ssd { num_classes: 3.0 } }").endswith("takes a whole number, not 3.0")


def test_moved_from_ssd_to_loss(warnings):
    loaded = parse(
        "model { ssd { use_expected_classification_loss_under_sampling: true min_num_negative_samples: 5.0\n"
        " desired_negative_sampling_ratio: 2 weight_regression_loss_by_score: false loss { classification_weight: 2.0"
        " } } }"
    )
    loss = loaded.model.ssd.loss
    assert loss.expected_loss_weights == losses_pb2.Loss.EXPECTED_SAMPLING
    assert (loss.min_num_negative_samples, loss.desired_negative_sampling_ratio, loss.classification_weight) == (
        5.0,
        2.0,
        2.0,
    )
    assert (
        "old.config:1:69: min_num_negative_samples of Ssd has moved: read as model.ssd.loss.min_num_negative_samples"
        in warnings()
    )
    assert fault("model {\n ssd { min_num_negative_samples: x } }").startswith(
        "old.config:2:8: min_num_negative_samples in Loss takes a number"
    )
    both = "model { ssd { min_num_negative_samples: 5 loss { min_num_negative_samples: %s } } }"
    assert parse(both % 5).model.ssd.loss.min_num_negative_samples == 5
    assert "contradicts model.ssd.loss.min_num_negative_samples" in fault(both % 6)


def test_moved_from_operation_to_crop():
    loaded = parse(
        "train_config { data_augmentation_options { random_horizontal_flip {} } data_augmentation_options {"
        " ssd_random_crop_pad_fixed_aspect_ratio { operations { min_area: 0.1 min_padded_size_ratio: [1.0, 1.0]"
        " max_padded_size_ratio: 2 max_padded_size_ratio: 2 } operations { min_padded_size_ratio: [1.0, 1.0] }"
        " aspect_ratio: 1.5 } } }"
    )
    crop = loaded.train_config.data_augmentation_options[1].ssd_random_crop_pad_fixed_aspect_ratio
    assert list(crop.min_padded_size_ratio) == [1.0, 1.0] and list(crop.max_padded_size_ratio) == [2.0, 2.0]
    assert len(crop.operations) == 2 and crop.aspect_ratio == 1.5


def test_what_changed_the_meaning_is_refused():
    assert (
        fault("model { ssd { weight_regression_loss_by_score: true } }")
        == "old.config:1:15: unknown field 'weight_regression_loss_by_score' in Ssd; it was removed from the schema in"
        " 2018 and has"
        " no successor; remove it"
    )
    assert "it was removed from the schema in 2018; remove it" in fault(
        "model { ssd { box_predictor { convolutional_box_predictor { mask_head { a: 1 } } } } }"
    )
    calibration = "model { ssd { post_processing { calibration_config { label_sigmoid_calibrations { } } } } }"
    assert "use class_id_sigmoid_calibrations" in fault(calibration)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("coco_metrics", "coco_detection_metrics"),
        ("open_images_metrics", "oid_V2_detection_metrics"),
        ("open_images_V2_detection_metrics", "oid_V2_detection_metrics"),
        ("oid_challenge_object_detection_metrics", "oid_challenge_detection_metrics"),
    ],
)
def test_metrics_sets_of_open_images_and_coco(warnings, old, new):
    assert list(parse(f"eval_config {{ metrics_set: {old!r} }}").eval_config.metrics_set) == [new]
    assert warnings() == [f"old.config: metrics_set {old!r} is called {new!r} now"]


def test_metrics_sets(warnings):
    loaded = parse("eval_config { metrics_set: 'pascal_voc_metrics' metrics_set: 'coco_detection_metrics' }")
    assert list(loaded.eval_config.metrics_set) == ["pascal_voc_detection_metrics", "coco_detection_metrics"]
    assert warnings() == ["old.config: metrics_set 'pascal_voc_metrics' is called 'pascal_voc_detection_metrics' now"]


def test_prefetch_buffer_size_is_ignored(warnings):
    assert parse("train_input_reader { prefetch_buffer_size: 9 num_readers: 2 }").train_input_reader.num_readers == 2
    assert "num_prefetch_batches" in warnings()[0]


def test_single_values_that_became_lists():
    loaded = parse("eval_input_reader { tf_record_input_reader { input_path: 'a' } }")
    assert loaded.eval_input_reader[0].tf_record_input_reader.input_path == ["a"]


def test_binary(tmp_path, warnings):
    path = tmp_path / "old.pb"
    path.write_bytes(b"\x0a\x04\x0a\x02\x08\x00")  # model.faster_rcnn.first_stage_only: false
    assert config.load(path).model.faster_rcnn.number_of_stages == 2
    path.write_bytes(b"\x0a\x04\x0a\x02\x08\x01")
    assert config.load(path).model.faster_rcnn.number_of_stages == 1
    path.write_bytes(b"\x0a\x06\x12\x04\x1a\x02\x30\x01")  # model.ssd.feature_extractor, field 6
    assert config.load(path).model.ssd.HasField("feature_extractor")
    assert "model.ssd.feature_extractor.batch_norm_trainable is ignored" in warnings()[-1]


@pytest.mark.parametrize("type_", ["ssd_inception_v2", "ssd_inception_v3"])
def test_inception_configs_before_2018_use_conv_hyperparams(type_, warnings):
    field = "override_base_feature_extractor_hyperparams"
    extractor = "model {{ ssd {{ feature_extractor {{ type: '{}' conv_hyperparams {{ }} {} }} }} }}"
    assert parse(extractor.format(type_, "")).model.ssd.feature_extractor.override_base_feature_extractor_hyperparams
    assert warnings() == [
        f"old.config: model.ssd.feature_extractor.{field} is not set: read as true, as {type_} was built then"
    ]
    given = parse(extractor.format(type_, f"{field}: false")).model.ssd.feature_extractor
    assert given.HasField(field) and not getattr(given, field)  # The check refuses it, as the API does.
    assert not parse(extractor.format("ssd_mobilenet_v2", "")).model.ssd.feature_extractor.HasField(field)


def test_fine_tune_of_center_net_is_read_as_detection(warnings):
    content = "model {{ {} {{ }} }} train_config {{ fine_tune_checkpoint_type: 'fine_tune' }}"
    assert parse(content.format("center_net")).train_config.fine_tune_checkpoint_type == "detection"
    assert warnings() == [
        "old.config: train_config.fine_tune_checkpoint_type 'fine_tune' of CenterNet is called 'detection' now"
    ]
    assert parse(content.format("ssd")).train_config.fine_tune_checkpoint_type == "fine_tune"  # Never known; refused.
