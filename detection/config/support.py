"""What of the schema this project honours, as data: to widen it, add a word to HONOURED (or a value to VALUES) together
with the code that reads it.

Every field of every message is one of

    honoured    listed in HONOURED, with its message
    no effect   listed in NO_EFFECT with the reason: what it would change is decided otherwise here; a warning says so
    refused     everything else, unless it is left at its default; INSTEAD says what to use
"""

from __future__ import annotations

# What all messages about crops have in common.
_CROP = "min_object_covered min_aspect_ratio max_aspect_ratio min_area max_area overlap_thresh clip_boxes random_coef"

# message -> its fields that builders read. A message that is not here has none.
HONOURED: dict[str, frozenset[str]] = {
    message: frozenset(fields.split())
    for message, fields in {
        "TrainEvalPipelineConfig": "model train_config train_input_reader eval_config eval_input_reader",
        "DetectionModel": "ssd faster_rcnn fast_rcnn",
        # The detector.
        "Ssd": (
            """num_classes image_resizer feature_extractor box_coder matcher similarity_calculator
            encode_background_as_zeros
            negative_class_weight box_predictor anchor_generator post_processing normalize_loss_by_num_matches
            normalize_loc_loss_by_codesize
            loss freeze_batchnorm"""
        ),
        "SsdFeatureExtractor": (
            """type depth_multiplier min_depth conv_hyperparams override_base_feature_extractor_hyperparams
            pad_to_multiple
            use_explicit_padding use_depthwise num_layers fpn"""
        ),
        "FeaturePyramidNetworks": "min_level max_level additional_layer_depth",
        "FasterRcnn": (
            """number_of_stages num_classes image_resizer feature_extractor first_stage_anchor_generator
            first_stage_atrous_rate
            first_stage_box_predictor_conv_hyperparams first_stage_box_predictor_kernel_size
            first_stage_box_predictor_depth
            first_stage_minibatch_size first_stage_positive_balance_fraction first_stage_nms_score_threshold
            first_stage_nms_iou_threshold
            first_stage_max_proposals first_stage_localization_loss_weight first_stage_objectness_loss_weight
            initial_crop_size
            maxpool_kernel_size maxpool_stride second_stage_box_predictor second_stage_batch_size
            second_stage_balance_fraction
            second_stage_post_processing second_stage_localization_loss_weight second_stage_classification_loss_weight
            hard_example_miner
            second_stage_classification_loss clip_anchors_to_image roi_max_pool second_stage_matched_iou
            second_stage_background_iou
            second_stage_add_groundtruth second_stage_normalize_targets"""
        ),
        "FasterRcnnFeatureExtractor": (
            """type first_stage_features_stride batch_norm_trainable conv_hyperparams
            override_base_feature_extractor_hyperparams depth_multiplier min_depth"""
        ),
        "BoxPredictor": (
            "convolutional_box_predictor weight_shared_convolutional_box_predictor mask_rcnn_box_predictor"
            " rfcn_box_predictor"
        ),
        "MaskRCNNBoxPredictor": (
            "fc_hyperparams use_dropout dropout_keep_probability box_code_size share_box_across_classes box_initializer"
        ),
        "RfcnBoxPredictor": (
            "conv_hyperparams num_spatial_bins_height num_spatial_bins_width depth box_code_size crop_height crop_width"
            " average_pool"
        ),
        "ConvolutionalBoxPredictor": (
            """conv_hyperparams min_depth max_depth num_layers_before_predictor use_dropout dropout_keep_probability
            kernel_size box_code_size apply_sigmoid_to_scores class_prediction_bias_init use_depthwise
            box_encodings_clip_range"""
        ),
        "ConvolutionalBoxPredictor.BoxEncodingsClipRange": "min max",
        "WeightSharedConvolutionalBoxPredictor": (
            """conv_hyperparams apply_conv_hyperparams_to_heads apply_conv_hyperparams_pointwise
            num_layers_before_predictor depth kernel_size box_code_size class_prediction_bias_init use_dropout
            dropout_keep_probability share_prediction_tower use_depthwise score_converter box_encodings_clip_range"""
        ),
        "WeightSharedConvolutionalBoxPredictor.BoxEncodingsClipRange": "min max",
        "Hyperparams": (
            "op regularizer initializer activation batch_norm regularize_depthwise force_use_bias regularize_biases"
        ),
        "Regularizer": "l1_regularizer l2_regularizer",
        "L1Regularizer": "weight",
        "L2Regularizer": "weight",
        "Initializer": (
            "truncated_normal_initializer variance_scaling_initializer random_normal_initializer"
            " keras_initializer_by_name"
        ),
        "TruncatedNormalInitializer": "mean stddev",
        "VarianceScalingInitializer": "factor uniform mode",
        "RandomNormalInitializer": "mean stddev",
        "BatchNorm": "decay center scale epsilon train",
        "AnchorGenerator": "grid_anchor_generator ssd_anchor_generator multiscale_anchor_generator",
        "GridAnchorGenerator": (
            "height width height_stride width_stride height_offset width_offset scales aspect_ratios"
        ),
        "SsdAnchorGenerator": (
            """num_layers min_scale max_scale scales aspect_ratios interpolated_scale_aspect_ratio
            reduce_boxes_in_lowest_layer
            base_anchor_height base_anchor_width height_stride width_stride height_offset width_offset"""
        ),
        "MultiscaleAnchorGenerator": "min_level max_level anchor_scale aspect_ratios scales_per_octave",
        "BoxCoder": "faster_rcnn_box_coder mean_stddev_box_coder square_box_coder",
        "FasterRcnnBoxCoder": "y_scale x_scale height_scale width_scale",
        "MeanStddevBoxCoder": "stddev",
        "SquareBoxCoder": "y_scale x_scale length_scale",
        "Matcher": "argmax_matcher bipartite_matcher",
        "ArgMaxMatcher": (
            "matched_threshold unmatched_threshold ignore_thresholds negatives_lower_than_unmatched"
            " force_match_for_each_row"
        ),
        "RegionSimilarityCalculator": "neg_sq_dist_similarity iou_similarity ioa_similarity thresholded_iou_similarity",
        "ThresholdedIouSimilarity": "iou_threshold",
        "Loss": (
            "localization_loss classification_loss hard_example_miner classification_weight localization_weight"
            " random_example_sampler"
        ),
        "LocalizationLoss": "weighted_l2 weighted_smooth_l1 weighted_iou l1_localization_loss weighted_giou",
        "WeightedSmoothL1LocalizationLoss": "delta",
        "ClassificationLoss": (
            "weighted_sigmoid weighted_softmax weighted_logits_softmax bootstrapped_sigmoid weighted_sigmoid_focal"
        ),
        "SigmoidFocalClassificationLoss": "gamma alpha",
        "WeightedSoftmaxClassificationLoss": "logit_scale",
        "WeightedSoftmaxClassificationAgainstLogitsLoss": "logit_scale",
        "BootstrappedSigmoidClassificationLoss": "alpha hard_bootstrap",
        "HardExampleMiner": (
            "num_hard_examples iou_threshold loss_type max_negatives_per_positive min_negatives_per_image"
        ),
        "RandomExampleSampler": "positive_sample_fraction",
        "PostProcessing": "batch_non_max_suppression score_converter logit_scale",
        "BatchNonMaxSuppression": (
            """score_threshold iou_threshold max_detections_per_class max_total_detections use_class_agnostic_nms
            max_classes_per_detection"""
        ),
        # Images.
        "ImageResizer": (
            "keep_aspect_ratio_resizer fixed_shape_resizer identity_resizer conditional_shape_resizer"
            " pad_to_multiple_resizer"
        ),
        "KeepAspectRatioResizer": (
            "min_dimension max_dimension resize_method pad_to_max_dimension convert_to_grayscale per_channel_pad_value"
        ),
        "FixedShapeResizer": "height width resize_method convert_to_grayscale",
        "ConditionalShapeResizer": "condition size_threshold resize_method convert_to_grayscale",
        "PadToMultipleResizer": "multiple convert_to_grayscale",
        "PreprocessingStep": (
            """normalize_image random_horizontal_flip random_vertical_flip random_rotation90 random_pixel_value_scale
            random_rgb_to_gray rgb_to_gray random_adjust_brightness random_adjust_contrast random_adjust_hue
            random_adjust_saturation
            random_distort_color adjust_gamma subtract_channel_mean random_crop_image random_crop_to_aspect_ratio
            random_square_crop_by_scale
            ssd_random_crop ssd_random_crop_pad ssd_random_crop_fixed_aspect_ratio
            ssd_random_crop_pad_fixed_aspect_ratio random_pad_image
            random_absolute_pad_image random_crop_pad_image random_image_scale resize_image random_resize_method
            random_downscale_to_target_pixels random_scale_crop_and_pad_to_square random_jpeg_quality
            random_black_patches
            random_patch_gaussian random_jitter_boxes random_self_concat_image drop_label_probabilistically
            remap_labels"""
        ),
        "NormalizeImage": "original_minval original_maxval target_minval target_maxval",
        "RandomHorizontalFlip": "probability",
        "RandomVerticalFlip": "probability",
        "RandomRotation90": "probability",
        "RandomPixelValueScale": "minval maxval",
        "RandomRGBtoGray": "probability",
        "RandomAdjustBrightness": "max_delta",
        "RandomAdjustContrast": "min_delta max_delta",
        "RandomAdjustHue": "max_delta",
        "RandomAdjustSaturation": "min_delta max_delta",
        "RandomDistortColor": "color_ordering",
        "AdjustGamma": "gamma gain",
        "SubtractChannelMean": "means",
        "RandomCropImage": _CROP,
        "RandomCropToAspectRatio": "aspect_ratio overlap_thresh clip_boxes",
        "RandomSquareCropByScale": "max_border scale_min scale_max num_scales",
        "SSDRandomCrop": "operations",
        "SSDRandomCropOperation": _CROP,
        "SSDRandomCropPad": "operations",
        "SSDRandomCropPadOperation": (
            f"{_CROP} min_padded_size_ratio max_padded_size_ratio pad_color_r pad_color_g pad_color_b"
        ),
        "SSDRandomCropFixedAspectRatio": "operations aspect_ratio",
        "SSDRandomCropFixedAspectRatioOperation": (
            "min_object_covered min_area max_area overlap_thresh clip_boxes random_coef"
        ),
        "SSDRandomCropPadFixedAspectRatio": "operations aspect_ratio min_padded_size_ratio max_padded_size_ratio",
        "SSDRandomCropPadFixedAspectRatioOperation": _CROP,
        "RandomPadImage": "min_image_height min_image_width max_image_height max_image_width pad_color",
        "RandomAbsolutePadImage": "max_height_padding max_width_padding pad_color",
        "RandomCropPadImage": f"{_CROP} min_padded_size_ratio max_padded_size_ratio pad_color",
        "RandomImageScale": "min_scale_ratio max_scale_ratio",
        "ResizeImage": "new_height new_width method",
        "RandomResizeMethod": "target_height target_width",
        "RandomDownscaleToTargetPixels": "random_coef min_target_pixels max_target_pixels",
        "RandomScaleCropAndPadToSquare": "output_size scale_min scale_max",
        "RandomJpegQuality": "random_coef min_jpeg_quality max_jpeg_quality",
        "RandomBlackPatches": "max_black_patches probability size_to_image_ratio",
        "RandomPatchGaussian": "random_coef min_patch_size max_patch_size min_gaussian_stddev max_gaussian_stddev",
        "RandomJitterBoxes": "ratio jitter_mode",
        "RandomSelfConcatImage": "concat_vertical_probability concat_horizontal_probability",
        "DropLabelProbabilistically": "label drop_probability",
        "RemapLabels": "original_labels new_label",
        # Training.
        "TrainConfig": (
            """batch_size data_augmentation_options keep_checkpoint_every_n_hours optimizer gradient_clipping_by_norm
            fine_tune_checkpoint fine_tune_checkpoint_type from_detection_checkpoint
            load_all_detection_checkpoint_vars num_steps
            bias_grad_multiplier update_trainable_variables freeze_variables add_regularization_loss"""
        ),
        "Optimizer": "rms_prop_optimizer momentum_optimizer adam_optimizer use_moving_average moving_average_decay",
        "RMSPropOptimizer": "learning_rate momentum_optimizer_value decay epsilon",
        "MomentumOptimizer": "learning_rate momentum_optimizer_value",
        "AdamOptimizer": "learning_rate epsilon",
        "LearningRate": (
            "constant_learning_rate exponential_decay_learning_rate manual_step_learning_rate"
            " cosine_decay_learning_rate"
        ),
        "ConstantLearningRate": "learning_rate",
        "ExponentialDecayLearningRate": (
            """initial_learning_rate decay_steps decay_factor staircase burnin_learning_rate burnin_steps
            min_learning_rate"""
        ),
        "ManualStepLearningRate": "initial_learning_rate schedule warmup",
        "ManualStepLearningRate.LearningRateSchedule": "step learning_rate",
        "CosineDecayLearningRate": (
            "learning_rate_base total_steps warmup_learning_rate warmup_steps hold_base_rate_steps"
        ),
        # Data and evaluation.
        "InputReader": (
            """label_map_path shuffle shuffle_buffer_size filenames_shuffle_buffer_size num_epochs
            sample_1_of_n_examples num_readers
            read_block_length num_prefetch_batches max_number_of_boxes input_type tf_record_input_reader
            sample_from_datasets_weights proposals_path max_number_of_proposals"""
        ),
        "TFRecordInputReader": "input_path",
        "EvalConfig": (
            """batch_size num_visualizations eval_interval_secs visualization_export_dir metrics_set export_path
            ignore_groundtruth
            use_moving_averages min_score_threshold max_num_boxes_to_visualize skip_scores skip_labels
            visualize_groundtruth_boxes
            groundtruth_box_visualization_color keep_image_id_for_visualization_export retain_original_images
            include_metrics_per_category
            all_metrics_per_category super_categories use_dummy_loss_in_eval"""
        ),
    }.items()
}

_MASKS = "it belongs to masks, which are not predicted"
_SAME_NMS = "the result is that of plain suppression"
_ANCHORWISE = "no builder of the schema ever read it"
_MATMUL = "gathering is batched here"
_TUNED = "reading and batching tune themselves"

# Message.field -> why it changes nothing here.
NO_EFFECT: dict[str, str] = {
    "InputReader.use_display_name": (
        "texts are looked up as name and as display_name, and classes are shown by display_name where there is one"
    ),
    "Ssd.inplace_batchnorm_update": "batch norm statistics are always updated within the step",
    "Ssd.implicit_example_weight": "it belongs to use_confidences_as_targets",
    "Ssd.return_raw_detections_during_predict": "raw boxes and scores are always exported",
    "FasterRcnn.second_stage_mask_prediction_loss_weight": _MASKS,
    "FasterRcnn.resize_masks": _MASKS,
    "FasterRcnn.inplace_batchnorm_update": "batch norm statistics are always updated within the step",
    "FasterRcnn.use_matmul_crop_and_resize": "the result is that of plain cropping",
    "FasterRcnn.use_matmul_gather_in_matcher": _MATMUL,
    "FasterRcnn.use_static_balanced_label_sampler": "shapes are always static",
    "FasterRcnn.use_static_shapes": "shapes are always static",
    "FasterRcnn.use_static_shapes_for_eval": "shapes are always static",
    "FasterRcnn.use_partitioned_nms_in_first_stage": _SAME_NMS,
    "FasterRcnn.use_combined_nms_in_first_stage": _SAME_NMS,
    "FasterRcnn.return_raw_detections_during_predict": "raw boxes and scores are always exported",
    "FasterRcnnFeatureExtractor.pad_to_multiple": "it belongs to fpn",
    **dict.fromkeys(
        (
            "MaskRCNNBoxPredictor.conv_hyperparams",
            "MaskRCNNBoxPredictor.mask_prediction_conv_depth",
            "MaskRCNNBoxPredictor.mask_height",
            "MaskRCNNBoxPredictor.mask_width",
            "MaskRCNNBoxPredictor.mask_prediction_num_conv_layers",
            "MaskRCNNBoxPredictor.masks_are_class_agnostic",
            "MaskRCNNBoxPredictor.convolve_then_upsample_masks",
        ),
        _MASKS,
    ),
    "MultiscaleAnchorGenerator.normalize_coordinates": "anchors are in pixels everywhere",
    "ArgMaxMatcher.use_matmul_gather": _MATMUL,
    "BipartiteMatcher.use_matmul_gather": _MATMUL,
    "WeightedL2LocalizationLoss.anchorwise_output": _ANCHORWISE,
    "WeightedSmoothL1LocalizationLoss.anchorwise_output": _ANCHORWISE,
    "WeightedSigmoidClassificationLoss.anchorwise_output": _ANCHORWISE,
    "SigmoidFocalClassificationLoss.anchorwise_output": _ANCHORWISE,
    "WeightedSoftmaxClassificationLoss.anchorwise_output": _ANCHORWISE,
    "WeightedSoftmaxClassificationAgainstLogitsLoss.anchorwise_output": _ANCHORWISE,
    "BootstrappedSigmoidClassificationLoss.anchorwise_output": _ANCHORWISE,
    "Loss.min_num_negative_samples": "it belongs to expected_loss_weights",
    "Loss.desired_negative_sampling_ratio": "it belongs to expected_loss_weights",
    "BatchNonMaxSuppression.change_coordinate_frame": (
        "detections are always relative to the true image, without padding"
    ),
    "BatchNonMaxSuppression.use_static_shapes": "shapes are always static",
    "BatchNonMaxSuppression.use_partitioned_nms": _SAME_NMS,
    "BatchNonMaxSuppression.use_combined_nms": _SAME_NMS,
    "BatchNonMaxSuppression.use_hard_nms": "suppression is always hard",
    "BatchNonMaxSuppression.use_cpu_nms": "TensorFlow places suppression by itself",
    "RandomHorizontalFlip.keypoint_flip_permutation": "only boxes are read",
    "RandomVerticalFlip.keypoint_flip_permutation": "only boxes are read",
    "RandomRotation90.keypoint_rot_permutation": "only boxes are read",
    "TrainConfig.sync_replicas": "replicas are always synchronous",
    "TrainConfig.replicas_to_aggregate": "replicas are always synchronous",
    "TrainConfig.startup_delay_steps": "replicas are always synchronous",
    "TrainConfig.fine_tune_checkpoint_version": "the kind of checkpoint is seen from its files",
    "TrainConfig.run_fine_tune_checkpoint_dummy_computation": "variables exist before a checkpoint is restored",
    "TrainConfig.batch_queue_capacity": _TUNED,
    "TrainConfig.num_batch_queue_threads": _TUNED,
    "TrainConfig.prefetch_queue_capacity": _TUNED,
    "TrainConfig.max_number_of_boxes": "that of the input readers counts",
    "TrainConfig.unpad_groundtruth_tensors": "padding has weight 0",
    "TrainConfig.retain_original_images": "pictures are drawn in evaluation",
    "InputReader.name": "readers are called by their position",
    "InputReader.num_parallel_batches": _TUNED,
    "InputReader.num_parallel_map_calls": _TUNED,
    "InputReader.queue_capacity": _TUNED,
    "InputReader.min_after_dequeue": _TUNED,
    "InputReader.prefetch_size": _TUNED,
    "InputReader.drop_remainder": "training repeats its data for ever, evaluation uses all of it",
    "InputReader.mask_type": "only boxes are read",
    "InputReader.include_source_id": "source ids are always read",
    "InputReader.frame_index": "it belongs to TF_SEQUENCE_EXAMPLE",
    "EvalConfig.num_examples": "every evaluation covers its whole input",
    "EvalConfig.max_evals": "every checkpoint is evaluated",
    "EvalConfig.save_graph": "graphs are exported, not logged",
    "EvalConfig.eval_master": "evaluation runs in its own process",
    "EvalConfig.recall_lower_bound": "it belongs to precision_at_recall_detection_metrics",
    "EvalConfig.recall_upper_bound": "it belongs to precision_at_recall_detection_metrics",
    "EvalConfig.retain_original_image_additional_channels": "pictures have three channels",
    "EvalConfig.image_classes_field_map_empty_to_ones": "labels of whole images are not read",
}

# Honoured fields of which only some values are: Message.field -> values.
VALUES: dict[str, tuple[str, ...]] = {
    "Hyperparams.op": ("CONV", "FC"),
    "InputReader.input_type": ("TF_EXAMPLE", "INPUT_DEFAULT"),
    # The first of a list is the example that messages give.
    "SsdFeatureExtractor.type": (
        "ssd_mobilenet_v1",
        "ssd_caffenet",
        "ssd_inception_resnet_v2",
        "ssd_inception_v2",
        "ssd_inception_v3",
        "ssd_mobilenet_v1_fpn",
        "ssd_mobilenet_v1_fpn_keras",
        "ssd_mobilenet_v1_keras",
        "ssd_mobilenet_v2",
        "ssd_mobilenet_v2_fpn",
        "ssd_mobilenet_v2_fpn_keras",
        "ssd_mobilenet_v2_keras",
        "ssd_resnet101",
        "ssd_resnet101_v1_fpn",
        "ssd_resnet101_v1_fpn_keras",
        "ssd_resnet152",
        "ssd_resnet152_v1_fpn",
        "ssd_resnet152_v1_fpn_keras",
        "ssd_resnet50",
        "ssd_resnet50_v1_fpn",
        "ssd_resnet50_v1_fpn_keras",
        "ssd_vgg16",
        "ssd_vgg_cnn_m_1024",
    ),
    "FasterRcnnFeatureExtractor.type": (
        "faster_rcnn_resnet101",
        "faster_rcnn_caffenet",
        "faster_rcnn_inception_resnet_v2",
        "faster_rcnn_inception_resnet_v2_keras",
        "faster_rcnn_inception_v2",
        "faster_rcnn_inception_v3",
        "faster_rcnn_mobilenet_v1",
        "faster_rcnn_mobilenet_v2",
        "faster_rcnn_resnet101_keras",
        "faster_rcnn_resnet152",
        "faster_rcnn_resnet152_keras",
        "faster_rcnn_resnet50",
        "faster_rcnn_resnet50_keras",
        "faster_rcnn_vgg16",
        "faster_rcnn_vgg_cnn_m_1024",
    ),
    "TrainConfig.fine_tune_checkpoint_type": ("", "classification", "detection", "full"),
    "EvalConfig.metrics_set": (
        "coco_detection_metrics",
        "pascal_voc_detection_metrics",
        "weighted_pascal_voc_detection_metrics",
        "confusion_detection_metrics",
    ),
}

# Message.field of what is refused -> what to do. Without a row: remove it, or use one of the supported alternatives of
# its oneof.
INSTEAD: dict[str, str] = {
    "TrainEvalPipelineConfig.graph_rewriter": "remove it: weights are neither trained nor exported quantised",
    **dict.fromkeys(
        ("DetectionModel.center_net", "DetectionModel.experimental_model"),
        "use model.ssd, model.faster_rcnn or model.fast_rcnn",
    ),
    "FasterRcnn.context_config": "remove it: every image is looked at by itself",
    "FasterRcnn.output_final_box_features": "remove it",
    "FasterRcnn.output_final_box_rpn_features": "remove it",
    "FasterRcnnFeatureExtractor.fpn": "remove it: regions are proposed on one map of the network",
    "MaskRCNNBoxPredictor.predict_instance_masks": "remove it: only boxes are predicted",
    "MaskRCNNBoxPredictor.predict_keypoints": "remove it: only boxes are predicted",
    "Ssd.add_background_class": "remove it: logits always have a background column",
    "Ssd.explicit_background_class": "remove it: logits always have a background column",
    "Ssd.use_confidences_as_targets": "remove it: targets are one-hot",
    "Ssd.mask_head_config": "remove it: only boxes are predicted",
    "SsdFeatureExtractor.bifpn": "remove it: maps are those of the network and the extra layers behind it",
    "SsdFeatureExtractor.use_hardswish": "set conv_hyperparams.activation: SWISH or RELU_6",
    "Hyperparams.sync_batch_norm": "use batch_norm",
    "Hyperparams.group_norm": "use batch_norm",
    "BoxCoder.keypoint_box_coder": "use faster_rcnn_box_coder: only boxes are learnt",
    "Loss.equalization_loss": "remove it: rare classes are learnt like the others",
    "Loss.expected_loss_weights": "use NONE, with hard_example_miner or random_example_sampler",
    "BatchNonMaxSuppression.soft_nms_sigma": "set 0: suppression is hard",
    "PostProcessing.calibration_config": "remove it: scores are exported as the score converter gives them",
    "TrainConfig.merge_multiple_label_boxes": "remove it: a box has one class",
    "TrainConfig.use_multiclass_scores": "remove it: targets are one-hot",
    "TrainConfig.use_bfloat16": "remove it: training is in float32",
    "TrainConfig.summarize_gradients": "remove it",
    "InputReader.external_input_reader": "use tf_record_input_reader",
    "InputReader.num_additional_channels": "remove it: images have three channels",
    "InputReader.load_instance_masks": "remove it: only boxes are read",
    "InputReader.num_keypoints": "remove it: only boxes are read",
    "EvalConfig.eval_instance_masks": "remove it: only boxes are evaluated",
    "EvalConfig.force_no_resize": "use identity_resizer",
}
