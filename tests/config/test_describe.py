"""Summaries of configs."""

from __future__ import annotations

from detection import config
from detection.config import describe
from detection.protos import image_resizer_pb2, preprocessor_pb2


def test_rows(ssd):
    changed = config.override(
        ssd, ["train_config.gradient_clipping_by_norm=10", "train_config.fine_tune_checkpoint=a/model.ckpt"]
    )
    rows = dict(describe.model_rows(changed) + describe.train_rows(changed) + describe.data_rows(changed))
    assert rows == {
        "model": "ssd of ssd_mobilenet_v1, depth multiplier 0.25, 3 classes",
        "resizer": "fixed_shape_resizer (height 96, width 96, resize_method BILINEAR, convert_to_grayscale false)",
        "loss": (
            "1 x weighted_sigmoid + 1 x weighted_smooth_l1 (delta 1) + hard_example_miner (num_hard_examples 3000,"
            " iou_threshold 0.99, loss_type CLASSIFICATION, max_negatives_per_positive 3, min_negatives_per_image 0)"
        ),
        "detections": "SIGMOID scores above 1e-08, IoU up to 0.6, at most 100 a class and 100 an image",
        "training": "100 steps of 4 images",
        "starts from": "a/model.ckpt, as classification",
        "augmentation": "random_horizontal_flip (probability 0.5), ssd_random_crop",
        "optimizer": (
            "rms_prop_optimizer (momentum_optimizer_value 0.9, decay 0.9, epsilon 1), gradients clipped to a norm of 10"
        ),
        "schedule": (
            "exponential_decay_learning_rate (initial_learning_rate 0.004, decay_steps 800, decay_factor 0.95,"
            " staircase true, burnin_learning_rate 0, burnin_steps 0, min_learning_rate 0)"
        ),
        "train data": "train.record (label map label_map.pbtxt)",
        "eval data": "val.record (label map label_map.pbtxt)",
        "metrics": "coco_detection_metrics",
    }


def test_without_training(ssd):
    ssd.ClearField("train_config")
    ssd.ClearField("eval_input_reader")
    assert describe.train_rows(ssd) == []
    assert describe.data_rows(ssd) == [("train data", "train.record (label map label_map.pbtxt)")]


def test_proposals(ssd):
    ssd.train_input_reader.proposals_path.append("ss.npz")
    ssd.eval_input_reader[0].max_number_of_proposals = 300
    assert dict(describe.data_rows(ssd)) == {
        "train data": "train.record (label map label_map.pbtxt, at most 2000 proposals an image from ss.npz)",
        "eval data": "val.record (label map label_map.pbtxt, at most 300 proposals an image from the records)",
        "metrics": "coco_detection_metrics",
    }


def test_lists_and_nothing():
    step = preprocessor_pb2.PreprocessingStep()
    assert describe.chosen(step) == "nothing"
    step.ssd_random_crop.operations.add()
    assert describe.chosen(step) == "ssd_random_crop (operations 1 x)"
    resizer = image_resizer_pb2.KeepAspectRatioResizer(per_channel_pad_value=[1, 2.5, 3])
    assert describe.fields(resizer).endswith(
        "pad_to_max_dimension false, convert_to_grayscale false, per_channel_pad_value 1 2.5 3"
    )
