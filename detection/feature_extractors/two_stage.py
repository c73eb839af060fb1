"""A network in two parts, as the two-stage detectors need it: a body from the image to the map on which regions are
proposed, a tail on regions.

Faster R-CNN (survey, section 2.2.2) runs the tail on every crop of the body's map, R-FCN (section 2.2.3) once on the
whole map. Checkpoints know the parts as `FirstStageFeatureExtractor/<network>/...` and
`SecondStageFeatureExtractor/<network>/...`.
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
    """What a two-stage config says about its extractor, whatever the network. Fields are those of
    `FasterRcnnFeatureExtractor`."""

    stride: int = 16  # of the map on which regions are proposed, pixels
    train_batch_norm: bool = False
    hyperparams: Hyperparams | None = None  # instead of the network's own
    depth_multiplier: float = 1.0
    min_depth: int = 16
    whole_map: bool = (
        False  # the tail sees the whole map (R-FCN) and keeps its size where it can, not crops of a fixed size
    )
    fpn: FpnOptions | None = None  # of extractors with a feature pyramid; None: their default
    added_hyperparams: Hyperparams | None = None  # of the layers that a pyramid adds, which need them

    def as_keras(self) -> TwoStageExtractorOptions:
        """The same for the Keras form of an extractor."""
        return dataclasses.replace(self, hyperparams=self.hyperparams and self.hyperparams.as_keras())

    def base_hyperparams(self, defaults: Hyperparams) -> Hyperparams:
        """Those of the network, given what it was trained with: without penalties, as the reference fine-tunes, unless
        the config says otherwise."""
        chosen = self.hyperparams or dataclasses.replace(defaults, regularizer=None)
        return chosen if self.train_batch_norm else chosen.frozen()


class Stage(keras.layers.Layer):
    """One part of a network below its stage's scope.

    Args:
        name: `FirstStageFeatureExtractor` or `SecondStageFeatureExtractor`.
        scope: the network's name in checkpoints.
        blocks: the part's blocks, in order; the last one's output is the part's.
        carried: blocks behind it that are never run: checkpoints of the reference hold them, so ours do too. They are
            not trained.
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
        """The parts build themselves when first called, inside this layer's scope."""

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """float32 [B, h, w, c] -> float32 [B, h', w', c']."""
        x = self.network(x, endpoints=(self.last,), training=training)[self.last]
        if self.carried is not None and not self.carried.variables:
            self.carried(x)  # only so that its variables exist
        return x

    def object_keys(self) -> dict[str, keras.Variable]:
        """The variables by their place below this part of a detector in an object-based checkpoint."""
        return numbered(self.network.blocks)


@dataclasses.dataclass(frozen=True)
class TwoStageExtractor:
    """A network cut in two.

    Args:
        body: scaled images float32 [B, H, W, 3] -> map float32 [B, h, w, c], which proposals are made on and regions
            are cropped from; or a tuple of such maps, from fine to coarse.
        tail: crops float32 [N, ch, cw, c] (or the whole map) -> features float32 [N, h', w', d].
        scale: pixels 0 to 255 -> what the network was trained on, elementwise over float32 [B, H, W, 3].
        stride: of the map, pixels.
        crop_size: side of the crops that the tail takes, where its fully connected layers leave no choice; None: any.
        keras_form: as the Keras models of the TF Object Detection API have it.
        pyramid: the body gives the maps of a pyramid.
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
    """The two parts under the names that checkpoints know them by; `carried` stands behind the body."""
    return TwoStageExtractor(
        body=Stage(FIRST, scope, body, carried),
        tail=Stage(SECOND, scope, tail),
        scale=scale,
        stride=options.stride,
        crop_size=None if options.whole_map else crop_size,
        keras_form=keras_form,
    )


def check_stride(options: TwoStageExtractorOptions, network: str, allowed: tuple[int, ...] = (16,)) -> None:
    """Raises ValueError, in the words of the config, where the network has no map of the stride that is asked for."""
    if options.stride not in allowed:
        names = " or ".join(str(stride) for stride in allowed)
        raise ValueError(
            f"first_stage_features_stride {options.stride} is not one that {network} can have; use {names}"
        )
