"""How layers become a network: chains, branches, pools, and `Blocks`, the ordered tuple of named blocks that every
network is.

Whatever stands in a tuple here is a layer called as `layer(x, training=...)`, x float32 [B, h, w, c]. The name of a
layer is one segment of the checkpoint names of what it holds; layers without weights leave no trace there.
"""

from __future__ import annotations

import keras
import tensorflow as tf


def doubled(x: tf.Tensor) -> tf.Tensor:
    """Every pixel four times: float32 [B, h, w, c] -> [B, 2h, 2w, c], the nearest neighbour's value."""
    _, height, width, depth = x.shape
    dynamic = tf.shape(x)
    height, width = height or dynamic[1], width or dynamic[2]
    repeated = tf.tile(x[:, :, tf.newaxis, :, tf.newaxis, :], [1, 1, 2, 1, 2, 1])
    return tf.reshape(repeated, [dynamic[0], 2 * height, 2 * width, depth])


class MaxPool(keras.layers.Layer):
    """Largest value of every window; padding SAME, VALID, or EXPLICIT: a border of zeros that depends on the kernel
    alone, as Keras's ResNets have it."""

    def __init__(self, name: str, kernel: int, stride: int, padding: str = "SAME") -> None:
        super().__init__(name=name, autocast=False)
        self.kernel_size, self.stride, self.padding = kernel, stride, padding

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        if self.padding != "EXPLICIT":
            return tf.nn.max_pool2d(x, self.kernel_size, self.stride, self.padding)
        border = [(self.kernel_size - 1) // 2, self.kernel_size // 2]
        return tf.nn.max_pool2d(tf.pad(x, [[0, 0], border, border, [0, 0]]), self.kernel_size, self.stride, "VALID")


class AvgPool(keras.layers.Layer):
    """Mean of every window, over the pixels that exist; padding SAME or VALID."""

    def __init__(self, name: str, kernel: int, stride: int, padding: str = "SAME") -> None:
        super().__init__(name=name, autocast=False)
        self.kernel_size, self.stride, self.padding = kernel, stride, padding

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        return tf.nn.avg_pool2d(x, self.kernel_size, self.stride, self.padding)


class SpatialMean(keras.layers.Layer):
    """Mean over height and width, which stay as axes of length 1."""

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        return tf.reduce_mean(x, axis=[1, 2], keepdims=True)


class GlobalMean(keras.layers.Layer):
    """Mean over height and width: float32 [B, h, w, c] -> [B, c]."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, autocast=False)

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        return tf.reduce_mean(x, axis=[1, 2])


class Dropout(keras.layers.Layer):
    """Zeroes a share 1 - `keep` of the values in training and scales the others up. Its random generator is a variable,
    so that a resumed run repeats itself."""

    def __init__(self, name: str, keep: float) -> None:
        super().__init__(name=name, autocast=False)
        self.keep = keep
        self.generator = keras.random.SeedGenerator()

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        return keras.random.dropout(x, rate=1 - self.keep, seed=self.generator) if training and self.keep < 1 else x


class Chain(keras.layers.Layer):
    """Layers one after the other under one name.

    Args of call: taps: names of layers whose outputs are wanted besides the last one; then the result is (output,
    {name: output of that layer}).
    """

    def __init__(self, name: str, layers: tuple[keras.layers.Layer, ...]) -> None:
        super().__init__(name=name, autocast=False)
        self.parts = tuple(layers)

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Does nothing: the parts are built when first called, inside this layer's scope."""

    def call(
        self, x: tf.Tensor, training: bool = False, taps: tuple[str, ...] = ()
    ) -> tf.Tensor | tuple[tf.Tensor, dict[str, tf.Tensor]]:
        tapped: dict[str, tf.Tensor] = {}
        for part in self.parts:
            x = part(x, training=training)
            if part.name in taps:
                tapped[part.name] = x
        return (x, tapped) if taps else x


class Residual(Chain):
    """A chain whose output is added to its input: float32 [B, h, w, c] -> the same shape."""

    def call(
        self, x: tf.Tensor, training: bool = False, taps: tuple[str, ...] = ()
    ) -> tf.Tensor | tuple[tf.Tensor, dict[str, tf.Tensor]]:
        y, tapped = super().call(x, training=training, taps=taps or (self.parts[-1].name,))
        return (x + y, tapped) if taps else x + y


class Branches(keras.layers.Layer):
    """Layers side by side on one input, their outputs joined along the channels (an Inception module)."""

    def __init__(self, name: str, branches: tuple[keras.layers.Layer, ...]) -> None:
        super().__init__(name=name, autocast=False)
        self.branches = tuple(branches)

    def build(self, shape: tuple[int | None, ...]) -> None:
        """The branches build themselves when first called, inside this layer's scope."""

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        return tf.concat([branch(x, training=training) for branch in self.branches], axis=3)


class Blocks(keras.layers.Layer):
    """Named layers run one after the other under one scope; which outputs are wanted is said per call.

    Two of these with one name are two parts of one network: their variables share the scope.
    """

    def __init__(self, name: str, blocks: tuple[keras.layers.Layer, ...]) -> None:
        super().__init__(name=name, autocast=False)
        self.blocks = tuple(blocks)

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Blocks build themselves when first called, inside this layer's scope."""

    def call(self, x: tf.Tensor, endpoints: tuple[str, ...] = (), training: bool = False) -> dict[str, tf.Tensor]:
        """x float32 [B, h, w, c] -> {name: output} for `endpoints`, by default every block; stops after the last one
        wanted.

        An endpoint is the name of a block, or `block/layer` for a layer inside a block that has taps (`Chain`).
        """
        wanted = set(endpoints or (block.name for block in self.blocks))
        outputs: dict[str, tf.Tensor] = {}
        for block in self.blocks:
            taps = tuple(name.partition("/")[2] for name in sorted(wanted) if name.startswith(f"{block.name}/"))
            if taps:
                x, tapped = block(x, training=training, taps=taps)
                outputs |= {f"{block.name}/{tap}": features for tap, features in tapped.items()}
            else:
                x = block(x, training=training)
            if block.name in wanted:
                outputs[block.name] = x
            if len(outputs) == len(wanted):
                return outputs
        raise ValueError(
            f"{self.name} has no block {sorted(wanted - set(outputs))}; it has {[block.name for block in self.blocks]}"
        )
