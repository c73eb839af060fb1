"""Message `Hyperparams` -> networks.hyperparams.Hyperparams."""

from __future__ import annotations

import keras
import tensorflow as tf

from detection.networks.hyperparams import (
    BatchNormSettings,
    GroupNormSettings,
    Hyperparams,
    l1_penalty,
    l2_penalty,
)
from detection.protos import hyperparams_pb2

_ACTIVATIONS = {
    hyperparams_pb2.Hyperparams.NONE: None,
    hyperparams_pb2.Hyperparams.RELU: tf.nn.relu,
    hyperparams_pb2.Hyperparams.RELU_6: tf.nn.relu6,
    hyperparams_pb2.Hyperparams.SWISH: tf.nn.swish,
}
_MODES = {
    hyperparams_pb2.VarianceScalingInitializer.FAN_IN: "fan_in",
    hyperparams_pb2.VarianceScalingInitializer.FAN_OUT: "fan_out",
    hyperparams_pb2.VarianceScalingInitializer.FAN_AVG: "fan_avg",
}


def build(message: hyperparams_pb2.Hyperparams) -> Hyperparams:
    """Hyperparameters of a layer, or of all layers of a part."""
    return Hyperparams(
        initializer=initializer(message.initializer),
        regularizer=_regularizer(message.regularizer),
        activation=_ACTIVATIONS[message.activation],
        batch_norm=_batch_norm(message),
        group_norm=GroupNormSettings() if message.HasField("group_norm") else None,
        regularize_depthwise=message.regularize_depthwise,
        force_bias=message.force_use_bias,
        regularize_biases=message.regularize_biases,
    )


def initializer(message: hyperparams_pb2.Initializer) -> keras.initializers.Initializer:
    """The initialiser that is set; otherwise TensorFlow's default, as in the reference: Glorot's uniform one."""
    kind = message.WhichOneof("initializer_oneof")
    if kind == "truncated_normal_initializer":
        normal = message.truncated_normal_initializer
        return keras.initializers.TruncatedNormal(mean=normal.mean, stddev=normal.stddev)
    if kind == "random_normal_initializer":
        normal = message.random_normal_initializer
        return keras.initializers.RandomNormal(mean=normal.mean, stddev=normal.stddev)
    if kind == "variance_scaling_initializer":
        scaling = message.variance_scaling_initializer
        distribution = "uniform" if scaling.uniform else "truncated_normal"
        return keras.initializers.VarianceScaling(scaling.factor, _MODES[scaling.mode], distribution)
    if kind == "keras_initializer_by_name":
        return keras.initializers.get(message.keras_initializer_by_name)
    return keras.initializers.GlorotUniform()


def _regularizer(message: hyperparams_pb2.Regularizer):  # -> Callable | None
    kind = message.WhichOneof("regularizer_oneof")
    if kind == "l2_regularizer":
        return l2_penalty(message.l2_regularizer.weight)
    if kind == "l1_regularizer":
        return l1_penalty(message.l1_regularizer.weight)
    return None


def _batch_norm(message: hyperparams_pb2.Hyperparams) -> BatchNormSettings | None:
    kind = message.WhichOneof("normalizer_oneof")
    if kind not in ("batch_norm", "sync_batch_norm"):
        return None
    norm = getattr(message, kind)
    return BatchNormSettings(
        decay=norm.decay,
        epsilon=norm.epsilon,
        center=norm.center,
        scale=norm.scale,
        train=norm.train,
        synchronised=kind == "sync_batch_norm",
    )
