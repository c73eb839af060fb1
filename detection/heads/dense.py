"""The dense head: one box code and K + 1 class logits for every anchor at every cell of every map.

SSD has one predictor per map (`BoxPredictor_0`, ...); a region proposal network is the same with one map and one class.
"""

from __future__ import annotations

import dataclasses

import keras
import tensorflow as tf

from detection.networks.hyperparams import Hyperparams
from detection.networks.keras_layers import listed
from detection.networks.layers import Conv, DepthwiseConv


@dataclasses.dataclass(frozen=True)
class PredictorOptions:
    """Fields of the message `ConvolutionalBoxPredictor`, as objects."""

    hyperparams: Hyperparams
    kernel_size: int = 1
    code_size: int = 4
    layers_before: int = 0  # number of 1x1 convolutions shared by boxes and classes
    min_depth: int = 0  # minimum and maximum channels of these; both 0: there are none
    max_depth: int = 0
    depthwise: bool = False
    dropout_keep: float | None = None  # keep probability before the class logits; None: no dropout
    sigmoid_scores: bool = False
    class_bias: float = 0.0  # initial bias of the class logits
    code_range: tuple[float, float] | None = None  # range to which box codes are clipped
    depthwise_hyperparams: Hyperparams | None = None  # of the depthwise layers; None: `hyperparams`


class DensePredictor(keras.layers.Layer):
    """Predicts box codes and class logits from one map.

    Args:
        name: name of the predictor in checkpoints.
        num_anchors: number of anchors per cell.
        num_logits: class logits per anchor, K + 1.
        options: layers, hyperparameters and ranges.
    """

    def __init__(self, name: str, num_anchors: int, num_logits: int, options: PredictorOptions) -> None:
        super().__init__(name=name, autocast=False)
        self.options, self.num_logits = options, num_logits
        # Its state is a variable, so that a resumed run draws the same dropout masks as an uninterrupted one.
        self.dropout_seed = keras.random.SeedGenerator() if options.dropout_keep is not None else None
        self.boxes = _prediction("BoxEncodingPredictor", num_anchors * options.code_size, options, "zeros")
        bias = keras.initializers.Constant(options.class_bias)
        self.classes = _prediction("ClassPredictor", num_anchors * num_logits, options, bias)

    def build(self, shape: tuple[int, ...]) -> None:
        """Creates the shared 1x1 convolutions, with as many channels as the map, within [min_depth, max_depth]."""
        options = self.options
        depth = max(min(shape[-1], options.max_depth), options.min_depth)
        count = options.layers_before if depth > 0 else 0
        self.shared = tuple(Conv(f"Conv2d_{i}_1x1_{depth}", depth, 1, options.hyperparams) for i in range(count))

    def call(self, features: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Predicts box codes and class logits.

        Args:
            features: float32 [B, h, w, c].
            training: whether dropout is applied and batch norm runs in training mode.

        Returns:
            Codes float32 [B, h*w*a, code] and logits float32 [B, h*w*a, K + 1], with a anchors per cell. Rows run over
            the cells row by row, anchors fastest, as those of the anchor generators.
        """
        options = self.options
        for layer in self.shared:
            features = layer(features, training=training)
        codes = logits = features
        for layer in self.boxes:
            codes = layer(codes, training=training)
        if options.dropout_keep is not None and training:
            logits = keras.random.dropout(logits, rate=1 - options.dropout_keep, seed=self.dropout_seed)
        for layer in self.classes:
            logits = layer(logits, training=training)
        codes, logits = rows_of_anchors(codes, options.code_size), rows_of_anchors(logits, self.num_logits)
        if options.code_range is not None:
            codes = tf.clip_by_value(codes, *options.code_range)
        return codes, tf.sigmoid(logits) if options.sigmoid_scores else logits

    def object_keys(self) -> dict[str, dict[str, keras.Variable]]:
        """Returns, for each part of the predictor in an object-based checkpoint, the variables by their list index."""
        behind = 0 if self.options.dropout_keep is None else 1  # dropout is counted as a layer
        return {
            "_shared_nets/{map}": listed(self.shared),
            "_prediction_heads/box_encodings/{map}/_box_encoder_layers": listed(self.boxes),
            "_prediction_heads/class_predictions_with_background/{map}/_class_predictor_layers": listed(
                self.classes, behind
            ),
        }


class DenseHead(keras.layers.Layer):
    """One `DensePredictor` per map; their rows are concatenated in map order.

    Call `run`, not the layer itself, so that the predictors stay at the root of a checkpoint.
    """

    def __init__(
        self, num_anchors: tuple[int, ...], num_logits: int, options: PredictorOptions, name: str = "BoxPredictor"
    ) -> None:
        super().__init__(name=name, autocast=False)
        names = [name] if len(num_anchors) == 1 else [f"{name}_{i}" for i in range(len(num_anchors))]
        self.predictors = tuple(
            DensePredictor(n, a, num_logits, options) for n, a in zip(names, num_anchors, strict=True)
        )

    def run(self, maps: tuple[tf.Tensor, ...], training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Maps float32 [B, h, w, c] each -> codes float32 [B, A, code], logits float32 [B, A, K + 1]."""
        outputs = [
            predictor(features, training=training) for predictor, features in zip(self.predictors, maps, strict=True)
        ]
        codes, logits = zip(*outputs, strict=True)
        return tf.concat(codes, axis=1), tf.concat(logits, axis=1)

    def object_keys(self) -> dict[str, keras.Variable]:
        """Returns the variables, keyed by their path below the predictor in an object-based checkpoint."""
        return {
            f"{path.format(map=number)}/{key}": variable
            for number, predictor in enumerate(self.predictors)
            for path, part in predictor.object_keys().items()
            for key, variable in part.items()
        }


def _prediction(name: str, filters: int, options: PredictorOptions, bias: object) -> tuple[keras.layers.Layer, ...]:
    """Returns the linear layer `name`, behind a depthwise convolution if `options.depthwise`."""
    linear, size = options.hyperparams.linear(), options.kernel_size
    if not options.depthwise:
        return (Conv(name, filters, size, linear, bias_initializer=bias),)
    depthwise = options.depthwise_hyperparams or options.hyperparams
    return DepthwiseConv(f"{name}_depthwise", size, depthwise), Conv(name, filters, 1, linear, bias_initializer=bias)


def rows_of_anchors(x: tf.Tensor, columns: int) -> tf.Tensor:
    """Reshapes float32 [B, h, w, a*columns] to [B, h*w*a, columns]; static where the map's size is."""
    _, height, width, depth = x.shape
    rows = height * width * depth // columns if height and width else -1
    return tf.reshape(x, [tf.shape(x)[0], rows, columns])
