"""Message `BoxPredictor` -> a head."""

from __future__ import annotations

import dataclasses

import keras

from detection.builders import hyperparams
from detection.errors import ConfigError
from detection.heads.dense import DenseHead, PredictorOptions
from detection.heads.weight_shared import WeightSharedHead, WeightSharedOptions
from detection.networks.hyperparams import Hyperparams
from detection.protos import box_predictor_pb2


def build_dense(
    message: box_predictor_pb2.BoxPredictor,
    num_anchors: tuple[int, ...],
    num_logits: int,
    freeze_batch_norm: bool = False,
    keras_form: bool = False,
) -> DenseHead | WeightSharedHead:
    """A dense predictor for SSD.

    Args:
        message: the config of the predictor.
        num_anchors: anchors per cell of each map.
        num_logits: class logits per anchor, including the background's if there is one.
        freeze_batch_norm: whether batch norm uses fixed averages in training.
        keras_form: whether to build the form of the TF Object Detection API's Keras models.

    Raises:
        ConfigError: maps with different numbers of anchors cannot share a predictor.
    """
    kind = message.WhichOneof("box_predictor_oneof")
    if kind == "weight_shared_convolutional_box_predictor":
        options = _weight_shared(message.weight_shared_convolutional_box_predictor, freeze_batch_norm, keras_form)
        try:
            return WeightSharedHead(num_anchors, num_logits, options)
        except ValueError as error:
            raise ConfigError(f"model.ssd.box_predictor.{kind}: {error}") from error
    convolutional = message.convolutional_box_predictor
    clip = convolutional.box_encodings_clip_range
    conv_hyperparams = hyperparams.build(convolutional.conv_hyperparams)
    conv_hyperparams = conv_hyperparams.as_keras() if keras_form else conv_hyperparams
    conv_hyperparams = conv_hyperparams.frozen() if freeze_batch_norm else conv_hyperparams
    options = PredictorOptions(
        hyperparams=conv_hyperparams,
        kernel_size=convolutional.kernel_size,
        code_size=convolutional.box_code_size,
        layers_before=convolutional.num_layers_before_predictor,
        min_depth=convolutional.min_depth,
        max_depth=convolutional.max_depth,
        depthwise=convolutional.use_depthwise,
        dropout_keep=convolutional.dropout_keep_probability if convolutional.use_dropout else None,
        sigmoid_scores=convolutional.apply_sigmoid_to_scores,
        class_bias=convolutional.class_prediction_bias_init,
        code_range=(clip.min, clip.max) if convolutional.HasField("box_encodings_clip_range") else None,
        depthwise_hyperparams=_plain(conv_hyperparams) if keras_form else None,
    )
    return DenseHead(num_anchors, num_logits, options)


def _weight_shared(
    message: box_predictor_pb2.WeightSharedConvolutionalBoxPredictor,
    freeze_batch_norm: bool,
    keras_form: bool,
) -> WeightSharedOptions:
    """Options of a predictor that all maps share.

    In the Keras form the pointwise kernels of separable convolutions, and both kernels of separable heads, have Keras's
    default initialisation and no penalty unless the config sets apply_conv_hyperparams_pointwise or
    apply_conv_hyperparams_to_heads.
    """
    towers = hyperparams.build(message.conv_hyperparams)
    heads = towers
    if keras_form:
        towers = dataclasses.replace(towers.as_keras(), plain_pointwise=not message.apply_conv_hyperparams_pointwise)
        heads = dataclasses.replace(towers, plain_pointwise=False)
        if message.use_depthwise and not message.apply_conv_hyperparams_to_heads:
            heads = _plain(heads)
    clip = message.box_encodings_clip_range
    return WeightSharedOptions(
        hyperparams=towers.frozen() if freeze_batch_norm else towers,
        head_hyperparams=heads,
        depth=message.depth,
        layers_before=message.num_layers_before_predictor,
        kernel_size=message.kernel_size,
        code_size=message.box_code_size,
        depthwise=message.use_depthwise,
        share_tower=message.share_prediction_tower,
        dropout_keep=message.dropout_keep_probability if message.use_dropout else None,
        sigmoid_scores=message.score_converter == message.SIGMOID,
        class_bias=message.class_prediction_bias_init,
        code_range=(clip.min, clip.max) if message.HasField("box_encodings_clip_range") else None,
    )


def _plain(made: Hyperparams) -> Hyperparams:
    """The same with Keras's default kernels: Glorot initialisation, no penalty."""
    return dataclasses.replace(made, initializer=keras.initializers.GlorotUniform(), regularizer=None)
