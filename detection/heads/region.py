"""The head of Fast and Faster R-CNN: two sibling layers on the features of one region (Girshick 2015, section 2.1).

features -> spatial mean -> dropout -> K + 1 class logits
                                    -> K boxes of 4 codes each, or one box for all classes
"""

from __future__ import annotations

import dataclasses

import keras
import tensorflow as tf

from detection.networks.blocks import Dropout
from detection.networks.dense import Dense
from detection.networks.hyperparams import Hyperparams
from detection.networks.keras_layers import listed


@dataclasses.dataclass(frozen=True)
class RegionHeadOptions:
    """Fields of the message `MaskRCNNBoxPredictor` that concern boxes, as objects."""

    hyperparams: Hyperparams
    code_size: int = 4
    dropout_keep: float | None = None
    share_box: bool = False  # one box for all classes
    separate_dropout: bool = False  # each of the two layers has its own dropout mask, as in the Keras models
    box_initializer: keras.initializers.Initializer | None = None  # None: that of `hyperparams`


class RegionHead(keras.layers.Layer):
    """Class logits and class-specific boxes of regions.

    Args:
        num_classes: number of foreground classes K.
        options: hyperparameters, dropout and code size.
        name: name of the head in checkpoints.
    """

    def __init__(self, num_classes: int, options: RegionHeadOptions, name: str = "SecondStageBoxPredictor") -> None:
        super().__init__(name=name, autocast=False)
        self.num_boxes = 1 if options.share_box else num_classes
        self.code_size, self.separate_dropout = options.code_size, options.separate_dropout
        linear = options.hyperparams.linear()
        box_linear = dataclasses.replace(linear, initializer=options.box_initializer or linear.initializer)
        self.dropout = Dropout("Dropout", options.dropout_keep) if options.dropout_keep is not None else None
        self.boxes = Dense("BoxEncodingPredictor", self.num_boxes * options.code_size, box_linear)
        self.classes = Dense("ClassPredictor", num_classes + 1, linear)
        self.sides = ((self.num_boxes, self.code_size), (num_classes + 1,))  # shapes of a region's codes and logits

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Does nothing: the parts are built when first called, inside this layer's scope."""

    def object_keys(self) -> dict[str, keras.Variable]:
        """Returns the variables, keyed by their path below the predictor in an object-based checkpoint.

        In its lists, flattening and (if used) dropout come before each layer.
        """
        lists = {
            "_box_prediction_head/_box_encoder_layers": self.boxes,
            "_class_prediction_head/_class_predictor_layers": self.classes,
        }
        before = 1 if self.dropout is None else 2
        return {f"{path}/{key}": v for path, layer in lists.items() for key, v in listed((layer,), before).items()}

    def call(self, features: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Predicts box codes and class logits.

        Args:
            features: float32 [N, h, w, c], of N regions.
            training: whether dropout is applied.

        Returns:
            Codes float32 [N, K, code] (K = 1 with `share_box`) and logits float32 [N, K + 1].
        """
        mean = tf.reduce_mean(features, axis=[1, 2])
        flat = mean if self.dropout is None else self.dropout(mean, training=training)
        codes = tf.reshape(self.boxes(flat), [-1, self.num_boxes, self.code_size])
        if self.dropout is not None and self.separate_dropout:
            flat = self.dropout(mean, training=training)
        return codes, self.classes(flat)
