"""Invalid parts of configs, each with its message from the check, so that builders need not check them."""

from __future__ import annotations

import pytest
from google.protobuf import text_format
from google.protobuf.message import Message

from detection.config.check import examine
from detection.protos import (
    anchor_generator_pb2,
    box_coder_pb2,
    eval_pb2,
    hyperparams_pb2,
    image_resizer_pb2,
    input_reader_pb2,
    losses_pb2,
    matcher_pb2,
    optimizer_pb2,
    post_processing_pb2,
    preprocessor_pb2,
    region_similarity_calculator_pb2,
    train_pb2,
)

# Message, its path in a config, and texts of it, each with what follows the path in a sentence about it.
PARTS: list[tuple[type[Message], str, list[tuple[str, str]]]] = [
    (
        anchor_generator_pb2.AnchorGenerator,
        "model.ssd.anchor_generator",
        [
            (
                "",
                (
                    " is empty; set one of grid_anchor_generator, ssd_anchor_generator, multiscale_anchor_generator, "
                    "flexible_grid_anchor_generator"
                ),
            ),
            ("flexible_grid_anchor_generator {}", ".flexible_grid_anchor_generator.anchor_grid is empty, which leaves"),
            (
                "flexible_grid_anchor_generator { anchor_grid { base_sizes: 1 width_stride: 8 } }",
                ".flexible_grid_anchor_generator.anchor_grid[0].height_stride is not set",
            ),
            (
                (
                    "flexible_grid_anchor_generator { anchor_grid { base_sizes: 9 height_stride: 8 width_stride: 8 "
                    "aspect_ratios: 1 aspect_ratios: 2 } }"
                ),
                ".flexible_grid_anchor_generator.anchor_grid[0].base_sizes has 1 values and aspect_ratios 2; list",
            ),
            ("ssd_anchor_generator { num_layers: 0 }", ".ssd_anchor_generator.num_layers (0) must be at least 1"),
            (
                "ssd_anchor_generator { min_scale: 0.9 max_scale: 0.5 }",
                ".ssd_anchor_generator.min_scale (0.9) must not exceed max_scale (0.5)",
            ),
            (
                "ssd_anchor_generator { scales: [0.1, 0.2] }",
                ".ssd_anchor_generator.scales has 2 values for num_layers 6; list one per layer",
            ),
            (
                "ssd_anchor_generator { aspect_ratios: [1, -2] }",
                ".ssd_anchor_generator.aspect_ratios[1] (-2) must be more than 0",
            ),
            (
                "ssd_anchor_generator { interpolated_scale_aspect_ratio: -1 }",
                ".ssd_anchor_generator.interpolated_scale_aspect_ratio (-1) must be at least 0",
            ),
            (
                "ssd_anchor_generator { interpolated_scale_aspect_ratio: 0 }",
                (
                    ".ssd_anchor_generator.aspect_ratios is empty, which leaves no anchors; list some, for example "
                    "aspect_ratios: 1.0"
                ),
            ),
            (
                "ssd_anchor_generator { height_stride: [8, 16] width_stride: [8, 16] }",
                ".ssd_anchor_generator.height_stride has 2 values for num_layers 6; list one per layer",
            ),
            (
                "ssd_anchor_generator { num_layers: 1 height_offset: 8 }",
                ".ssd_anchor_generator: height_offset and width_offset go together; list both",
            ),
            (
                "ssd_anchor_generator { num_layers: 1 height_stride: 0 width_stride: 1 }",
                ".ssd_anchor_generator.height_stride[0] (0) must be at least 1",
            ),
            (
                "grid_anchor_generator {}",
                ".grid_anchor_generator.scales is empty, which leaves no anchors; list some, for example scales: 1.0",
            ),
            (
                "grid_anchor_generator { scales: 1 aspect_ratios: inf }",
                ".grid_anchor_generator.aspect_ratios (inf) must be a finite number",
            ),
            (
                "multiscale_anchor_generator { aspect_ratios: 1 min_level: 8 }",
                ".multiscale_anchor_generator.min_level (8) must not exceed max_level (7)",
            ),
            (
                "multiscale_anchor_generator { aspect_ratios: 1 scales_per_octave: 0 }",
                ".multiscale_anchor_generator.scales_per_octave (0) must be at least 1",
            ),
        ],
    ),
    (
        box_coder_pb2.BoxCoder,
        "model.ssd.box_coder",
        [
            ("", " is empty; set one of faster_rcnn_box_coder, mean_stddev_box_coder, square_box_coder"),
            ("faster_rcnn_box_coder { y_scale: 0 }", ".faster_rcnn_box_coder.y_scale (0) must be more than 0"),
            ("mean_stddev_box_coder { stddev: -1 }", ".mean_stddev_box_coder.stddev (-1) must be more than 0"),
            (
                "keypoint_box_coder {}",
                ".keypoint_box_coder is not supported; use faster_rcnn_box_coder: keypoints are not supported",
            ),
            ("square_box_coder { length_scale: nan }", ".square_box_coder.length_scale (nan) must be a finite number"),
        ],
    ),
    (
        eval_pb2.EvalConfig,
        "eval_config",
        [
            ('metrics_set: "coco_detection_metric"', ".metrics_set ('coco_detection_metric') is not supported;"),
            ('metrics_set: "coco_panoptic_metrics"', ".metrics_set ('coco_panoptic_metrics') is not supported;"),
            ("min_score_threshold: 1.5", ".min_score_threshold (1.5) must be in [0, 1]"),
            ("min_score_threshold: nan", ".min_score_threshold (nan) must be a finite number"),
            ("max_num_boxes_to_visualize: -1", ".max_num_boxes_to_visualize (-1) must be at least 0"),
            ("batch_size: 0", ".batch_size (0) must be at least 1"),
            (
                'visualize_groundtruth_boxes: true groundtruth_box_visualization_color: "blackish"',
                (
                    ".groundtruth_box_visualization_color ('blackish') is not a colour; use a name such as 'black' or "
                    "a value such as '#00ff80'; did you mean 'black'?"
                ),
            ),
        ],
    ),
    (
        hyperparams_pb2.Hyperparams,
        "model.ssd.box_predictor.convolutional_box_predictor.conv_hyperparams",
        [
            (
                "initializer { truncated_normal_initializer { stddev: -1 } }",
                ".initializer.truncated_normal_initializer.stddev (-1) must be at least 0",
            ),
            (
                "initializer { keras_initializer_by_name: 'nonesuch' }",
                ".initializer.keras_initializer_by_name ('nonesuch') is not supported;",
            ),
        ],
    ),
    (
        image_resizer_pb2.ImageResizer,
        "model.ssd.image_resizer",
        [
            (
                "",
                (
                    " is empty; set one of keep_aspect_ratio_resizer, fixed_shape_resizer, identity_resizer, "
                    "conditional_shape_resizer, pad_to_multiple_resizer"
                ),
            ),
            ("fixed_shape_resizer { height: 0 }", ".fixed_shape_resizer.height (0) must be at least 1"),
            (
                "keep_aspect_ratio_resizer { min_dimension: 2000 }",
                ".keep_aspect_ratio_resizer.min_dimension (2000) must not exceed max_dimension (1024)",
            ),
            (
                "keep_aspect_ratio_resizer { per_channel_pad_value: 1 }",
                ".keep_aspect_ratio_resizer.per_channel_pad_value has 1 values; give 3, one per channel, or none",
            ),
            (
                "conditional_shape_resizer { condition: INVALID }",
                ".conditional_shape_resizer.condition (INVALID) is not supported; use GREATER, SMALLER",
            ),
            ("pad_to_multiple_resizer { multiple: -1 }", ".pad_to_multiple_resizer.multiple (-1) must be at least 1"),
        ],
    ),
    (
        input_reader_pb2.InputReader,
        "train_input_reader",
        [
            (
                "tf_record_input_reader {}",
                '.tf_record_input_reader.input_path is not set; add tf_record_input_reader { input_path: "..." }',
            ),
            ("external_input_reader {}", ".external_input_reader is not supported; use tf_record_input_reader"),
            (
                'tf_record_input_reader { input_path: "a-*" input_path: "b" } num_additional_channels: 999',
                ".num_additional_channels (999) is more than 253: ",
            ),
            (
                'tf_record_input_reader { input_path: "a-*" input_path: "b" } sample_from_datasets_weights: 1',
                (
                    ".sample_from_datasets_weights has 1 values for 2 of tf_record_input_reader.input_path; give "
                    "one a path"
                ),
            ),
            (
                'tf_record_input_reader { input_path: "a-*" input_path: "b" } sample_from_datasets_weights: [0, 0]',
                ".sample_from_datasets_weights has only zeros; give at least one path a weight above 0",
            ),
            (
                'tf_record_input_reader { input_path: "a-*" input_path: "b" } max_number_of_proposals: -1',
                ".max_number_of_proposals (-1) must be at least 0",
            ),
            (
                'tf_record_input_reader { input_path: "a-*" input_path: "b" } max_number_of_boxes: 0',
                ".max_number_of_boxes (0) must be at least 1",
            ),
        ],
    ),
    (
        losses_pb2.Loss,
        "model.ssd.loss",
        [
            (
                "classification_loss { weighted_sigmoid {} }",
                ".localization_loss is not set; add localization_loss { weighted_l2 { ... } }",
            ),
            (
                "localization_loss { weighted_l2 {} }",
                ".classification_loss is not set; add classification_loss { weighted_sigmoid { ... } }",
            ),
            (
                "localization_loss { weighted_smooth_l1 { delta: 0 } }",
                ".localization_loss.weighted_smooth_l1.delta (0) must be more than 0",
            ),
            (
                "localization_loss { weighted_l2 {} } classification_loss { weighted_dice_classification_loss {} }",
                ".classification_loss.weighted_dice_classification_loss is not supported;",
            ),
            (
                "localization_loss { weighted_l2 {} } classification_loss { weighted_softmax { logit_scale: 0 } }",
                ".classification_loss.weighted_softmax.logit_scale (0) must be more than 0",
            ),
            (
                "localization_loss { weighted_l2 {} } classification_loss { weighted_sigmoid_focal { alpha: 2 } }",
                ".classification_loss.weighted_sigmoid_focal.alpha (2) must be in [0, 1]",
            ),
            (
                "localization_loss { weighted_l2 {} } classification_loss { weighted_sigmoid_focal { gamma: -1 } }",
                ".classification_loss.weighted_sigmoid_focal.gamma (-1) must be at least 0",
            ),
            (
                (
                    "localization_loss { weighted_smooth_l1 {} } classification_loss { weighted_sigmoid {} "
                    "}classification_weight: -1"
                ),
                ".classification_weight (-1) must be at least 0",
            ),
            (
                (
                    "localization_loss { weighted_smooth_l1 {} } classification_loss { weighted_sigmoid {} "
                    "}localization_weight: nan"
                ),
                ".localization_weight (nan) must be a finite number",
            ),
            (
                (
                    "localization_loss { weighted_smooth_l1 {} } classification_loss { weighted_sigmoid {} "
                    "}hard_example_miner { iou_threshold: 1.5 }"
                ),
                ".hard_example_miner.iou_threshold (1.5) must be in [0, 1]",
            ),
            (
                (
                    "localization_loss { weighted_smooth_l1 {} } classification_loss { weighted_sigmoid {} "
                    "}hard_example_miner { num_hard_examples: -1 }"
                ),
                ".hard_example_miner.num_hard_examples (-1) must be at least 0",
            ),
            (
                (
                    "localization_loss { weighted_smooth_l1 {} } classification_loss { weighted_sigmoid {} "
                    "}random_example_sampler { positive_sample_fraction: 0 }"
                ),
                ".random_example_sampler.positive_sample_fraction (0) must be in (0, 1]",
            ),
            (
                (
                    "localization_loss { weighted_l2 {} } classification_loss { weighted_sigmoid_focal {} } "
                    "hard_example_miner {}"
                ),
                (
                    ".hard_example_miner cannot be combined with weighted_sigmoid_focal, which weighs hard examples "
                    "itself; remove one of the two"
                ),
            ),
        ],
    ),
    (
        matcher_pb2.Matcher,
        "model.ssd.matcher",
        [
            ("", " is empty; set one of argmax_matcher, bipartite_matcher, box_center_matcher"),
            (
                "argmax_matcher { matched_threshold: 0.25 }",
                ".argmax_matcher.unmatched_threshold (0.5) must not exceed matched_threshold (0.25)",
            ),
            (
                "argmax_matcher { negatives_lower_than_unmatched: false }",
                (
                    ".argmax_matcher.unmatched_threshold (0.5) must be below matched_threshold (0.5) when "
                    "negatives_lower_than_unmatched is false: the negatives lie betwee"
                ),
            ),
            (
                "argmax_matcher { matched_threshold: nan }",
                ".argmax_matcher.matched_threshold (nan) must be a finite number",
            ),
        ],
    ),
    (
        optimizer_pb2.Optimizer,
        "train_config.optimizer",
        [
            ("", " is empty; set one of rms_prop_optimizer, momentum_optimizer, adam_optimizer"),
            (
                "adam_optimizer {}",
                ".adam_optimizer.learning_rate is not set; add learning_rate { constant_learning_rate { ... } }",
            ),
            (
                (
                    "adam_optimizer { learning_rate { manual_step_learning_rate { schedule { step: 5 } schedule { "
                    "step: 5 } } } }"
                ),
                (
                    ".adam_optimizer.learning_rate.manual_step_learning_rate.schedule[1].step (5) must be more "
                    "than the one before it (5)"
                ),
            ),
            (
                ("adam_optimizer { learning_rate { cosine_decay_learning_rate { total_steps: 9 warmup_steps: 10 } } }"),
                (
                    ".adam_optimizer.learning_rate.cosine_decay_learning_rate.total_steps (9) must be at least "
                    "warmup_steps + hold_base_rate_steps (10)"
                ),
            ),
            (
                "adam_optimizer { learning_rate { exponential_decay_learning_rate { decay_steps: 0 } } }",
                ".adam_optimizer.learning_rate.exponential_decay_learning_rate.decay_steps (0) must be at least 1",
            ),
        ],
    ),
    (
        post_processing_pb2.PostProcessing,
        "model.ssd.post_processing",
        [
            ("logit_scale: 0", ".logit_scale (0) must be more than 0"),
            (
                "batch_non_max_suppression { iou_threshold: 1.5 }",
                ".batch_non_max_suppression.iou_threshold (1.5) must be in [0, 1]",
            ),
            (
                "batch_non_max_suppression { score_threshold: nan }",
                ".batch_non_max_suppression.score_threshold (nan) must be a finite number",
            ),
            (
                "batch_non_max_suppression { max_detections_per_class: 200 }",
                (
                    ".batch_non_max_suppression.max_detections_per_class (200) must not exceed "
                    "max_total_detections (100)"
                ),
            ),
            (
                "batch_non_max_suppression { max_detections_per_class: 0 }",
                ".batch_non_max_suppression.max_detections_per_class (0) must be at least 1",
            ),
            (
                "batch_non_max_suppression { soft_nms_sigma: -1 }",
                ".batch_non_max_suppression.soft_nms_sigma (-1) must be at least 0",
            ),
            (
                "batch_non_max_suppression { use_class_agnostic_nms: true use_combined_nms: true }",
                (
                    ".batch_non_max_suppression: use_combined_nms cannot be combined with"
                    " use_class_agnostic_nms; remove "
                    "the former"
                ),
            ),
            (
                "batch_non_max_suppression { use_class_agnostic_nms: true max_classes_per_detection: 2 }",
                (
                    ".batch_non_max_suppression.max_classes_per_detection (2) must be 1, as use_class_agnostic_nms "
                    "gives each box one class, as in the TF Object Detection API"
                ),
            ),
        ],
    ),
    (
        preprocessor_pb2.PreprocessingStep,
        "train_config.data_augmentation_options[0]",
        [
            ("", " is empty;"),
            ("scale_boxes_to_pixel_coordinates {}", ".scale_boxes_to_pixel_coordinates is not supported;"),
            ("autoaugment_image { policy_name: 'v9' }", ".autoaugment_image.policy_name ('v9') is not supported; use"),
            (
                "random_horizontal_flip { probability: 1.5 }",
                ".random_horizontal_flip.probability (1.5) must be in [0, 1]",
            ),
            (
                "random_adjust_contrast { min_delta: 2 }",
                ".random_adjust_contrast.min_delta (2) must not exceed max_delta (1.25)",
            ),
            (
                "random_distort_color { color_ordering: 2 }",
                ".random_distort_color.color_ordering (2) must be in [0, 1]",
            ),
            (
                "ssd_random_crop { operations { max_area: 1 } }",
                ".ssd_random_crop.operations[0].min_aspect_ratio (0) must be more than 0",
            ),
            ("random_crop_image { max_area: 2 }", ".random_crop_image.max_area (2) must be in (0, 1]"),
            ("random_crop_image { overlap_thresh: -1 }", ".random_crop_image.overlap_thresh (-1) must be in [0, 1]"),
            ("normalize_image {}", ".normalize_image.original_minval (0) must be below original_maxval (0)"),
            (
                "subtract_channel_mean { means: 1 }",
                ".subtract_channel_mean.means has 1 values; give 3, one per channel",
            ),
            (
                "random_pad_image { min_image_height: 5 }",
                ".random_pad_image.min_image_height is set without min_image_width; set both, or neither",
            ),
            (
                "random_pad_image { pad_color: 5 }",
                ".random_pad_image.pad_color has 1 values; give 3, one per channel, or none for the mean of the image",
            ),
            (
                "random_crop_pad_image { min_padded_size_ratio: 1 }",
                ".random_crop_pad_image.min_padded_size_ratio has 1 values; give 2, for height and width, or none",
            ),
            ("drop_label_probabilistically {}", ".drop_label_probabilistically.label (0) must be at least 1"),
        ],
    ),
    (
        region_similarity_calculator_pb2.RegionSimilarityCalculator,
        "model.ssd.similarity_calculator",
        [
            (
                "",
                (
                    " is empty; set one of neg_sq_dist_similarity, iou_similarity, ioa_similarity, "
                    "thresholded_iou_similarity"
                ),
            ),
            (
                "thresholded_iou_similarity { iou_threshold: 1.5 }",
                ".thresholded_iou_similarity.iou_threshold (1.5) must be in [0, 1]",
            ),
        ],
    ),
    (
        train_pb2.TrainConfig,
        "train_config",
        [
            ("batch_size: 0", ".batch_size (0) must be at least 1"),
            ("gradient_clipping_by_norm: -1", ".gradient_clipping_by_norm (-1) must be at least 0"),
            ("gradient_clipping_by_norm: nan", ".gradient_clipping_by_norm (nan) must be a finite number"),
            (
                'freeze_variables: "("',
                (
                    ".freeze_variables[0] ('(') is not a valid regular expression: missing ), unterminated"
                    " subpattern at "
                    "position 0"
                ),
            ),
            (
                'fine_tune_checkpoint: "p" fine_tune_checkpoint_type: "clasification"',
                (
                    ".fine_tune_checkpoint_type ('clasification') is not supported; use one of classification, "
                    "detection, full; did you mean 'classification'?"
                ),
            ),
        ],
    ),
]


@pytest.mark.parametrize(
    ("kind", "path", "text", "said"),
    [(kind, path, text, said) for kind, path, rows in PARTS for text, said in rows],
)
def test_a_problem_is_found(kind, path, text, said):
    faults, _ = examine(text_format.Parse(text, kind()), path)
    assert any(fault.startswith(path + said) for fault in faults), faults
