"""The distribution strategy: on which devices a step runs."""

from __future__ import annotations

import tensorflow as tf

from detection.errors import ConfigError, number_of


def choose(num_replicas: int | None = None) -> tf.distribute.Strategy:
    """A strategy with one replica on each accelerator, or on `num_replicas` of them; without accelerators, on the CPU.

    A single replica uses the default strategy: the same numbers, and on a CPU about 2 ms per step less.

    Raises:
      ConfigError: there are fewer devices than replicas.
    """
    accelerators = tf.config.list_logical_devices("GPU")
    devices = accelerators or tf.config.list_logical_devices("CPU")
    num_requested = num_replicas or max(len(accelerators), 1)
    if num_requested > len(devices):
        raise ConfigError(
            f"--num_replicas {num_requested}: this machine has {number_of(len(devices), 'device')} for it"
            f" ({devices[0].name}, ...)"
        )
    if num_requested == 1:
        return tf.distribute.get_strategy()
    return tf.distribute.MirroredStrategy([device.name for device in devices[:num_requested]])


def check_batch(batch_size: int, strategy: tf.distribute.Strategy) -> None:
    """Raises ConfigError if a batch cannot be split evenly over the replicas."""
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise ConfigError(
            f"train_config.batch_size ({batch_size}) must be a multiple of the {replicas} replicas it is split over"
        )
