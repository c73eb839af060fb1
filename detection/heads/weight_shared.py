"""The dense head of RetinaNet (Lin et al. 2017, section 4): one predictor for all maps of a pyramid.

features -> tower of convolutions for boxes   -> box codes          the kernels are shared by all maps,
         -> tower of convolutions for classes -> class logits       each map has its own batch norm

With `share_tower`, boxes and classes share one tower. The output has the layout of `heads.dense`.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator

import keras
import tensorflow as tf

from detection.heads.dense import rows_of_anchors
from detection.networks.blocks import Chain, Dropout
from detection.networks.hyperparams import Hyperparams
from detection.networks.keras_layers import group_norm_variables, kernel_variables, norm_variables
from detection.networks.layers import Conv, SeparableConv


@dataclasses.dataclass(frozen=True)
class WeightSharedOptions:
    """Fields of the message `WeightSharedConvolutionalBoxPredictor`, as objects."""

    hyperparams: Hyperparams  # of the towers
    head_hyperparams: Hyperparams  # of the last layers
    depth: int = 0  # channels of the towers
    layers_before: int = 0  # number of convolutions in a tower
    kernel_size: int = 3
    code_size: int = 4
    depthwise: bool = False
    share_tower: bool = False
    dropout_keep: float | None = None  # keep probability before the class logits; None: no dropout
    sigmoid_scores: bool = False
    class_bias: float = 0.0  # initial bias of the class logits
    code_range: tuple[float, float] | None = None  # range to which box codes are clipped


class Tower(keras.layers.Layer):
    """A chain of convolutions shared by all maps, with separate batch norm for each map.

    Args:
        name: name of the tower in checkpoints.
        options: number, depth and hyperparameters of the convolutions.
        num_maps: number of maps.
    """

    def __init__(self, name: str, options: WeightSharedOptions, num_maps: int) -> None:
        super().__init__(name=name, autocast=False)
        self.convolutions = tuple(
            _convolution(f"conv2d_{number}", options.depth, options, options.hyperparams, levels=num_maps)
            for number in range(options.layers_before)
        )

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Does nothing: the convolutions are built when first called, inside this layer's scope."""

    def call(self, features: tf.Tensor, training: bool = False, level: int = 0) -> tf.Tensor:
        """Features float32 [B, h, w, c] of map number `level` -> float32 [B, h, w, depth]."""
        for layer in self.convolutions:
            features = layer(features, training=training, level=level)
        return features


class Projections(keras.layers.Layer):
    """1x1 convolutions that bring all maps to one depth, where their depths differ."""

    def __init__(self, hyperparams: Hyperparams) -> None:
        super().__init__(name="ProjectionLayer", autocast=False)
        self.hyperparams = dataclasses.replace(hyperparams, activation=None)
        self.convolutions: tuple[Conv, ...] = ()

    def build(self, shape: list[tuple[int, ...]]) -> None:
        """Creates one convolution per map if the depths differ; their output has the most common depth."""
        depths = [each[-1] for each in shape]
        if len(set(depths)) > 1:
            depth = Counter(depths).most_common(1)[0][0]
            self.convolutions = tuple(Conv(f"conv2d_{n}", depth, 1, self.hyperparams) for n in range(len(depths)))

    def call(self, maps: list[tf.Tensor], training: bool = False) -> list[tf.Tensor]:
        """Maps float32 [B, h, w, c] each -> the same maps, all of one depth."""
        if not self.convolutions:
            return maps
        return [layer(features, training=training) for layer, features in zip(self.convolutions, maps, strict=True)]


class WeightSharedHead(keras.layers.Layer):
    """Predicts box codes and class logits of all maps with the same weights.

    Args:
        num_anchors: number of anchors per cell, for each map; the same for all.
        num_logits: class logits per anchor, K + 1.
        options: layers, hyperparameters and ranges.

    Raises:
        ValueError: the number of anchors differs between maps.
    """

    def __init__(self, num_anchors: tuple[int, ...], num_logits: int, options: WeightSharedOptions) -> None:
        super().__init__(name="WeightSharedConvolutionalBoxPredictor", autocast=False)
        if len(set(num_anchors)) != 1:
            raise ValueError(f"a shared predictor needs the same number of anchors on every map, not {num_anchors}")
        self.options, self.num_logits = options, num_logits
        self.projections = Projections(options.hyperparams)
        maps, anchors, head = len(num_anchors), num_anchors[0], options.head_hyperparams.linear()
        if options.share_tower:
            self.box_tower = self.class_tower = Tower("PredictionTower", options, maps)
        else:
            self.box_tower = Tower("BoxPredictionTower", options, maps)
            self.class_tower = Tower("ClassPredictionTower", options, maps)
        self.boxes = _convolution("BoxPredictor", anchors * options.code_size, options, head)
        bias = keras.initializers.Constant(options.class_bias)
        self.classes = _convolution("ClassPredictor", anchors * num_logits, options, head, bias)
        keep = options.dropout_keep
        # A random generator is a variable, so there is none without dropout.
        self.dropout = Chain("Dropout", ()) if keep is None else Dropout("Dropout", keep)

    def build(self, shape: object) -> None:
        """Does nothing: the parts are built when first called, inside this layer's scope."""

    def run(self, maps: tuple[tf.Tensor, ...], training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Maps float32 [B, h, w, c] each -> codes float32 [B, A, code], logits float32 [B, A, K + 1]."""
        return self(list(maps), training=training)

    def call(self, maps: list[tf.Tensor], training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Same as `run`, for a list of maps."""
        options, all_codes, all_logits = self.options, [], []
        for level, features in enumerate(self.projections(maps, training=training)):
            for_boxes = self.box_tower(features, training=training, level=level)
            shared = self.class_tower is self.box_tower
            for_classes = for_boxes if shared else self.class_tower(features, training=training, level=level)
            codes = rows_of_anchors(self.boxes(for_boxes, training=training), options.code_size)
            logits = self.classes(self.dropout(for_classes, training=training), training=training)
            logits = rows_of_anchors(logits, self.num_logits)
            all_codes.append(codes if options.code_range is None else tf.clip_by_value(codes, *options.code_range))
            all_logits.append(tf.sigmoid(logits) if options.sigmoid_scores else logits)
        return tf.concat(all_codes, axis=1), tf.concat(all_logits, axis=1)

    def object_keys(self) -> dict[str, keras.Variable]:
        """Returns the variables, keyed by their path below the predictor in an object-based checkpoint."""
        classes = "class_predictions_with_background"
        keys = dict(_tower_keys(self.box_tower, "box_encodings"))
        if self.class_tower is not self.box_tower:
            keys |= _tower_keys(self.class_tower, classes)
        for number, layer in enumerate(self.projections.convolutions):
            path = f"_additional_projection_layers/{number}"
            keys |= _below(f"{path}/0", kernel_variables(layer))
            keys |= _below(f"{path}/1", norm_variables(layer.batch_norm) if layer.batch_norm else {})
            keys |= _below(f"{path}/1", group_norm_variables(layer.group_norm) if layer.group_norm else {})
        keys |= _below("_box_prediction_head/_box_encoder_layers/0", kernel_variables(self.boxes))
        behind = 0 if self.options.dropout_keep is None else 1  # dropout is counted as a layer
        path = f"_prediction_heads/{classes}/_class_predictor_layers/{behind}"
        return keys | _below(path, kernel_variables(self.classes))


def _convolution(
    name: str,
    filters: int,
    options: WeightSharedOptions,
    hyperparams: Hyperparams,
    bias: object = "zeros",
    levels: int = 0,
) -> Conv | SeparableConv:
    size = options.kernel_size
    if options.depthwise:
        return SeparableConv(name, filters, size, 1, hyperparams, bias_initializer=bias, levels=levels)
    return Conv(name, filters, size, hyperparams, bias_initializer=bias, levels=levels)


def _tower_keys(tower: Tower, head: str) -> Iterator[tuple[str, keras.Variable]]:
    """Yields the keys of a tower: its convolutions by tower, its batch norms by head and map.

    Every layer of the tower counts as three: convolution, batch norm and activation. The reference's Keras models have
    no group norm; ours is where its batch norm would be.
    """
    for number, layer in enumerate(tower.convolutions):
        yield from _below(f"_head_scope_conv_layers/{tower.name}/{number}", kernel_variables(layer)).items()
        for level, norm in enumerate(layer.batch_norm.norms if layer.batch_norm else ()):
            path = f"_base_tower_layers_for_heads/{head}/{level}/{3 * number + 1}"
            yield from _below(path, norm_variables(norm)).items()
        if layer.group_norm is not None:  # one for all maps
            path = f"_base_tower_layers_for_heads/{head}/0/{3 * number + 1}"
            yield from _below(path, group_norm_variables(layer.group_norm)).items()


def _below(path: str, variables: dict[str, keras.Variable]) -> dict[str, keras.Variable]:
    return {f"{path}/{attribute}": variable for attribute, variable in variables.items()}
