"""Configs that parse but are unsupported or invalid; messages begin with the path of the field."""

from __future__ import annotations

import pytest

from detection import config
from detection.config import fields, rules
from detection.config.fields import row
from detection.config.schema import short
from detection.errors import ConfigError, DetectionError

ANCHORS = "model.ssd.anchor_generator.ssd_anchor_generator"
PREDICTOR = "model.ssd.box_predictor.convolutional_box_predictor"
EXTRACTOR = "model.ssd.feature_extractor"
RATE = "train_config.optimizer.rms_prop_optimizer.learning_rate"


def fault(message, *settings: str) -> str:
    with pytest.raises(ConfigError) as error:
        config.check(config.override(message, settings), "my.config", check_paths=False)
    text = error.value.lines()[0]
    assert text.startswith("my.config: ") and "\n" not in text
    return text.removeprefix("my.config: ")


def test_a_good_config_has_no_warnings(ssd):
    assert config.check(ssd, "my.config", check_paths=False) == []


def test_a_model_alone_is_enough(ssd):
    for part in ("train_config", "train_input_reader", "eval_config", "eval_input_reader"):
        ssd.ClearField(part)
    assert config.check(ssd, check_paths=False) == []
    assert config.check(ssd) == []


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (
            "model={experimental_model {}}",
            "model.experimental_model is not supported; use model.ssd, model.faster_rcnn, model.center_net or",
        ),
        (
            f"{EXTRACTOR}.type=ssd_vgg19",
            f"{EXTRACTOR}.type ('ssd_vgg19') is not supported; the nearest are ssd_vgg16, ",
        ),
        (
            f"{EXTRACTOR}.fpn={{}}",
            (
                f"{EXTRACTOR}.fpn is for types with a feature pyramid, such as ssd_mobilenet_v2_fpn_keras, not"
                " ssd_mobilenet_v1; remove it, or use one of them"
            ),
        ),
        (
            f"{EXTRACTOR}.bifpn={{}}",
            (
                f"{EXTRACTOR}.bifpn is for types with a bidirectional feature pyramid, such as"
                " ssd_mobilenet_v2_bifpn_keras, not ssd_mobilenet_v1; remove it, or use one of them"
            ),
        ),
        (
            "model.ssd.mask_head_config={}",
            "model.ssd.mask_head_config is not supported; remove it: only boxes are predicted",
        ),
        (
            "model.ssd.box_coder={keypoint_box_coder {}}",
            "model.ssd.box_coder.keypoint_box_coder is not supported; use faster_rcnn_box_coder: keypoints are"
            " not supported",
        ),
        (
            "eval_config.metrics_set=[coco_mask_metrics]",
            "eval_config.metrics_set ('coco_mask_metrics') is not supported; use one of coco_detection",
        ),
        (
            "model.ssd.post_processing.calibration_config={sigmoid_calibration {}}",
            (
                "model.ssd.post_processing.calibration_config.sigmoid_calibration is not supported; use"
                " function_approximation: the TF Object Detection API never computed it"
            ),
        ),
        (
            "train_config.data_augmentation_options+={autoaugment_image {policy_name: 'v4'}}",
            (
                "train_config.data_augmentation_options[2].autoaugment_image.policy_name ('v4') is not supported; use"
                " one of v0, v1, v2, v3, test"
            ),
        ),
        (
            "train_config.data_augmentation_options+={scale_boxes_to_pixel_coordinates {}}",
            "train_config.data_augmentation_options[2].scale_boxes_to_pixel_coordinates is not supported; ",
        ),
    ],
)
def test_not_supported(ssd, setting, expected):
    assert fault(ssd, setting).startswith(expected)


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("graph_rewriter={quantization {}}", "training and export are in float; nothing is quantised"),
        (
            "model.ssd.loss.equalization_loss={weight: 1}",
            "the TF Object Detection API takes it in and computes nothing",
        ),
        ("train_input_reader.load_instance_masks=true", "only boxes are read, as only boxes are predicted"),
        ("eval_input_reader.num_keypoints=17", "only boxes are read, as only boxes are predicted"),
        ("train_input_reader.keypoint_type_weight=[1,2]", "it belongs to keypoints, which are not predicted"),
        ("eval_config.parameterized_metric={coco_keypoint_metrics {}}", "it belongs to keypoints"),
        ("eval_config.keypoint_edge={start: 1}", "it belongs to keypoints"),
    ],
)
def test_fields_of_other_tasks_give_one_warning(ssd, setting, reason):
    (warning,) = config.check(config.override(ssd, [setting]), "my.config", check_paths=False)
    assert warning.startswith("my.config: ") and f"has no effect: {reason}" in warning


@pytest.mark.parametrize(
    "setting",
    [
        "eval_config.metrics_set=[oid_V2_detection_metrics, oid_challenge_detection_metrics]",
        "eval_config.metrics_set=[precision_at_recall_detection_metrics]",
        "eval_config.force_no_resize=true",
        "eval_config.image_classes_field_map_empty_to_ones=false",
        "train_config.merge_multiple_label_boxes=true",
        "train_config.summarize_gradients=true",
        "model.ssd.use_confidences_as_targets=true",
        "model.ssd.implicit_example_weight=0.5",
        f"{EXTRACTOR}.use_hardswish=true",
        f"{EXTRACTOR}.conv_hyperparams.sync_batch_norm={{}}",
        f"{EXTRACTOR}.conv_hyperparams.group_norm={{}}",
        "model.ssd.loss.expected_loss_weights=EXPECTED_SAMPLING",
        "model.ssd.loss.expected_loss_weights=REWEIGHTING_UNMATCHED_ANCHORS",
        "model.ssd.post_processing.batch_non_max_suppression.soft_nms_sigma=0.5",
        "model.ssd.post_processing.calibration_config={temperature_scaling_calibration {scaler: 2}}",
        "model.ssd.post_processing.calibration_config={function_approximation {x_y_pairs {x_y_pair {x: 1 y: 1}}}}",
    ],
)
def test_honoured_since(ssd, setting):
    ssd.model.ssd.loss.ClearField("hard_example_miner")
    assert config.check(config.override(ssd, [setting]), check_paths=False) == []


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (
            "eval_config.recall_lower_bound=0.7 eval_config.recall_upper_bound=0.5",
            "eval_config.recall_lower_bound (0.7) must not exceed recall_upper_bound (0.5)",
        ),
        (
            "train_input_reader.expand_labels_hierarchy=true train_input_reader.label_map_path=",
            "train_input_reader.expand_labels_hierarchy is true and train_input_reader.label_map_path is not set",
        ),
        (
            "model.ssd.post_processing.batch_non_max_suppression.soft_nms_sigma=0.5"
            " model.ssd.post_processing.batch_non_max_suppression.use_hard_nms=true",
            "model.ssd.post_processing.batch_non_max_suppression.soft_nms_sigma (0.5) cannot be combined with"
            " use_hard_nms",
        ),
        (
            "model.ssd.post_processing.calibration_config={temperature_scaling_calibration{scaler:0}}",
            "model.ssd.post_processing.calibration_config.temperature_scaling_calibration.scaler (0) must be more",
        ),
        (
            "model.ssd.post_processing.calibration_config={function_approximation{x_y_pairs{x_y_pair{x:1}x_y_pair{x:0.5}}}}",
            "model.ssd.post_processing.calibration_config.function_approximation.x_y_pairs.x_y_pair[1].x (0.5) must be"
            " more than the x before it (1)",
        ),
        (
            "model.ssd.post_processing.calibration_config={function_approximation{x_y_pairs{}}}",
            "model.ssd.post_processing.calibration_config.function_approximation.x_y_pairs.x_y_pair is empty",
        ),
        (
            "model.ssd.loss.hard_example_miner={} model.ssd.loss.expected_loss_weights=EXPECTED_SAMPLING",
            "model.ssd.loss.hard_example_miner cannot be combined with expected_loss_weights",
        ),
    ],
)
def test_incompatible_fields(ssd, setting, expected):
    with pytest.raises(DetectionError) as error:
        config.check(config.override(ssd, setting.split(" ")), "my.config", check_paths=False)
    assert error.value.lines()[0].startswith(f"my.config: {expected}")


def test_unsupported_fields_may_have_their_default(ssd):
    settings = [
        "model.ssd.add_background_class=true",
        "model.ssd.use_confidences_as_targets=false",
        "train_config.use_bfloat16=false",
    ]
    assert config.check(config.override(ssd, settings), check_paths=False) == []


def test_without_effect(ssd):
    changed = config.override(
        ssd,
        [
            "train_config.use_bfloat16=true",
            "train_input_reader.queue_capacity=9",
            "train_config.sync_replicas=false",
        ],
    )
    assert config.check(changed, "my.config", check_paths=False) == [
        "my.config: train_config.use_bfloat16 (true) has no effect: it was for TPUs; training is in float32",
        "my.config: train_input_reader.queue_capacity (9) has no effect: reading and batching tune themselves",
    ]


def test_no_warnings_for_fields_that_every_published_config_sets(ssd):
    settings = ["sync_replicas=true", "replicas_to_aggregate=8", "startup_delay_steps=0"]
    settings += ["unpad_groundtruth_tensors=false", "fine_tune_checkpoint_version=V2"]
    changed = config.override(ssd, [f"train_config.{setting}" for setting in settings])
    assert config.check(changed, "my.config", check_paths=False) == []


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("model.ssd.num_classes=0", "model.ssd.num_classes (0) must be at least 1"),
        ("model.ssd.negative_class_weight=-inf", "model.ssd.negative_class_weight (-inf) must be a finite number"),
        (f"{ANCHORS}.scales=[0.1,nan]", f"{ANCHORS}.scales (nan) must be a finite number"),
        (
            "learning_rate=nan",
            f"{RATE}.exponential_decay_learning_rate.initial_learning_rate (nan) must be a finite number",
        ),
        (
            "learning_rate=-0.1",
            f"{RATE}.exponential_decay_learning_rate.initial_learning_rate (-0.1) must be at least 0",
        ),
        (
            f"{RATE}.exponential_decay_learning_rate.decay_steps=0",
            f"{RATE}.exponential_decay_learning_rate.decay_steps (0) must be at least 1",
        ),
        (
            f"{RATE}.manual_step_learning_rate={{schedule {{step: 9}} schedule {{step: 9}}}}",
            f"{RATE}.manual_step_learning_rate.schedule[1].step (9) must be more than the one before it (9)",
        ),
        (
            f"{RATE}.manual_step_learning_rate={{schedule {{}} warmup: true}}",
            f"{RATE}.manual_step_learning_rate.schedule[0].step (0) leaves no step to warm up in; remove warmup,",
        ),
        (
            f"{RATE}.manual_step_learning_rate={{warmup: true}}",
            (
                f"{RATE}.manual_step_learning_rate.schedule is empty, so there is nothing to warm up to; list steps, or"
                " remove warmup"
            ),
        ),
        (
            f"{RATE}.cosine_decay_learning_rate={{total_steps: 5}}",
            (
                f"{RATE}.cosine_decay_learning_rate.total_steps (5) must be at least warmup_steps +"
                " hold_base_rate_steps (10000)"
            ),
        ),
        (
            f"{RATE}.cosine_decay_learning_rate={{warmup_learning_rate: 1}}",
            f"{RATE}.cosine_decay_learning_rate.warmup_learning_rate (1) must not exceed learning_rate_base (0.002)",
        ),
        (
            f"{RATE}.cosine_decay_learning_rate={{total_steps: 5 warmup_steps: 3 hold_base_rate_steps: 3}}",
            (
                f"{RATE}.cosine_decay_learning_rate.total_steps (5) must be at least warmup_steps +"
                " hold_base_rate_steps (6)"
            ),
        ),
        (
            "train_config.optimizer.rms_prop_optimizer.decay=1",
            "train_config.optimizer.rms_prop_optimizer.decay (1) must be in [0, 1)",
        ),
        (
            "train_config.optimizer.moving_average_decay=1.5",
            "train_config.optimizer.moving_average_decay (1.5) must be in [0, 1)",
        ),
        ("train_config.batch_size=0", "train_config.batch_size (0) must be at least 1"),
        ("train_config.gradient_clipping_by_norm=-1", "train_config.gradient_clipping_by_norm (-1) must be at least 0"),
        (
            "train_config.freeze_variables=[a, (]",
            "train_config.freeze_variables[1] ('(') is not a valid regular expression: ",
        ),
        (f"{EXTRACTOR}.depth_multiplier=0", f"{EXTRACTOR}.depth_multiplier (0) must be more than 0"),
        (
            f"{EXTRACTOR}.conv_hyperparams.batch_norm.decay=1.2",
            f"{EXTRACTOR}.conv_hyperparams.batch_norm.decay (1.2) must be in [0, 1]",
        ),
        (
            f"{EXTRACTOR}.conv_hyperparams=none",
            f"{EXTRACTOR}.conv_hyperparams is not set; add conv_hyperparams {{ initializer {{ ... }} }}",
        ),
        (
            f"{EXTRACTOR}={{conv_hyperparams {{}}}}",
            f"{EXTRACTOR}.type is not set; set it, for example to 'ssd_mobilenet_v1'",
        ),
        (
            f"{EXTRACTOR}.num_layers=5",
            f"{ANCHORS}.num_layers (6) differs from feature_extractor.num_layers (5); every map needs its anchors",
        ),
        (f"{PREDICTOR}.dropout_keep_probability=0", f"{PREDICTOR}.dropout_keep_probability (0) must be in (0, 1]"),
        (
            f"{PREDICTOR}.box_code_size=5",
            f"{PREDICTOR}.box_code_size (5) must be 4, as box_coder is faster_rcnn_box_coder",
        ),
        (
            "model.ssd.box_coder={square_box_coder {}}",
            f"{PREDICTOR}.box_code_size (4) must be 3, as box_coder is square_box_coder",
        ),
        (
            "model.ssd.box_coder.faster_rcnn_box_coder.x_scale=0",
            "model.ssd.box_coder.faster_rcnn_box_coder.x_scale (0) must be more than 0",
        ),
        (f"{ANCHORS}.scales=[0.1, 0.2]", f"{ANCHORS}.scales has 2 values for num_layers 6; list one per layer"),
        (f"{ANCHORS}.min_scale=0.96", f"{ANCHORS}.min_scale (0.96) must not exceed max_scale (0.95)"),
        (
            f"{ANCHORS}.height_stride=[1, 1, 1, 1, 1, 1]",
            f"{ANCHORS}: height_stride and width_stride go together; list both",
        ),
        (
            "model.ssd.matcher.argmax_matcher.unmatched_threshold=0.6",
            "model.ssd.matcher.argmax_matcher.unmatched_threshold (0.6) must not exceed matched_threshold (0.5)",
        ),
        (
            "model.ssd.matcher.argmax_matcher.negatives_lower_than_unmatched=false",
            "model.ssd.matcher.argmax_matcher.unmatched_threshold (0.5) must be below matched_threshold (0.5) when",
        ),
        ("model.ssd.matcher=none", "model.ssd.matcher is not set; add matcher { argmax_matcher { ... } }"),
        (
            "model.ssd.matcher={}",
            "model.ssd.matcher is empty; set one of argmax_matcher, bipartite_matcher, box_center_matcher",
        ),
        ("model=none", "model is not set; add model { faster_rcnn { ... } }"),
        (
            "train_config.optimizer=none",
            "train_config.optimizer is not set; add optimizer { rms_prop_optimizer { ... } }",
        ),
        (
            "train_config.optimizer={adam_optimizer {}}",
            (
                "train_config.optimizer.adam_optimizer.learning_rate is not set; add learning_rate {"
                " constant_learning_rate { ... } }"
            ),
        ),
        (
            "model.ssd.loss.classification_loss={weighted_sigmoid_focal {}}",
            (
                "model.ssd.loss.hard_example_miner cannot be combined with weighted_sigmoid_focal, which weighs"
                " hard examples"
                " itself; remove one of the two"
            ),
        ),
        (
            "model.ssd.post_processing.batch_non_max_suppression.max_detections_per_class=101",
            (
                "model.ssd.post_processing.batch_non_max_suppression.max_detections_per_class (101) must not exceed"
                " max_total_detections (100)"
            ),
        ),
        (
            "model.ssd.post_processing.batch_non_max_suppression.iou_threshold=1.5",
            "model.ssd.post_processing.batch_non_max_suppression.iou_threshold (1.5) must be in [0, 1]",
        ),
        (
            "model.ssd.image_resizer.fixed_shape_resizer.height=32",
            "model.ssd.image_resizer.fixed_shape_resizer is 32 x 96; the extractors need at least 33 x 33",
        ),
        (
            "model.ssd.image_resizer={keep_aspect_ratio_resizer {min_dimension: 32}}",
            "model.ssd.image_resizer.keep_aspect_ratio_resizer.min_dimension is 32; the extractors need at least 33",
        ),
        (
            "model.ssd.image_resizer={keep_aspect_ratio_resizer {per_channel_pad_value: 1}}",
            (
                "model.ssd.image_resizer.keep_aspect_ratio_resizer.per_channel_pad_value has 1 values; give 3, one per"
                " channel, or none"
            ),
        ),
        (
            "model.ssd.image_resizer={keep_aspect_ratio_resizer {min_dimension: 2000}}",
            (
                "model.ssd.image_resizer.keep_aspect_ratio_resizer.min_dimension (2000) must not exceed max_dimension"
                " (1024)"
            ),
        ),
        (
            "train_config.data_augmentation_options[0].random_horizontal_flip.probability=2",
            "train_config.data_augmentation_options[0].random_horizontal_flip.probability (2) must be in [0, 1]",
        ),
        (
            "train_config.data_augmentation_options+={}",
            "train_config.data_augmentation_options[2] is empty; set one of normalize_image, ",
        ),
        ("train_input_reader.max_number_of_boxes=0", "train_input_reader.max_number_of_boxes (0) must be at least 1"),
        (
            "train_input_reader.sample_from_datasets_weights=[1, 2]",
            (
                "train_input_reader.sample_from_datasets_weights has 2 values for 1 of"
                " tf_record_input_reader.input_path; give one a path"
            ),
        ),
        ("eval_config.min_score_threshold=1.5", "eval_config.min_score_threshold (1.5) must be in [0, 1]"),
    ],
)
def test_invalid_values(ssd, setting, expected):
    assert fault(ssd, setting).startswith(expected)


def test_no_anchors(ssd):
    assert fault(ssd, f"{ANCHORS}.aspect_ratios=[]", f"{ANCHORS}.interpolated_scale_aspect_ratio=0").startswith(
        f"{ANCHORS}.aspect_ratios is empty, which leaves no anchors"
    )
    assert (
        config.check(config.override(ssd, [f"{ANCHORS}.aspect_ratios=[]"]), check_paths=False) == []
    )  # One interpolated anchor a cell.


def test_no_anchors_on_a_grid(ssd):
    generator = "model.ssd.anchor_generator={grid_anchor_generator {scales: 1}}"
    assert fault(ssd, generator, f"{EXTRACTOR}.num_layers=1").startswith(
        "model.ssd.anchor_generator.grid_anchor_generator.aspect_ratios is empty, which leaves no anchors; list some"
    )


def test_thresholds_that_are_ignored_may_be_anything(ssd):
    changed = config.override(ssd, ["unmatched_threshold=0.9", "ignore_thresholds=true"])
    assert config.check(changed, check_paths=False) == []


@pytest.mark.parametrize("extractor", ["ssd_inception_v2", "ssd_inception_v3"])
@pytest.mark.parametrize(("value", "said"), [(None, "not set"), ("false", "false")])
def test_extractors_whose_network_uses_conv_hyperparams(ssd, extractor, value, said):
    """A rule of the TF Object Detection API; its configs of 2018 lack the field and were built as if it were true."""
    field = f"{EXTRACTOR}.override_base_feature_extractor_hyperparams"
    given = [f"{EXTRACTOR}.type={extractor}", *([f"{field}={value}"] if value else [])]
    told = fault(ssd, *given)
    assert told.startswith(f"{field} is {said}: ") and "set override_base_feature_extractor_hyperparams: true" in told
    assert "detection checkpoint" in told and "ImageNet checkpoint" in told
    assert config.check(config.override(ssd, [*given, f"{field}=true"]), check_paths=False) == []


@pytest.mark.parametrize(
    "extractor", ["ssd_mobilenet_v1", "ssd_mobilenet_v2_keras", "ssd_resnet101", "ssd_vgg16", "ssd_inception_resnet_v2"]
)
def test_the_other_extractors_have_hyperparameters_of_their_own(ssd, extractor):
    assert config.check(config.override(ssd, [f"{EXTRACTOR}.type={extractor}"]), check_paths=False) == []


def test_unused_conv_hyperparams_give_a_warning(ssd):
    """SSD's extra layers always use them; a two-stage extractor has no extra layers."""
    assert config.check(config.override(ssd, [TWO_STAGE]), check_paths=False) == []
    field = "model.faster_rcnn.feature_extractor"
    hyperparams = f"{field}.conv_hyperparams={{ initializer {{ truncated_normal_initializer {{}} }} }}"
    (warning,) = config.check(config.override(ssd, [TWO_STAGE, hyperparams]), "my.config", check_paths=False)
    assert warning.startswith(f"my.config: {field}.conv_hyperparams has no effect: ")
    override = f"{field}.override_base_feature_extractor_hyperparams=true"
    assert config.check(config.override(ssd, [TWO_STAGE, hyperparams, override]), check_paths=False) == []


@pytest.mark.parametrize(("stride", "effect"), [(32, "reach beyond"), (8, "do not cover")])
def test_anchors_of_another_stride_than_the_map_are_a_warning(ssd, stride, effect):
    """The TF Object Detection API accepts them."""
    field = "model.faster_rcnn.first_stage_anchor_generator.grid_anchor_generator.height_stride"
    (warning,) = config.check(config.override(ssd, [TWO_STAGE, f"{field}={stride}"]), check_paths=False)
    assert warning == (
        f"config: {field} ({stride}) differs from feature_extractor.first_stage_features_stride (16): anchors do not"
        f" lie on the cells that they are predicted from, and {effect} the image; set height_stride to 16"
    )


def test_rules_are_about_messages_of_the_table():
    for table in (rules.RULES, rules.TRAINING, rules.SIZES, rules.REMARKS, rules.TRAINING_REMARKS):
        assert set(table) <= set(fields.TABLE)


def test_intervals():
    assert 0 in row.NOT_NEGATIVE and 0 not in row.POSITIVE and float("nan") not in row.FRACTION
    assert 1 in row.PART and 0 not in row.PART and 1 not in row.BELOW_ONE and 0 in row.BELOW_ONE
    assert [str(interval) for interval in (row.POSITIVE, row.ONE_OR_MORE, row.PART, row.BELOW_ONE)] == [
        "more than 0",
        "at least 1",
        "in (0, 1]",
        "in [0, 1)",
    ]
    assert short(4294967295) == "4294967295" and short(0.30000001) == "0.3"


_LATE = (
    "schedule: 2 of 2 steps of the schedule, from 900000 on, are not before train_config.num_steps (200000) and never"
    " reached"
)


def test_sample_configs(shared):
    """They are supported without changes."""
    verdicts = {}
    for path in sorted((shared / "odapi_configs").glob("*.config")):
        try:
            verdicts[path.stem] = config.check(config.load(path), path.name, check_paths=False)
        except ConfigError as error:
            verdicts[path.stem] = str(error)
    assert [warning.split(" has no effect")[0] for warning in verdicts.pop("ssd_mobilenet_v1_coco")] == [
        "ssd_mobilenet_v1_coco.config: eval_config.num_examples (8000)",
        "ssd_mobilenet_v1_coco.config: eval_config.max_evals (10)",
    ]
    others = {
        name: [warning for warning in warnings if "eval_config" not in warning] for name, warnings in verdicts.items()
    }
    late = {name for name, warnings in others.items() if any(_LATE in warning for warning in warnings)}
    assert late == {
        "faster_rcnn_inception_resnet_v2_atrous_coco",
        "faster_rcnn_inception_v2_coco",
        "rfcn_resnet101_coco",
    }
    assert len(others) == 6 and not any(_LATE not in warning for warnings in others.values() for warning in warnings), (
        others
    )


TWO_STAGE = """
model={faster_rcnn { num_classes: 3 image_resizer { fixed_shape_resizer { height: 64 width: 64 } } feature_extractor {
  type: 'faster_rcnn_resnet50' }
first_stage_anchor_generator { grid_anchor_generator { scales: 1 aspect_ratios: 1 } }
first_stage_box_predictor_conv_hyperparams { initializer { truncated_normal_initializer { } } }
initial_crop_size: 14 maxpool_kernel_size: 2 maxpool_stride: 2 second_stage_box_predictor { mask_rcnn_box_predictor {
  fc_hyperparams {
initializer { truncated_normal_initializer { } } } } } } }
""".replace("\n", " ")


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("number_of_stages=3", "number_of_stages (3) must be in [1, 2]"),
        (
            "image_resizer.fixed_shape_resizer.width=32",
            "image_resizer.fixed_shape_resizer is 64 x 32; the extractors need at least 33 x 33",
        ),
        (
            "feature_extractor.type=faster_rcnn_nasnet",
            "feature_extractor.type ('faster_rcnn_nasnet') is not supported; the nearest are faster_rcnn_",
        ),
        ("first_stage_anchor_generator=none", "first_stage_anchor_generator is not set; regions are proposed with it"),
        (
            "second_stage_box_predictor=none",
            "second_stage_box_predictor is not set; set mask_rcnn_box_predictor, or rfcn_box_predictor for R-FCN",
        ),
        (
            "initial_crop_size=0",
            "initial_crop_size is not set, so regions cannot be cropped; the usual values are 14, 2 and 2",
        ),
        ("maxpool_kernel_size=15", "maxpool_kernel_size (15) must not exceed initial_crop_size (14)"),
        (
            "second_stage_background_iou=0.5",
            "second_stage_background_iou (0.5) must be below second_stage_matched_iou (0.5)",
        ),
        ("second_stage_normalize_targets=true", "second_stage_normalize_targets is for model.fast_rcnn"),
        (
            (
                "second_stage_box_predictor={rfcn_box_predictor {conv_hyperparams {initializer"
                " {truncated_normal_initializer {}}} crop_height: 10}}"
            ),
            (
                "second_stage_box_predictor.rfcn_box_predictor.crop_height (10) must be a multiple of"
                " num_spatial_bins_height (3)"
            ),
        ),
        ("context_config={}", "context_config is not supported; remove it: every image is looked at by itself"),
        (
            "feature_extractor.fpn={}",
            "feature_extractor.fpn is for types with a feature pyramid, such as faster_rcnn_resnet50_fpn_keras, not",
        ),
        (
            "second_stage_box_predictor.mask_rcnn_box_predictor.predict_instance_masks=true",
            (
                "second_stage_box_predictor.mask_rcnn_box_predictor.predict_instance_masks (true) is not supported;"
                " remove it: only boxes are predicted"
            ),
        ),
    ],
)
def test_two_stage_faults(ssd, setting, expected):
    assert fault(ssd, TWO_STAGE, f"model.faster_rcnn.{setting}").startswith(f"model.faster_rcnn.{expected}")


def test_all_configs_of_the_reference(shared):
    """All 111 are supported, or refused because of named fields."""
    paths = sorted((shared / "odapi_configs").rglob("*.config"))
    supported = 0
    for path in paths:
        try:
            config.check(config.load(path), "my.config", check_paths=False)
            supported += 1
        except ConfigError as error:
            for line in error.lines():
                message = config.load(path)
                field = line.removeprefix("my.config: ").split(" ")[0].split(".")[0].split("[")[0]
                assert field in message.DESCRIPTOR.fields_by_name, line
    assert len(paths) == 111 and supported >= 43
