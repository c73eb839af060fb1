from __future__ import annotations

import pytest
from google.protobuf import text_format

from detection.builders import train
from detection.checkpoints.restore import FineTune
from detection.protos import train_pb2

_OPTIMIZER = "optimizer { adam_optimizer { learning_rate { constant_learning_rate { learning_rate: 0.5 } } } }"


def _build(text: str, **options):
    return train.build(text_format.Parse(_OPTIMIZER + text, train_pb2.TrainConfig()), **options)


def test_defaults():
    settings = _build("")
    assert (settings.num_steps, settings.batch_size, settings.clip_norm, settings.bias_multiplier) == (0, 32, 0, 0)
    assert settings.regularize and settings.fine_tune is None and settings.keep_every_hours == 10000
    assert (
        settings.optimizer.moving_average_decay is None
        and _build("", averages_are_read=True).optimizer.moving_average_decay is not None
    )


def test_every_field_arrives():
    settings = _build(
        "num_steps: 5 batch_size: 2 gradient_clipping_by_norm: 10 bias_grad_multiplier: 2 add_regularization_loss:"
        ' false update_trainable_variables: "A" freeze_variables: "B" freeze_variables: ""'
        " keep_checkpoint_every_n_hours: 1.5 summarize_gradients: true"
    )
    assert settings.summarize_gradients
    assert (settings.num_steps, settings.batch_size, settings.clip_norm, settings.bias_multiplier) == (5, 2, 10, 2)
    assert (settings.trained, settings.frozen, settings.regularize, settings.keep_every_hours) == (
        ("A",),
        ("B",),
        False,
        1.5,
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", FineTune("p", "classification")),
        ("from_detection_checkpoint: true", FineTune("p", "detection")),
        (
            'from_detection_checkpoint: true fine_tune_checkpoint_type: "classification"',
            FineTune("p", "classification"),
        ),
        (
            'fine_tune_checkpoint_type: "detection" load_all_detection_checkpoint_vars: true',
            FineTune("p", "detection", load_all=True),
        ),
        ('fine_tune_checkpoint_type: "full"', FineTune("p", "full")),
    ],
)
def test_kinds_of_fine_tuning(text, expected):
    assert _build('fine_tune_checkpoint: "p"' + text).fine_tune == expected
