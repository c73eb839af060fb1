"""Stacked hourglass networks (Newell et al. 2016), as modified in CornerNet (Law and Deng 2018, section 3.5).

Residuals have two 3x3 convolutions, and maps are halved by strides instead of pooling.

    stage_d(x) = residuals(x) + up(decode(inner(down(x)))),   inner = stage_d-1, or residuals in the middle
    network:     x_0 = stem(x) at stride 4;   o_i = output_i(hourglass_i(x_i)),
                 x_i+1 = residual(relu(a_i(x_i) + b_i(o_i)))

residuals keep the size, down halves it in its first residual, up repeats pixels. Every hourglass has an output; all of
them are supervised, and detections use the last one. Names are specific to this project; keys in object-based
checkpoints are those of the TF Object Detection API.
"""

from __future__ import annotations

import dataclasses

import keras
import tensorflow as tf

from detection.networks.blocks import Chain, doubled
from detection.networks.depths import DepthRule
from detection.networks.hyperparams import BatchNormSettings, Hyperparams
from detection.networks.keras_layers import norm_variables
from detection.networks.layers import Conv

STEM_STRIDE = 4
Keys = dict[str, keras.Variable]


@dataclasses.dataclass(frozen=True)
class Design:
    """Numbers of residuals and channels of each stage; the last entry is the innermost stage.

    Attributes:
        stem: channels of the first convolution.
        depths: channels of each stage.
        residuals: number of residuals of each stage.
        hourglasses: number of stacked hourglasses.
    """

    stem: int
    depths: tuple[int, ...]
    residuals: tuple[int, ...]
    hourglasses: int = 1

    @property
    def multiple(self) -> int:
        """Image height and width must be multiples of this, pixels, so that the innermost stage has whole cells."""
        return STEM_STRIDE << (len(self.depths) - 1)


def _single(channels: int, factors: tuple[int, ...], residuals: tuple[int, ...]) -> Design:
    return Design(channels, tuple(channels * factor for factor in factors), residuals)


# By the number of layers on the longest path through the network.
DESIGNS: dict[int, Design] = {
    10: _single(32, (2, 2), (1, 1)),
    20: _single(48, (2, 2, 3), (1, 2, 2)),
    32: _single(48, (2, 2, 3, 3), (2, 2, 2, 2)),
    52: _single(64, (2, 2, 3, 3, 3, 4), (2, 2, 2, 2, 2, 4)),
    100: _single(64, (2, 2, 3, 3, 3, 4), (4, 4, 4, 4, 4, 8)),
    104: Design(128, (256, 256, 384, 384, 384, 512), (2, 2, 2, 2, 2, 4), hourglasses=2),
}


def training_defaults() -> Hyperparams:
    """Returns the hyperparameters that the TF Object Detection API trains the network with.

    The decay of batch norm's moving averages is 0.1, so that they follow the last batches closely.
    """
    return Hyperparams(
        initializer=keras.initializers.GlorotUniform(),
        activation=tf.nn.relu,
        batch_norm=BatchNormSettings(decay=0.1, epsilon=1e-5, center=True, scale=True),
    )


class Residual(keras.layers.Layer):
    """relu(skip(x) + conv2(conv1(x))).

    Args:
        name: name of the block.
        depth: channels of the output.
        hyperparams: hyperparameters of every convolution.
        stride: stride of conv1 and skip.
        skip: whether skip is a convolution; otherwise it is the identity.
    """

    def __init__(self, name: str, depth: int, hyperparams: Hyperparams, stride: int = 1, skip: bool = False) -> None:
        super().__init__(name=name, autocast=False)
        linear = dataclasses.replace(hyperparams, activation=None)
        self.conv1 = Conv("conv1", depth, 3, hyperparams, stride=stride, padding="EXPLICIT")
        self.conv2 = Conv("conv2", depth, 3, linear)
        self.skip = Conv("skip", depth, 1, linear, stride=stride) if skip else None
        self.activation = hyperparams.activation

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Does nothing: the convolutions are built when first called, inside this layer's scope."""

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """float32 [B, h, w, c] -> float32 [B, ceil(h / stride), ceil(w / stride), depth]."""
        y = self.conv2(self.conv1(x, training=training), training=training)
        return self.activation(y + (x if self.skip is None else self.skip(x, training=training)))

    def object_keys(self) -> Keys:
        """Returns the variables, keyed by their path below the residual in an object-based checkpoint."""
        skip = {} if self.skip is None else _below("skip", _conv_keys(self.skip))
        return {**_below("conv_block", _conv_keys(self.conv1)), **_conv_keys(self.conv2), **skip}


class Stage(keras.layers.Layer):
    """A stage, including the stages inside it; its input must have an even height and width.

    Args:
        name: name of the stage.
        depths: channels of this stage and of those inside it.
        counts: number of residuals of this stage and of those inside it.
        hyperparams: hyperparameters of every convolution.
    """

    def __init__(self, name: str, depths: tuple[int, ...], counts: tuple[int, ...], hyperparams: Hyperparams) -> None:
        super().__init__(name=name, autocast=False)
        depth, lower = depths[:2]
        self.around = _residuals("around", depth, counts[0], hyperparams)
        self.down = _residuals("down", lower, counts[0], hyperparams, stride=2)
        self.inner = (
            Stage("inner", depths[1:], counts[1:], hyperparams)
            if len(depths) > 2
            else _residuals("inner", lower, counts[1], hyperparams)
        )
        self.up = _residuals("up", depth, counts[0], hyperparams, before=lower)

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Does nothing: the parts are built when first called, inside this layer's scope."""

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """float32 [B, h, w, c] -> the same shape."""
        lower = self.inner(self.down(x, training=training), training=training)
        return self.around(x, training=training) + doubled(self.up(lower, training=training))

    def object_keys(self) -> Keys:
        """Returns the variables, keyed by their path below the stage in an object-based checkpoint."""
        inner = _below("0", self.inner.object_keys()) if isinstance(self.inner, Stage) else _listed(self.inner)
        parts = {"encoder_block1": _listed(self.around), "encoder_block2": _listed(self.down), "inner_block": inner}
        parts["decoder_block"] = _listed(self.up)
        return {key: each for name, keys in parts.items() for key, each in _below(name, keys).items()}


class Hourglass(keras.layers.Layer):
    """A network of stacked hourglasses.

    Args:
        name: name of the network, its scope in checkpoints.
        design: one of `DESIGNS`.
        hyperparams: hyperparameters of every convolution.
        depth: channels at depth multiplier 1 -> number of channels.
    """

    def __init__(self, name: str, design: Design, hyperparams: Hyperparams, depth: DepthRule) -> None:
        super().__init__(name=name, autocast=False)
        depths = tuple(map(depth, design.depths))
        first, linear = depths[0], dataclasses.replace(hyperparams, activation=None)
        numbers, between = range(design.hourglasses), range(design.hourglasses - 1)
        self.stem = Conv("stem", depth(design.stem), 7, hyperparams, stride=2, padding="EXPLICIT")
        self.stem_residual = Residual("stem_residual", first, hyperparams, stride=2, skip=True)
        self.stages = tuple(Stage(f"hourglass_{n}", depths, design.residuals, hyperparams) for n in numbers)
        self.outputs = tuple(Conv(f"output_{n}", first, 3, hyperparams, padding="EXPLICIT") for n in numbers)
        self.from_input = tuple(Conv(f"from_input_{n}", first, 1, linear) for n in between)
        self.from_output = tuple(Conv(f"from_output_{n}", first, 1, linear) for n in between)
        self.merged = tuple(Residual(f"merged_{n}", first, hyperparams) for n in between)
        self.activation = hyperparams.activation

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Does nothing: the parts are built when first called, inside this layer's scope."""

    def call(self, x: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, ...]:
        """Scaled images float32 [B, H, W, 3] -> one map per hourglass, float32 [B, H / 4, W / 4, depth] each."""
        x = self.stem_residual(self.stem(x, training=training), training=training)
        outputs: list[tf.Tensor] = []
        for number, (stage, convolve) in enumerate(zip(self.stages, self.outputs, strict=True)):
            outputs.append(convolve(stage(x, training=training), training=training))
            if number < len(self.merged):
                both = self.from_input[number](x, training=training) + self.from_output[number](
                    outputs[-1], training=training
                )
                x = self.merged[number](self.activation(both), training=training)
        return tuple(outputs)

    def object_keys(self) -> Keys:
        """Returns the variables, keyed by their path below the network in an object-based checkpoint."""
        parts = {"downsample_input/conv_block": _conv_keys(self.stem)}
        parts["downsample_input/residual_block"] = self.stem_residual.object_keys()
        parts |= {f"hourglass_network/{n}": stage.object_keys() for n, stage in enumerate(self.stages)}
        parts |= {f"intermediate_residual/{n}": residual.object_keys() for n, residual in enumerate(self.merged)}
        for name, convs in (
            ("output_conv", self.outputs),
            ("intermediate_conv1", self.from_input),
            ("intermediate_conv2", self.from_output),
        ):
            parts |= {f"{name}/{n}": _conv_keys(conv) for n, conv in enumerate(convs)}
        return {key: each for name, keys in parts.items() for key, each in _below(name, keys).items()}


def _residuals(
    name: str, depth: int, count: int, hyperparams: Hyperparams, stride: int = 1, before: int | None = None
) -> Chain:
    """Returns `count` residuals, the first of which strides; all but the last have `before` channels, if given."""
    before = before or depth
    made = [
        Residual(f"residual_{n}", before, hyperparams, stride if n == 0 else 1, skip=n == 0 and stride > 1)
        for n in range(count - 1)
    ]
    alone = count == 1
    last = Residual(
        f"residual_{count - 1}",
        depth,
        hyperparams,
        stride if alone else 1,
        skip=stride > 1 if alone else before != depth,
    )
    return Chain(name, (*made, last))


def _conv_keys(conv: Conv) -> Keys:
    return {"conv/kernel": conv.kernel, **_below("norm", norm_variables(conv.batch_norm))}


def _listed(chain: Chain) -> Keys:
    return {key: each for n, part in enumerate(chain.parts) for key, each in _below(str(n), part.object_keys()).items()}


def _below(path: str, keys: Keys) -> Keys:
    return {f"{path}/{key}": each for key, each in keys.items()}
