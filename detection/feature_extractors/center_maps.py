"""Maps of stride 4 for detectors that find objects as points (Zhou et al. 2019, "Objects as Points", section 4): a
network of stride 32, and layers that enlarge its map three times.

    deconvolved:  three times: convolution, transposed convolution of stride 2, each with batch norm and ReLU
    top-down:     T_5 = project(C_5);  three times: T_l = smooth(up(T_l+1) + project(C_l)),   C_l the map of stride 2^l

Names: `FeatureExtractor/<network>/...`, the layers added below `<network>/decoder`. Object-based checkpoints of the TF
Object Detection API have the network as `_base_model` and what is added as `_feature_extractor_model`; of MobileNet v2
deconvolved, both are one model, `_network`, the first layer of which is the network.
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
    """(pixels - means) / stds, in the order blue, green, red where asked for; then what the network was trained on."""

    means: tuple[float, ...] = ()  # per channel, in the order that the network sees; empty: 0
    stds: tuple[float, ...] = ()  # empty: 1
    bgr: bool = False

    def then(self, scale: Scale) -> Scale:
        """float32 [B, H, W, 3], RGB, 0 to 255 -> what a network takes that scales by `scale`."""

        def both(images: tf.Tensor) -> tf.Tensor:
            images = tf.reverse(images, [3]) if self.bgr else images
            images = images - tf.constant(self.means) if self.means else images
            return scale(images / tf.constant(self.stds) if self.stds else images)

        return both


@dataclasses.dataclass(frozen=True)
class CenterExtractorOptions:
    """What a config says about the extractor, whatever the network. Fields are those of `CenterNetFeatureExtractor`."""

    pixels: PixelScale = PixelScale()
    depth_multiplier: float = 1.0
    separable: bool = False  # of the top-down layers over MobileNet v2
    interpolation: str = "nearest"  # how the top-down layers over MobileNet v2 enlarge: nearest or bilinear


def resnet_defaults(biased: bool) -> Hyperparams:
    """Keras's own with the epsilon of its ResNets; v1 has biases in front of batch norm, v2 none."""
    norm = BatchNormSettings(decay=0.99, epsilon=1.001e-5, center=True, scale=True)
    return dataclasses.replace(keras_defaults(), batch_norm=norm, force_bias=biased)


class Deconvolved(keras.layers.Layer):
    """The last map, enlarged: (..., float32 [B, h, w, c]) -> float32 [B, 8h, 8w, 64].

    Args:
        depths: of the three steps.
        kernel: of their convolutions.
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
        """The convolutions build themselves when first called, inside this layer's scope."""

    def call(self, maps: tuple[tf.Tensor, ...], training: bool = False) -> tf.Tensor:
        x = maps[-1]
        for part in self.parts:
            x = part(x, training=training)
        return x


class TopDown(keras.layers.Layer):
    """Maps of strides 4 to 32, from fine to coarse, -> float32 [B, h, w, c] of stride 4.

    Args:
        depths: of the projections, from coarse to fine, the coarsest map's first.
        smoothed: of the 3x3 convolutions behind the three sums.
        separable: they are depthwise separable.
        interpolation: nearest or bilinear.
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
        numbers = range(len(depths), 0, -1)  # as the levels of a pyramid are counted, 1 is the finest
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
        """In the order in which a functional Keras model counts them."""
        top, *rest = self.projections
        return (top, *(part for pair in zip(rest, self.smoothing, strict=True) for part in pair))

    def build(self, shape: object) -> None:
        """The convolutions build themselves when first called, inside this layer's scope."""

    def call(self, maps: tuple[tf.Tensor, ...], training: bool = False) -> tf.Tensor:
        x = self.projections[0](maps[-1])
        for project, smooth, features in zip(self.projections[1:], self.smoothing, maps[-2::-1], strict=True):
            x = smooth(self._enlarged(x) + project(features), training=training)
        return x

    def _enlarged(self, x: tf.Tensor) -> tf.Tensor:
        if self.interpolation == "nearest":
            return doubled(x)
        return tf.image.resize(x, 2 * tf.shape(x)[1:3], method=self.interpolation)


class CenterExtractor(keras.layers.Layer):
    """A network, and layers that enlarge its maps.

    Args:
        scope: the network's name in checkpoints.
        network: its layers.
        sources: names of those whose outputs the decoder takes, from fine to coarse.
        decoder: maps -> one map of stride 4.
        scale: pixels 0 to 255 -> what the network was trained on.
        carried: layers behind the network that are never run: checkpoints of the reference hold them, so ours do too.
            They are not trained.
        one_model: in object-based checkpoints the network and the decoder are one model.
    """

    multiple = _NETWORK_STRIDE  # sides of the image must be a multiple of it, pixels
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
        """The parts build themselves when first called, inside this layer's scope."""

    def call(self, images: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, ...]:
        """Scaled images float32 [B, H, W, 3] -> one map float32 [B, H / 4, W / 4, c]."""
        outputs = self.network(images, endpoints=self.sources, training=training)
        if self.carried is not None and not self.carried.variables:
            self.carried(outputs[self.sources[-1]])  # only so that its variables exist
        return (self.decoder(tuple(outputs[name] for name in self.sources), training=training),)

    def object_keys(self) -> dict[str, keras.Variable]:
        """The variables by their place below the extractor in an object-based checkpoint."""
        network = numbered((*self.network.blocks, *(self.carried.blocks if self.carried is not None else ())))
        # The network itself, whose variables are the base model's, is the first layer of the whole.
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
    """A stack of hourglasses, which have maps of stride 4 themselves, one each."""

    def __init__(self, network: Hourglass, multiple: int, scale: Scale) -> None:
        super().__init__(name="FeatureExtractor", autocast=False)
        self.network, self.multiple, self.scale = network, multiple, scale

    @property
    def num_outputs(self) -> int:
        """Maps, all of which are supervised."""
        return len(self.network.outputs)

    def build(self, shape: tuple[int | None, ...]) -> None:
        """The network builds itself when first called, inside this layer's scope."""

    def call(self, images: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, ...]:
        """Scaled images float32 [B, H, W, 3] -> maps float32 [B, H / 4, W / 4, c]; the last one is the best."""
        return self.network(images, training=training)

    def object_keys(self) -> dict[str, keras.Variable]:
        """The variables by their place below the extractor in an object-based checkpoint."""
        return {f"_network/{key}": variable for key, variable in self.network.object_keys().items()}


def deconvolved(depth: DepthRule, kernel: int) -> Deconvolved:
    """The decoder of ResNet v2 (kernels of 3) and MobileNet v2 (of 1)."""
    return Deconvolved(tuple(map(depth, (256, 128, 64))), kernel)
