"""TrainConfig message -> TrainSettings."""

from __future__ import annotations

import re

from absl import logging

from detection.builders import optimizer
from detection.checkpoints.restore import FineTune, check_kind
from detection.errors import ConfigError
from detection.protos import train_pb2
from detection.settings import TrainSettings

# What other trainers do in other ways than by this field: written in many configs, without effect here.
_NO_EFFECT = (
    "sync_replicas",
    "startup_delay_steps",
    "replicas_to_aggregate",
    "unpad_groundtruth_tensors",
    "run_fine_tune_checkpoint_dummy_computation",
    "batch_queue_capacity",
    "num_batch_queue_threads",
    "prefetch_queue_capacity",
    "max_number_of_boxes",
    "retain_original_images",
)


def build(message: train_pb2.TrainConfig, averages_are_read: bool = False) -> TrainSettings:
    """Settings of training; `averages_are_read`: evaluation wants averaged weights.

    Raises:
      ConfigError: a number out of range, a pattern that is no regular expression, an unknown fine-tuning kind,
          optimiser faults.
    """
    for name in _NO_EFFECT:
        if message.HasField(name):
            logging.debug("train_config.%s has no effect here", name)
    if not message.batch_size:
        raise ConfigError("train_config.batch_size (0) must be at least 1")
    for name in ("gradient_clipping_by_norm", "bias_grad_multiplier", "keep_checkpoint_every_n_hours"):
        if not getattr(message, name) >= 0:
            raise ConfigError(f"train_config.{name} ({getattr(message, name):g}) must not be negative")
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
    )


def _patterns(message: train_pb2.TrainConfig, field: str) -> tuple[str, ...]:
    patterns = tuple(pattern for pattern in getattr(message, field) if pattern)
    for pattern in patterns:
        try:
            re.compile(pattern)
        except (re.error, RecursionError, OverflowError) as error:
            raise ConfigError(f"train_config.{field}: {pattern!r} is no regular expression ({error})") from None
    return patterns


def _fine_tune(message: train_pb2.TrainConfig) -> FineTune | None:
    if not message.fine_tune_checkpoint:
        return None
    kind = message.fine_tune_checkpoint_type or ("detection" if message.from_detection_checkpoint else "classification")
    check_kind(kind)
    return FineTune(message.fine_tune_checkpoint, kind, load_all=message.load_all_detection_checkpoint_vars)
