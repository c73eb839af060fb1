"""Feature pyramid network (Lin et al. 2017, section 3) with coarse levels above it (RetinaNet, footnote 2).

    C_l  map of level l of the network          T_top = project(C_top),   T_l = project(C_l) + upsample(T_l+1)
    P_l  map of level l of the pyramid          P_top = T_top,            P_l = smooth(T_l)
                                                above the network: P_l = stride-2 convolution of P_l-1

project is 1x1 with bias, without activation; smooth is 3x3 with batch norm and activation, upsample repeats pixels. As
in the TF Object Detection API, the topmost map of the network is only projected, so the coarse levels start from a map
without activation. Names: `fpn/projection_<n>`, `fpn/smoothing_<n>`, n = 1 for the finest map.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from detection.feature_extractors.pyramids.extractor import PyramidExtractor
from detection.feature_extractors.pyramids.levels import Levels, NetworkLevels
from detection.feature_extractors.pyramids.upsampling import upsampled
from detection.feature_extractors.ssd_maps import FpnOptions, SsdExtractorOptions
from detection.networks.hyperparams import Hyperparams
from detection.networks.keras_layers import listed
from detection.networks.layers import Conv, SeparableConv


class Fpn(keras.layers.Layer):
    """A feature pyramid network.

    Args:
        num_maps: number of maps of the network.
        coarse: names of the layers above the network, one for each coarse map.
        depth: channels of every map of the pyramid.
        hyperparams: hyperparameters of every convolution; projections are linear.
        depthwise: whether 3x3 convolutions are depthwise separable.
        explicit_padding: whether 3x3 convolutions have EXPLICIT padding (`networks.layers`).
        smoothed_down: whether P_l+1 is upsampled, not T_l+1, as in the Keras models of the TF Object Detection API.
    """

    def __init__(
        self,
        num_maps: int,
        coarse: tuple[str, ...],
        depth: int,
        hyperparams: Hyperparams,
        depthwise: bool = False,
        explicit_padding: bool = False,
        smoothed_down: bool = False,
    ) -> None:
        super().__init__(name="fpn", autocast=False)
        self.explicit_padding, self.smoothed_down = explicit_padding, smoothed_down
        padding = "EXPLICIT" if explicit_padding else "SAME"

        def block(name: str, stride: int) -> keras.layers.Layer:
            if depthwise:
                return SeparableConv(name, depth, 3, 1, hyperparams, stride=stride, padding=padding)
            return Conv(name, depth, 3, hyperparams, stride=stride, padding=padding)

        numbers = range(1, num_maps + 1)
        self.projections = tuple(Conv(f"projection_{n}", depth, 1, hyperparams.linear()) for n in numbers)
        self.smoothing = tuple(block(f"smoothing_{n}", 1) for n in numbers[:-1])
        self.coarse = tuple(block(name, 2) for name in coarse)
        self.num_maps = num_maps + len(coarse)

    def build(self, shape: object) -> None:
        """Does nothing: the convolutions are built when first called, inside this layer's scope."""

    def call(self, maps: tuple[tf.Tensor, ...], training: bool = False) -> tuple[tf.Tensor, ...]:
        """Maps of the network, float32 [B, h, w, c] each, from fine to coarse -> maps of the pyramid, likewise."""
        *finer, coarsest = zip(self.projections, maps, strict=True)
        top_down = coarsest[0](coarsest[1])
        pyramid = [top_down]
        for smooth, (project, features) in zip(reversed(self.smoothing), reversed(finer), strict=True):
            lateral = project(features)
            total = lateral + upsampled(top_down, lateral)
            smoothed = smooth(total, training=training)
            pyramid.insert(0, smoothed)
            top_down = smoothed if self.smoothed_down else total
        for convolve in self.coarse:
            pyramid.append(convolve(pyramid[-1], training=training))
        return tuple(pyramid)

    def object_keys(self) -> dict[str, keras.Variable]:
        """Returns the variables, keyed by their path below the extractor in an object-based checkpoint.

        There, a layer for explicit padding comes before each 3x3 convolution.
        """
        first = 1 if self.explicit_padding else 0
        keys = {f"_fpn_features_generator/{key}": variable for key, variable in self.generator_keys().items()}
        for number, layer in enumerate(self.coarse):
            keys |= {f"_coarse_feature_layers/{number}/{key}": each for key, each in listed((layer,), first).items()}
        return keys

    def generator_keys(self) -> dict[str, keras.Variable]:
        """Returns the variables without those of the coarse levels, keyed by their path below the pyramid.

        The finest map is the last one there.
        """
        first = 1 if self.explicit_padding else 0
        top, finer = self.projections[-1], self.projections[-2::-1]
        parts = {"top_layers": listed((top,))}
        for path, layers, before in (
            ("residual_blocks", finer, 0),
            ("conv_layers", self.smoothing[::-1], first),
        ):
            parts |= {f"{path}/{number}": listed((layer,), before) for number, layer in enumerate(layers)}
        return {f"{path}/{key}": variable for path, part in parts.items() for key, variable in part.items()}


def ssd(options: SsdExtractorOptions, levels: Levels, keras_form: bool = False) -> PyramidExtractor:
    """Returns the SSD extractor with a feature pyramid on the network that `levels` returns."""
    options = options.as_keras() if keras_form else options
    below = levels(options)
    return PyramidExtractor(below, *build_fpn(below, options), options)


def build_fpn(below: NetworkLevels, options: SsdExtractorOptions) -> tuple[range, Fpn]:
    """Returns the levels of the network `below` that the pyramid takes, and the pyramid."""
    fpn = options.fpn or FpnOptions()
    taken = range(fpn.min_level, min(fpn.max_level, max(below.endpoints)) + 1)
    pyramid = Fpn(
        num_maps=len(taken),
        coarse=below.coarse_names(fpn.max_level - taken[-1]),
        depth=below.depth(fpn.depth),
        hyperparams=options.hyperparams,
        depthwise=options.depthwise,
        explicit_padding=options.explicit_padding,
        smoothed_down=options.keras_form,
    )
    return taken, pyramid
