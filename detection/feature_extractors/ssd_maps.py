"""SSD's feature maps on any network: maps of the network, then extra maps, each half the size of the one before.

Liu et al. 2016 (SSD), section 2.1; the survey (Huang et al. 2017), section 3.1: "additional feature maps ... decaying
spatial resolution". Every extra map is a 1x1 convolution to half its depth and a 3x3 convolution of stride 2, named
after the last layer of the network:

    <last>_1_Conv2d_<i>_1x1_<depth / 2>     <last>_2_Conv2d_<i>_3x3_s2_<depth>      i = index of the map
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import keras
import tensorflow as tf

from detection.networks.blocks import Blocks
from detection.networks.hyperparams import Hyperparams
from detection.networks.keras_layers import listed, numbered
from detection.networks.layers import Conv, DepthwiseConv, SeparableConv


@dataclasses.dataclass(frozen=True)
class FpnOptions:
    """Fields of the message `FeaturePyramidNetworks`."""

    min_level: int = 3
    max_level: int = 7
    depth: int = 256  # at depth multiplier 1


@dataclasses.dataclass(frozen=True)
class BifpnOptions:
    """Fields of the message `BidirectionalFeaturePyramidNetworks`."""

    min_level: int = 3
    max_level: int = 7
    iterations: int = 0  # number of top-down and bottom-up passes; 0: the number published with the network
    depth: int = 0  # channels at depth multiplier 1; 0: the number published with the network
    combine: str = "fast_attention"


@dataclasses.dataclass(frozen=True)
class SsdExtractorOptions:
    """Options of the extractor in an SSD config, for all networks. Fields are those of `SsdFeatureExtractor`."""

    hyperparams: Hyperparams  # of the extra layers
    override_base: bool = False  # use them in the network too, instead of the network's own
    depth_multiplier: float = 1.0
    min_depth: int = 16
    pad_to_multiple: int = 1
    explicit_padding: bool = False
    depthwise: bool = False
    num_maps: int = 6
    freeze_batch_norm: bool = False
    keras_form: bool = False  # the form of the Keras models of the TF Object Detection API
    fpn: FpnOptions | None = None  # for extractors with a feature pyramid; None: its defaults
    bifpn: BifpnOptions | None = None  # for those with a bidirectional one; None: the one published with the network

    @property
    def padding(self) -> str:
        """Padding of the convolutions, SAME or EXPLICIT."""
        return "EXPLICIT" if self.explicit_padding else "SAME"

    def base_hyperparams(self, defaults: Hyperparams) -> Hyperparams:
        """Returns the hyperparameters of the network itself, given its own, `defaults`."""
        chosen = self.hyperparams if self.override_base else defaults.as_keras() if self.keras_form else defaults
        return chosen.frozen() if self.freeze_batch_norm else chosen

    def as_keras(self) -> SsdExtractorOptions:
        """Returns the options for the Keras form of an extractor."""
        hyperparams = self.hyperparams.as_keras()
        return dataclasses.replace(
            self, hyperparams=hyperparams.frozen() if self.freeze_batch_norm else hyperparams, keras_form=True
        )


def extra_blocks(
    last: str,
    first_index: int,
    depths: tuple[int, ...],
    depth: Callable[[float], int],
    options: SsdExtractorOptions,
    kernels: tuple[int, ...] = (),
) -> tuple[tuple[keras.layers.Layer, ...], tuple[str, ...]]:
    """Returns the layers of the extra maps, and the names of those whose outputs are the maps.

    Args:
        last: name of the network's last layer, after which the extra layers are named.
        first_index: index of the first extra map in the list of all maps.
        depths: channels of each extra map at depth multiplier 1.
        depth: channels at depth multiplier 1 -> number of channels.
        options: hyperparameters, padding, and whether the 3x3 convolutions are depthwise separable.
        kernels: kernel sizes of these convolutions; empty: 3.
    """
    hyper, layers, maps = options.hyperparams, [], []
    for index, table_depth in enumerate(depths, start=first_index):
        half, full = depth(table_depth / 2), depth(table_depth)
        layers.append(Conv(f"{last}_1_Conv2d_{index}_1x1_{half}", half, 1, hyper))
        side = kernels[index - first_index] if kernels else 3
        name = f"{last}_2_Conv2d_{index}_{side}x{side}_s2_{full}"
        if options.depthwise and options.keras_form:
            layers.append(SeparableConv(name, full, side, 1, hyper, stride=2, padding=options.padding))
        elif options.depthwise:
            layers.append(DepthwiseConv(f"{name}_depthwise", side, hyper, stride=2, padding=options.padding))
            layers.append(Conv(name, full, 1, hyper))
        else:
            layers.append(Conv(name, full, side, hyper, stride=2, padding=options.padding))
        maps.append(name)
    return tuple(layers), tuple(maps)


class L2Norm(keras.layers.Layer):
    """Scales the features of every cell to unit length times a learnt scale (ParseNet; Liu et al. 2016, section 3.1).

    In a network without batch norm, the values of early maps are many times larger than those of late ones, so that one
    learning rate does not suit both.

    Args:
        name: name of the layer.
        initial: initial value of the scale, which is learnt for each channel.
    """

    def __init__(self, name: str, initial: float = 20.0) -> None:
        super().__init__(name=name, autocast=False)
        self.initial = initial

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Creates the scale, one for each channel."""
        self.scale = self.add_weight(
            name="scale", shape=(shape[-1],), initializer=keras.initializers.Constant(self.initial)
        )

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """float32 [B, h, w, c] -> the same shape."""
        return tf.math.l2_normalize(x, axis=3, epsilon=1e-10) * self.scale


class SsdFeatureExtractor(keras.layers.Layer):
    """A network and the extra layers behind it; both are in the network's scope, below `FeatureExtractor`.

    Args:
        scope: the network's name in checkpoints.
        network: layers of the network; the extra layers take the output of the last one.
        sources: names of the blocks (or `block/layer`) of the network whose outputs are maps.
        extra: layers behind the network.
        extra_maps: names of the layers of `extra` whose outputs are maps.
        scale: pixels 0 to 255 -> the input range that the network was trained with, elementwise, float32 [B, H, W, 3].
        options: the extractor's options in the config, of which padding and `keras_form` are used.
        normalized: the `sources` to which `L2Norm` is applied, called `<source>_l2_norm` in checkpoints.
    """

    def __init__(
        self,
        scope: str,
        network: tuple[keras.layers.Layer, ...],
        sources: tuple[str, ...],
        extra: tuple[keras.layers.Layer, ...],
        extra_maps: tuple[str, ...],
        scale: Callable[[tf.Tensor], tf.Tensor],
        options: SsdExtractorOptions,
        normalized: tuple[str, ...] = (),
    ) -> None:
        super().__init__(name="FeatureExtractor", autocast=False)
        self.network, self.extra = Blocks(scope, network), Blocks(scope, extra)
        self.sources, self.extra_maps = sources, extra_maps
        self.last = network[-1].name
        self.scale, self.pad_to_multiple, self.explicit_padding = (
            scale,
            options.pad_to_multiple,
            options.explicit_padding,
        )
        self.keras_form = options.keras_form
        self.normalized = tuple(name for name in normalized if name in sources)
        self.norms = tuple(L2Norm(f"{name}_l2_norm") for name in self.normalized)
        self.num_maps = len(sources) + len(extra_maps)

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Does nothing: the parts are built when first called, inside this layer's scope."""

    def call(self, images: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, ...]:
        """Scaled images float32 [B, H, W, 3] -> maps float32 [B, h, w, c], from fine to coarse."""
        images = pad_to_multiple(images, self.pad_to_multiple)
        outputs = self.network(images, endpoints=(*self.sources, self.last), training=training)
        norms = dict(zip(self.normalized, self.norms, strict=True))
        maps = [norms[name](outputs[name]) if name in norms else outputs[name] for name in self.sources]
        if self.extra_maps:
            outputs = self.extra(outputs[self.last], endpoints=self.extra_maps, training=training)
            maps += [outputs[name] for name in self.extra_maps]
        return tuple(maps)

    def object_keys(self) -> dict[str, keras.Variable]:
        """Returns the variables, keyed by their path below the extractor in an object-based checkpoint.

        There, the two convolutions of every extra map are a list, with a layer for explicit padding between them.
        """
        backbone = numbered(self.network.blocks)
        keys = {f"classification_backbone/{key}": variable for key, variable in backbone.items()}
        pairs = zip(self.extra.blocks[::2], self.extra.blocks[1::2], strict=True)
        for number, (reduce, halve) in enumerate(pairs, start=len(self.sources)):
            one = listed((reduce,))
            behind = 3 if reduce.batch_norm is not None else 2
            both = one | listed((halve,), behind + int(self.explicit_padding))
            keys |= {f"feature_map_generator/convolutions/{number}/{key}": each for key, each in both.items()}
        return keys


def pad_to_multiple(images: tf.Tensor, multiple: int) -> tf.Tensor:
    """Pads float32 [B, H, W, 3] with zeros at the bottom and right, to multiples of `multiple` pixels."""
    if multiple == 1:
        return images
    height, width = (images.shape[axis] or tf.shape(images)[axis] for axis in (1, 2))
    return tf.pad(images, [[0, 0], [0, -height % multiple], [0, -width % multiple], [0, 0]])


def make(
    scope: str,
    network: tuple[keras.layers.Layer, ...],
    sources: tuple[str, ...],
    extra_depths: tuple[int, ...],
    depth: Callable[[float], int],
    scale: Callable[[tf.Tensor], tf.Tensor],
    options: SsdExtractorOptions,
    normalized: tuple[str, ...] = (),
    extra_name: str | None = None,
    extra_kernels: tuple[int, ...] = (),
) -> SsdFeatureExtractor:
    """Returns the extractor with `options.num_maps` maps: first the sources, then as many extra maps as are needed.

    Args:
        scope: the network's name in checkpoints.
        network: layers of the network.
        sources: names of the blocks (or `block/layer`) of the network whose outputs are maps.
        extra_depths: channels of each extra map at depth multiplier 1.
        depth: channels at depth multiplier 1 -> number of channels.
        scale: pixels 0 to 255 -> the input range that the network was trained with.
        options: the extractor's options in the config.
        normalized: the `sources` to which `L2Norm` is applied.
        extra_name: the name after which the extra layers are named; None: that of the network's last layer.
        extra_kernels: kernel sizes of the strided extra layers; empty: 3.
    """
    sources = sources[: options.num_maps]
    depths = extra_depths[: options.num_maps - len(sources)]
    extra, extra_maps = extra_blocks(
        extra_name or network[-1].name, len(sources), depths, depth, options, extra_kernels
    )
    return SsdFeatureExtractor(scope, network, sources, extra, extra_maps, scale, options, normalized)
