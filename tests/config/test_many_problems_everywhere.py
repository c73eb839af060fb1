"""Whole config files of every meta-architecture with two to six independent problems each: one check reports them all,
each with file, line and field, and nothing besides."""

from __future__ import annotations

import pytest

from detection import config
from detection.errors import DetectionError
from tests.helpers.detector_configs import Settings, center_net, fast_rcnn, faster_rcnn, rfcn, ssd

REST = """
train_config {
  batch_size: 2
  num_steps: 1000
  optimizer {
    momentum_optimizer { learning_rate { constant_learning_rate { learning_rate: 0.01 } } }
  }
  data_augmentation_options { random_horizontal_flip {} }
}
train_input_reader {
  max_number_of_proposals: 24
  tf_record_input_reader { input_path: "train.record-*" }
  label_map_path: "label_map.pbtxt"
}
eval_config {
  metrics_set: "coco_detection_metrics"
}
eval_input_reader {
  max_number_of_proposals: 24
  tf_record_input_reader { input_path: "val.record-*" }
  label_map_path: "label_map.pbtxt"
}
"""
CONSTANT = "constant_learning_rate { learning_rate: 0.01 }"
RATE = "train_config.optimizer.momentum_optimizer.learning_rate"
S, F, C = "model.ssd", "model.faster_rcnn", "model.center_net"
# What stands in the file, what is written instead, with @ on the line that is reported, and how the sentence begins.
Edit = tuple[str, str, str]
WEIGHTS: Edit = (
    'input_path: "train.record-*" }',
    'input_path: "train.record-*" } @sample_from_datasets_weights: 0',
    "train_input_reader.sample_from_datasets_weights",
)
COLOUR: Edit = (
    'metrics_set: "coco_detection_metrics"',
    "@groundtruth_box_visualization_color: 'blakc'",
    "eval_config.groundtruth_box_visualization_color ('blakc')",
)
METRIC: Edit = (
    'metrics_set: "coco_detection_metrics"',
    "@metrics_set: 'oid_V2'",
    "eval_config.metrics_set ('oid_V2')",
)
ENDS_EARLY: Edit = (
    CONSTANT,
    "exponential_decay_learning_rate { initial_learning_rate: 1 @decay_steps: 1 decay_factor: 0.1 }",
    f"{RATE}.exponential_decay_learning_rate.decay_steps (1)",
)
INITIALIZER = "initializer { truncated_normal_initializer { stddev: 0.03 } }"
CASES: dict[str, tuple[str, list[Edit]]] = {
    # The first two hold the faults that once passed the check. A second_stage_batch_size above the number of
    # proposals is a warning (test_rules.py), and anchors off their cells too.
    "ssd": (
        ssd(Settings("ssd_mobilenet_v1", 300, 300)),
        [
            ("num_layers: 6", "@num_layers: 5", f"{S}.anchor_generator.ssd_anchor_generator.num_layers (5) differs"),
            (INITIALIZER, "initializer { @keras_initializer_by_name: 'he_norm' }",
             f"{S}.feature_extractor.conv_hyperparams.initializer.keras_initializer_by_name ('he_norm') is not"),
            ENDS_EARLY,
            ("  batch_size: 2", "  batch_size: 2 @freeze_variables: '('",
             "train_config.freeze_variables[0] ('(')"),
            WEIGHTS,
            COLOUR,
        ],
    ),
    "faster_rcnn": (
        faster_rcnn(Settings("faster_rcnn_resnet50", 300, 300)),
        [
            ("batch_norm_trainable:", "@first_stage_features_stride: 12 batch_norm_trainable:",
             f"{F}.feature_extractor.first_stage_features_stride (12) is not one that faster_rcnn_resnet50 can have"),
            ("grid_anchor_generator {\n    height: 64 width: 64 scales: 0.5 scales: 1 aspect_ratios: 0.7"
             " aspect_ratios: 1.4 height_stride: 16 width_stride: 16\n", "@ssd_anchor_generator { aspect_ratios: 1\n",
             f"{F}.first_stage_anchor_generator.ssd_anchor_generator makes anchors for 6 maps, and regions are"),
            ("maxpool_kernel_size: 2", "@maxpool_kernel_size: 20",
             f"{F}.maxpool_kernel_size (20) must not exceed initial_crop_size (14)"),
            ("optimizer {\n", "optimizer {\n    @use_moving_average: false\n",
             "train_config.optimizer.use_moving_average is false but eval_config.use_moving_averages is true"),
            ("eval_config {\n", "eval_config {\n  use_moving_averages: true\n", ""),
            ("score_converter: SOFTMAX", "score_converter: SOFTMAX @logit_scale: 0",
             f"{F}.second_stage_post_processing.logit_scale (0) must be more than 0"),
        ],
    ),
    "rfcn": (
        rfcn(Settings("faster_rcnn_resnet50", 300, 300)),
        [
            ("crop_height: 6", "@crop_height: 7", f"{F}.second_stage_box_predictor.rfcn_box_predictor.crop_height (7)"),
            ("first_stage_minibatch_size: 64", "\n @first_stage_minibatch_size: 0",
             f"{F}.first_stage_minibatch_size (0) must be at least 1"),
            WEIGHTS,
        ],
    ),
    "fast_rcnn": (
        fast_rcnn(Settings("faster_rcnn_vgg16", 300, 300)),
        [
            ("initial_crop_size: 14", "@initial_crop_size: 12", "model.fast_rcnn.initial_crop_size (12), maxpool_kern"),
            ("train_input_reader {\n  max_number_of_proposals: 24", "@train_input_reader {",
             "train_input_reader gives no proposals to model.fast_rcnn"),
            METRIC,
        ],
    ),
    "two_stage_fpn": (
        faster_rcnn(Settings("faster_rcnn_mobilenet_v1_fpn", 300, 300)),
        [
            ("multiscale_anchor_generator {\n    min_level: 3 max_level: 6",
             "@multiscale_anchor_generator {\n    min_level: 3 max_level: 5",
             f"{F}.first_stage_anchor_generator.multiscale_anchor_generator has levels 3 to 5, and"),
            (f"mask_rcnn_box_predictor {{ fc_hyperparams {{ op: FC {INITIALIZER}",
             f"@rfcn_box_predictor {{ conv_hyperparams {{ {INITIALIZER}",
             f"{F}.second_stage_box_predictor.rfcn_box_predictor scores one map, not the pyramid of"),
            ("random_horizontal_flip {}", "random_image_scale {\n @min_scale_ratio: 2 max_scale_ratio: 1 }",
             "train_config.data_augmentation_options[0].random_image_scale.min_scale_ratio (2) must not exceed"),
        ],
    ),
    "center_net": (
        center_net(Settings("mobilenet_v2", 128, 128)),
        [
            ('type: "mobilenet_v2"', '@type: "ssd_mobilenet_v2"',
             f"{C}.feature_extractor.type ('ssd_mobilenet_v2')"),
            ("depth_multiplier: 1", "\n @channel_means: [1, 2]",
             f"{C}.feature_extractor.channel_means has 2 values; give 3"),
            ("offset_head_params { num_filters: 16", "\n offset_head_params { @num_filters: [16, 16]",
             f"{C}.object_detection_task.offset_head_params.num_filters has 2 values and kernel_sizes 1"),
            ("penalty_reduced_logistic_focal_loss { alpha: 2 beta: 4 }", "@weighted_sigmoid_focal { }",
             f"{C}.object_center_params.classification_loss.weighted_sigmoid_focal is not for heat maps"),
            ("max_box_predictions: 50", "@max_box_predictions: 0",
             f"{C}.object_center_params.max_box_predictions (0) must be at least 1"),
            ENDS_EARLY,
        ],
    ),
    "efficientdet": (
        ssd(Settings("ssd_efficientnet-b0_bifpn_keras", 512, 512)),
        [
            ("num_filters: 32", "num_filters: 32 @combine_method: 'fast_atention'",
             f"{S}.feature_extractor.bifpn.combine_method ('fast_atention') is not supported"),
            ("multiscale_anchor_generator {\n    min_level: 3 max_level: 7",
             "@multiscale_anchor_generator {\n    min_level: 3 max_level: 6",
             f"{S}.anchor_generator.multiscale_anchor_generator has levels 3 to 6, and feature_extractor.bifpn has 3"),
            ("gamma: 2.0 alpha: 0.75", "gamma: 2.0 @alpha: 7",
             f"{S}.loss.classification_loss.weighted_sigmoid_focal.alpha (7) must be in [0, 1]"),
            (CONSTANT,
             "cosine_decay_learning_rate { learning_rate_base: 0.1 @total_steps: 10 warmup_steps: 20 }",
             f"{RATE}.cosine_decay_learning_rate.total_steps (10) must be at least warmup_steps + hold"),
            COLOUR,
        ],
    ),
    # What goes with an unknown type is not known, so its pyramid is not reported too.
    "efficientdet_of_no_such_size": (
        ssd(Settings("ssd_efficientnet-b0_bifpn_keras", 512, 512)),
        [
            ('type: "ssd_efficientnet-b0_bifpn_keras"', '@type: "ssd_efficientnet-b9_bifpn_keras"',
             f"{S}.feature_extractor.type ('ssd_efficientnet-b9_bifpn_keras')"),
            ("unmatched_threshold: 0.5", "@unmatched_threshold: 0.7",
             f"{S}.matcher.argmax_matcher.unmatched_threshold (0.7) must not exceed matched_threshold (0.5)"),
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_one_check_reports_them_all(tmp_path, name):
    model, edits = CASES[name]
    path = tmp_path / "my.config"
    path.write_text(model + REST)
    config.prepare(path, check_paths=False, training=True)  # Nothing is wrong with it yet.
    text = model + REST
    for old, new, _ in edits:
        assert text.count(old) >= 1, old
        text = text.replace(old, new, 1)
    expected = []
    for _, new, sentence in edits:
        if sentence:
            line = text[: text.index(new)].count("\n") + new.partition("@")[0].count("\n") + 1
            expected.append(f"{path}:{line}: {sentence}")
    path.write_text(text.replace("@", ""))
    with pytest.raises(DetectionError) as error:
        config.prepare(path, check_paths=False, training=True)
    found = error.value.lines()
    assert len(found) == len(expected), found
    for beginning in expected:
        assert any(line.startswith(beginning) for line in found), (beginning, found)
