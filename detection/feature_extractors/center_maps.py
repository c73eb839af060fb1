"""Maps of stride 4 for CenterNet (Zhou et al. 2019, "Objects as Points", section 4).

A network of stride 32, and a decoder that doubles the size of its map three times:

    deconvolved:  three times: convolution, transposed convolution of stride 2, each with batch norm and ReLU
    top-down:     T_5 = project(C_5);  three times: T_l = smooth(up(T_l+1) + project(C_l)),   C_l the map of stride 2^l

Names: `FeatureExtractor/<network>/...`, with the decoder below `<network>/decoder`. In object-based checkpoints of the
TF Object Detection API the network is `_base_model` and the decoder `_feature_extractor_model`; for MobileNet v2
without top-down layers, both are one model, `_network`, whose first layer is the network.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import keras
import tensorflow as tf

from detection.networks.blocks import Blocks, Chain, doubled
from detection.networks.depths import DepthRule
from detection.networks.hourglass import Hourglass
from detection.networks.hyperparams import BatchNormSettings, Hyperparams, keras_defaults
from detection.networks.keras_layers import numbered
from detection.networks.layers import Conv, SeparableConv, TransposedConv

STRIDE = 4  # of all maps, pixels
_NETWORK_STRIDE = 32
Scale = Callable[[tf.Tensor], tf.Tensor]


@dataclasses.dataclass(frozen=True)
class PixelScale:
    """(pixels - means) / stds, applied before the scaling of the network itself."""

    means: tuple[float, ...] = ()  # per channel, in the order after `bgr`; empty: 0
    stds: tuple[float, ...] = ()  # per channel; empty: 1
    bgr: bool = False  # reverse the channels to blue, green, red first

    def then(self, scale: Scale) -> Scale:
        """Returns a function that applies this scaling and then `scale` to float32 [B, H, W, 3], RGB, 0 to 255."""

        def both(images: tf.Tensor) -> tf.Tensor:
            images = tf.reverse(images, [3]) if self.bgr else images
            images = images - tf.constant(self.means) if self.means else images
            return scale(images / tf.constant(self.stds) if self.stds else images)

        return both


@dataclasses.dataclass(frozen=True)
class CenterExtractorOptions:
    """Options of the extractor in the config, for all networks. Fields are those of `CenterNetFeatureExtractor`."""

    pixels: PixelScale = PixelScale()
    depth_multiplier: float = 1.0
    separable: bool = False  # whether the top-down layers on MobileNet v2 are depthwise separable
    interpolation: str = "nearest"  # upsampling of the top-down layers on MobileNet v2: nearest or bilinear


def resnet_defaults(biased: bool) -> Hyperparams:
    """Returns Keras's default hyperparameters with the batch norm epsilon of its ResNets.

    Args:
        biased: whether convolutions have a bias in front of batch norm, as in v1; those of v2 have none.
    """
    norm = BatchNormSettings(decay=0.99, epsilon=1.001e-5, center=True, scale=True)
    return dataclasses.replace(keras_defaults(), batch_norm=norm, force_bias=biased)


class Deconvolved(keras.layers.Layer):
    """Decoder of transposed convolutions on the last map.

    Args:
        depths: channels of each of the three steps.
        kernel: kernel size of their convolutions.
    """

    def __init__(self, depths: tuple[int, ...], kernel: int) -> None:
        super().__init__(name="decoder", autocast=False)
        hyperparams = keras_defaults()
        self.parts = tuple(
            part
            for number, depth in enumerate(depths, start=1)
            for part in (
                Conv(f"conv_{number}", depth, kernel, hyperparams),
                TransposedConv(f"deconv_{number}", depth, 3, hyperparams, stride=2),
            )
        )

    def build(self, shape: object) -> None:
        """Does nothing: the convolutions are built when first called, inside this layer's scope."""

    def call(self, maps: tuple[tf.Tensor, ...], training: bool = False) -> tf.Tensor:
        """Maps float32 [B, h, w, c] each, of which the last is used -> float32 [B, 8h, 8w, depth]."""
        x = maps[-1]
        for part in self.parts:
            x = part(x, training=training)
        return x


class TopDown(keras.layers.Layer):
    """Decoder of top-down layers on maps of strides 4 to 32.

    Args:
        depths: channels of the projections, from the coarsest map to the finest.
        smoothed: channels of the 3x3 convolutions behind the three sums.
        separable: whether these are depthwise separable.
        interpolation: how maps are upsampled, nearest or bilinear.
    """

    def __init__(
        self,
        depths: tuple[int, ...],
        smoothed: tuple[int, ...],
        separable: bool = False,
        interpolation: str = "nearest",
    ) -> None:
        super().__init__(name="decoder", autocast=False)
        hyperparams, self.interpolation = keras_defaults(), interpolation
        numbers = range(len(depths), 0, -1)  # 1 is the finest, as for the levels of a pyramid
        self.projections = tuple(
            Conv(f"projection_{n}", depth, 1, hyperparams.linear()) for n, depth in zip(numbers, depths, strict=True)
        )
        self.smoothing = tuple(
            SeparableConv(f"smoothing_{n}", depth, 3, 1, hyperparams)
            if separable
            else Conv(f"smoothing_{n}", depth, 3, hyperparams)
            for n, depth in zip(numbers[1:], smoothed, strict=True)
        )

    @property
    def parts(self) -> tuple[keras.layers.Layer, ...]:
        """The layers, in the order in which a functional Keras model numbers them."""
        top, *rest = self.projections
        return (top, *(part for pair in zip(rest, self.smoothing, strict=True) for part in pair))

    def build(self, shape: object) -> None:
        """Does nothing: the convolutions are built when first called, inside this layer's scope."""

    def call(self, maps: tuple[tf.Tensor, ...], training: bool = False) -> tf.Tensor:
        """Maps of strides 4 to 32, float32 [B, h, w, c] each, from fine to coarse -> one map of stride 4."""
        x = self.projections[0](maps[-1])
        for project, smooth, features in zip(self.projections[1:], self.smoothing, maps[-2::-1], strict=True):
            x = smooth(self._enlarged(x) + project(features), training=training)
        return x

    def _enlarged(self, x: tf.Tensor) -> tf.Tensor:
        if self.interpolation == "nearest":
            return doubled(x)
        return tf.image.resize(x, 2 * tf.shape(x)[1:3], method=self.interpolation)


class CenterExtractor(keras.layers.Layer):
    """A network, and a decoder that upsamples its maps.

    Args:
        scope: the network's name in checkpoints.
        network: the layers of the network.
        sources: names of the layers whose outputs the decoder takes, from fine to coarse.
        decoder: maps -> one map of stride 4.
        scale: pixels 0 to 255 -> the input range that the network was trained with.
        carried: layers behind the network that are neither run nor trained, but are in checkpoints, since those of the
            reference have them.
        one_model: in object-based checkpoints the network and the decoder are one model.
    """

    multiple = _NETWORK_STRIDE  # image height and width must be multiples of it, pixels
    num_outputs = 1

    def __init__(
        self,
        scope: str,
        network: tuple[keras.layers.Layer, ...],
        sources: tuple[str, ...],
        decoder: Deconvolved | TopDown,
        scale: Scale,
        carried: tuple[keras.layers.Layer, ...] = (),
        one_model: bool = False,
    ) -> None:
        super().__init__(name="FeatureExtractor", autocast=False)
        self.network, self.sources, self.scale = Blocks(scope, network), sources, scale
        self.decoder, self.one_model = Chain(scope, (decoder,)), one_model
        self.carried = Blocks(scope, carried) if carried else None
        if self.carried is not None:
            self.carried.trainable = False

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Does nothing: the parts are built when first called, inside this layer's scope."""

    def call(self, images: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, ...]:
        """Scaled images float32 [B, H, W, 3] -> one map float32 [B, H / 4, W / 4, c]."""
        outputs = self.network(images, endpoints=self.sources, training=training)
        if self.carried is not None and not self.carried.variables:
            self.carried(outputs[self.sources[-1]])  # only so that its variables exist
        return (self.decoder(tuple(outputs[name] for name in self.sources), training=training),)

    def object_keys(self) -> dict[str, keras.Variable]:
        """Returns the variables, keyed by their path below the extractor in an object-based checkpoint."""
        network = numbered((*self.network.blocks, *(self.carried.blocks if self.carried is not None else ())))
        # The first layer of the whole model is the network itself, whose variables are those of the base model.
        added = numbered(self.decoder.parts[0].parts, first=1)
        first, whole = (
            ("_network/layer_with_weights-0", "_network")
            if self.one_model
            else ("_base_model", "_feature_extractor_model")
        )
        return {
            **{f"{first}/{key}": variable for key, variable in network.items()},
            **{f"{whole}/{key}": variable for key, variable in added.items()},
        }


class HourglassExtractor(keras.layers.Layer):
    """A stack of hourglasses, each of which has a map of stride 4.

    Args:
        network: the hourglasses.
        multiple: image height and width must be multiples of it, pixels.
        scale: pixels 0 to 255 -> the input range that the network was trained with.
    """

    def __init__(self, network: Hourglass, multiple: int, scale: Scale) -> None:
        super().__init__(name="FeatureExtractor", autocast=False)
        self.network, self.multiple, self.scale = network, multiple, scale

    @property
    def num_outputs(self) -> int:
        """Number of maps, all of which are supervised."""
        return len(self.network.outputs)

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Does nothing: the network is built when first called, inside this layer's scope."""

    def call(self, images: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, ...]:
        """Scaled images float32 [B, H, W, 3] -> maps float32 [B, H / 4, W / 4, c]; detections use the last one."""
        return self.network(images, training=training)

    def object_keys(self) -> dict[str, keras.Variable]:
        """Returns the variables, keyed by their path below the extractor in an object-based checkpoint."""
        return {f"_network/{key}": variable for key, variable in self.network.object_keys().items()}


def deconvolved(depth: DepthRule, kernel: int) -> Deconvolved:
    """Returns the decoder of ResNet v2 (`kernel` 3) and MobileNet v2 (`kernel` 1)."""
    return Deconvolved(tuple(map(depth, (256, 128, 64))), kernel)
