"""Message `TrainConfig` -> settings.TrainSettings."""

from __future__ import annotations

from detection.builders import optimizer
from detection.checkpoints.restore import FineTune
from detection.protos import train_pb2
from detection.settings import TrainSettings


def build(message: train_pb2.TrainConfig, averages_are_read: bool = False) -> TrainSettings:
    """Settings of training; `averages_are_read` is whether evaluation uses moving averages."""
    return TrainSettings(
        num_steps=message.num_steps,
        batch_size=message.batch_size,
        optimizer=optimizer.build(message.optimizer, averages_are_read),
        clip_norm=message.gradient_clipping_by_norm,
        bias_multiplier=message.bias_grad_multiplier,
        trained=_patterns(message, "update_trainable_variables"),
        frozen=_patterns(message, "freeze_variables"),
        regularize=message.add_regularization_loss,
        fine_tune=_fine_tune(message),
        keep_every_hours=message.keep_checkpoint_every_n_hours,
        summarize_gradients=message.summarize_gradients,
    )


def _patterns(message: train_pb2.TrainConfig, field: str) -> tuple[str, ...]:
    return tuple(pattern for pattern in getattr(message, field) if pattern)


def _fine_tune(message: train_pb2.TrainConfig) -> FineTune | None:
    if not message.fine_tune_checkpoint:
        return None
    kind = message.fine_tune_checkpoint_type or ("detection" if message.from_detection_checkpoint else "classification")
    return FineTune(message.fine_tune_checkpoint, kind, load_all=message.load_all_detection_checkpoint_vars)
