"""Short names of settings have the same meaning as in the API's trainers."""

from __future__ import annotations

import pytest

from detection import config
from detection.config.short_names import SHORT_NAMES
from detection.errors import ConfigError
from detection.protos import input_reader_pb2, pipeline_pb2


def with_schedule(ssd, schedule: str):
    return config.override(
        ssd, [f"train_config.optimizer.momentum_optimizer={{learning_rate {{{schedule}}}}}", "learning_rate=0.1"]
    )


def rate(changed):
    return changed.train_config.optimizer.momentum_optimizer.learning_rate


def test_learning_rate(ssd):
    changed = config.override(ssd, ["learning_rate=0.1"])
    schedule = changed.train_config.optimizer.rms_prop_optimizer.learning_rate.exponential_decay_learning_rate
    assert schedule.initial_learning_rate == pytest.approx(0.1) and schedule.decay_factor == pytest.approx(0.95)
    assert rate(with_schedule(ssd, "constant_learning_rate {}")).constant_learning_rate.learning_rate == pytest.approx(
        0.1
    )
    manual = rate(
        with_schedule(
            ssd, "manual_step_learning_rate { initial_learning_rate: 0.2 schedule { step: 1 learning_rate: 0.02 } }"
        )
    ).manual_step_learning_rate
    assert (manual.initial_learning_rate, manual.schedule[0].learning_rate) == pytest.approx((0.1, 0.01))
    cosine = rate(
        with_schedule(ssd, "cosine_decay_learning_rate { learning_rate_base: 0.2 warmup_learning_rate: 0.02 }")
    ).cosine_decay_learning_rate
    assert (cosine.learning_rate_base, cosine.warmup_learning_rate) == pytest.approx((0.1, 0.01))
    from_zero = rate(
        with_schedule(
            ssd, "manual_step_learning_rate { initial_learning_rate: 0 schedule { step: 1 learning_rate: 0.02 } }"
        )
    )
    assert from_zero.manual_step_learning_rate.schedule[0].learning_rate == pytest.approx(0.02)


def test_training(ssd):
    changed = config.override(
        ssd, ["batch_size=9", "train_steps=11", "num_classes=5", "momentum_optimizer_value=0.5", "use_bfloat16=true"]
    )
    assert (changed.train_config.batch_size, changed.train_config.num_steps, changed.model.ssd.num_classes) == (
        9,
        11,
        5,
    )
    assert (
        changed.train_config.optimizer.rms_prop_optimizer.momentum_optimizer_value == 0.5
        and changed.train_config.use_bfloat16
    )


def test_data(ssd):
    changed = config.override(
        ssd,
        [
            "train_input_path=[a, b]",
            "append_train_input_path=c",
            "eval_input_path=d",
            "append_eval_input_path=e",
            "label_map_path=m",
            "mask_type=PNG_MASKS",
            "sample_1_of_n_eval_examples=3",
            "eval_num_epochs=4",
            "sample_from_datasets_weights=[1, 2, 3]",
            "eval_with_moving_averages=true",
            "retain_original_images_in_eval=false",
            "retain_original_image_additional_channels_in_eval=true",
        ],
    )
    train, (evaluate,) = changed.train_input_reader, changed.eval_input_reader
    assert list(train.tf_record_input_reader.input_path) == ["a", "b", "c"]
    assert list(evaluate.tf_record_input_reader.input_path) == ["d", "e"]
    assert train.label_map_path == evaluate.label_map_path == "m"
    assert train.mask_type == evaluate.mask_type == input_reader_pb2.PNG_MASKS
    assert (evaluate.sample_1_of_n_examples, evaluate.num_epochs, train.num_epochs) == (3, 4, 0)
    assert list(train.sample_from_datasets_weights) == [1, 2, 3]
    assert changed.eval_config.use_moving_averages and not changed.eval_config.retain_original_images


def test_losses(ssd):
    loss = config.override(ssd, ["classification_localization_weight_ratio=4"]).model.ssd.loss
    assert (loss.classification_weight, loss.localization_weight) == (4, 1)
    focal = config.override(
        ssd,
        ["model.ssd.loss.classification_loss.weighted_sigmoid_focal={}", "focal_loss_gamma=3", "focal_loss_alpha=0.5"],
    ).model.ssd.loss.classification_loss.weighted_sigmoid_focal
    assert (focal.gamma, focal.alpha) == (3, 0.5)
    two_stage = config.override(
        pipeline_pb2.TrainEvalPipelineConfig(), ["model.faster_rcnn={}", "classification_localization_weight_ratio=4"]
    )
    assert two_stage.model.faster_rcnn.first_stage_objectness_loss_weight == 4
    assert two_stage.model.faster_rcnn.second_stage_classification_loss_weight == 4


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("learning_rate=fast", "initial_learning_rate in ExponentialDecayLearningRate takes a number, not fast"),
        ("focal_loss_gamma=3", "the config has weighted_sigmoid where this names weighted_sigmoid_focal"),
    ],
)
def test_faults(ssd, setting, expected):
    with pytest.raises(ConfigError) as error:
        config.override(ssd, [setting])
    assert str(error.value).startswith(f"--set {setting}: {expected}")


@pytest.mark.parametrize(
    "name", sorted(set(SHORT_NAMES) - {"batch_size", "label_map_path", "train_input_path", "append_train_input_path"})
)
def test_on_an_empty_config_only_our_errors_escape(name):
    try:
        config.override(pipeline_pb2.TrainEvalPipelineConfig(), [f"{name}=1"])
    except ConfigError as error:
        assert str(error).startswith(f"--set {name}=1: ")
