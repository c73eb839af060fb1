"""A network in two parts, for the two-stage detectors.

The body computes the map on which regions are proposed, the tail the features of regions. Faster R-CNN (survey, section
2.2.2) runs the tail on every crop of the body's map, R-FCN (section 2.2.3) once on the whole map. In checkpoints the
parts are `FirstStageFeatureExtractor/<network>/...` and `SecondStageFeatureExtractor/<network>/...`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import keras
import tensorflow as tf

from detection.feature_extractors.ssd_maps import FpnOptions
from detection.networks.blocks import Blocks
from detection.networks.hyperparams import Hyperparams
from detection.networks.keras_layers import numbered

FIRST, SECOND = "FirstStageFeatureExtractor", "SecondStageFeatureExtractor"


@dataclasses.dataclass(frozen=True)
class TwoStageExtractorOptions:
    """Options of the extractor in a two-stage config, for all networks.

    Fields are those of `FasterRcnnFeatureExtractor`.
    """

    stride: int = 16  # of the map on which regions are proposed, pixels
    train_batch_norm: bool = False
    hyperparams: Hyperparams | None = None  # instead of the network's own
    depth_multiplier: float = 1.0
    min_depth: int = 16
    whole_map: bool = False  # the tail runs on the whole map (R-FCN), whose size it keeps where it can, not on crops
    fpn: FpnOptions | None = None  # for extractors with a feature pyramid; None: the default
    added_hyperparams: Hyperparams | None = None  # of the layers that a pyramid adds; required for a pyramid

    def as_keras(self) -> TwoStageExtractorOptions:
        """Returns the options for the Keras form of an extractor."""
        return dataclasses.replace(self, hyperparams=self.hyperparams and self.hyperparams.as_keras())

    def base_hyperparams(self, defaults: Hyperparams) -> Hyperparams:
        """Returns the hyperparameters of the network, given its own, `defaults`.

        Unless the config overrides them, there is no regularisation, as in the reference's fine-tuning.
        """
        chosen = self.hyperparams or dataclasses.replace(defaults, regularizer=None)
        return chosen if self.train_batch_norm else chosen.frozen()


class Stage(keras.layers.Layer):
    """One part of a network, in the scope of its stage.

    Args:
        name: `FirstStageFeatureExtractor` or `SecondStageFeatureExtractor`.
        scope: the network's name in checkpoints.
        blocks: the blocks of the part, in order; the output of the last one is that of the part.
        carried: blocks behind the part that are neither run nor trained, but are in checkpoints, since those of the
            reference have them.
    """

    def __init__(
        self,
        name: str,
        scope: str,
        blocks: tuple[keras.layers.Layer, ...],
        carried: tuple[keras.layers.Layer, ...] = (),
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.network = Blocks(scope, blocks)
        self.carried = Blocks(scope, carried) if carried else None
        self.last = blocks[-1].name
        if self.carried is not None:
            self.carried.trainable = False

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Does nothing: the parts are built when first called, inside this layer's scope."""

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """float32 [B, h, w, c] -> float32 [B, h', w', c']."""
        x = self.network(x, endpoints=(self.last,), training=training)[self.last]
        if self.carried is not None and not self.carried.variables:
            self.carried(x)  # only so that its variables exist
        return x

    def object_keys(self) -> dict[str, keras.Variable]:
        """Returns the variables, keyed by their path below this part of the detector in an object-based checkpoint."""
        return numbered(self.network.blocks)


@dataclasses.dataclass(frozen=True)
class TwoStageExtractor:
    """A network cut into body and tail.

    Attributes:
        body: scaled images float32 [B, H, W, 3] -> map float32 [B, h, w, c], on which proposals are made and from which
            regions are cropped; or a tuple of such maps, from fine to coarse.
        tail: crops float32 [N, ch, cw, c] (or the whole map) -> features float32 [N, h', w', d].
        scale: pixels 0 to 255 -> the input range that the network was trained with, elementwise, float32 [B, H, W, 3].
        stride: stride of the map, pixels.
        crop_size: height and width of crops, in cells, where the fully connected layers of the tail fix it; None: any.
        keras_form: the form of the Keras models of the TF Object Detection API.
        pyramid: whether the body returns the maps of a pyramid.
    """

    body: Stage
    tail: Stage
    scale: Callable[[tf.Tensor], tf.Tensor]
    stride: int
    crop_size: int | None = None
    keras_form: bool = False
    pyramid: bool = False


def make(
    scope: str,
    body: tuple[keras.layers.Layer, ...],
    tail: tuple[keras.layers.Layer, ...],
    scale: Callable[[tf.Tensor], tf.Tensor],
    options: TwoStageExtractorOptions,
    carried: tuple[keras.layers.Layer, ...] = (),
    crop_size: int | None = None,
    keras_form: bool = False,
) -> TwoStageExtractor:
    """Returns the extractor, with the two parts under their names in checkpoints.

    Args:
        scope: the network's name in checkpoints.
        body: blocks of the first part.
        tail: blocks of the second part.
        scale: pixels 0 to 255 -> the input range that the network was trained with.
        options: the extractor's options in the config.
        carried: blocks behind the body that are neither run nor trained, but are in checkpoints.
        crop_size: height and width of crops, in cells, where the tail fixes it; None: any.
        keras_form: the form of the Keras models of the TF Object Detection API.
    """
    return TwoStageExtractor(
        body=Stage(FIRST, scope, body, carried),
        tail=Stage(SECOND, scope, tail),
        scale=scale,
        stride=options.stride,
        crop_size=None if options.whole_map else crop_size,
        keras_form=keras_form,
    )


def check_stride(options: TwoStageExtractorOptions, network: str, allowed: tuple[int, ...] = (16,)) -> None:
    """Checks `first_stage_features_stride`.

    Raises:
        ValueError: the network has no map of that stride.
    """
    if options.stride not in allowed:
        names = " or ".join(str(stride) for stride in allowed)
        raise ValueError(
            f"first_stage_features_stride {options.stride} is not one that {network} can have; use {names}"
        )
