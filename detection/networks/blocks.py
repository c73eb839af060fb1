"""Building blocks of networks: chains, branches, pools, and `Blocks`, the tuple of named blocks of a network.

All parts are layers that are called as `layer(x, training=...)`, x float32 [B, h, w, c]. The name of a layer is one
segment of the checkpoint names of its variables; layers without weights do not appear there.
"""

from __future__ import annotations

import keras
import tensorflow as tf


def doubled(x: tf.Tensor) -> tf.Tensor:
    """Nearest-neighbour upsampling by two: float32 [B, h, w, c] -> [B, 2h, 2w, c]."""
    _, height, width, depth = x.shape
    dynamic = tf.shape(x)
    height, width = height or dynamic[1], width or dynamic[2]
    repeated = tf.tile(x[:, :, tf.newaxis, :, tf.newaxis, :], [1, 1, 2, 1, 2, 1])
    return tf.reshape(repeated, [dynamic[0], 2 * height, 2 * width, depth])


class MaxPool(keras.layers.Layer):
    """Max pool, with padding SAME, VALID or EXPLICIT.

    EXPLICIT pads with zeros by an amount that depends only on the kernel, as in Keras's ResNets.
    """

    def __init__(self, name: str, kernel: int, stride: int, padding: str = "SAME") -> None:
        super().__init__(name=name, autocast=False)
        self.kernel_size, self.stride, self.padding = kernel, stride, padding

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """float32 [B, h, w, c] -> float32 [B, h', w', c]."""
        if self.padding != "EXPLICIT":
            return tf.nn.max_pool2d(x, self.kernel_size, self.stride, self.padding)
        border = [(self.kernel_size - 1) // 2, self.kernel_size // 2]
        return tf.nn.max_pool2d(tf.pad(x, [[0, 0], border, border, [0, 0]]), self.kernel_size, self.stride, "VALID")


class AvgPool(keras.layers.Layer):
    """Average pool over the pixels of each window that are inside the map; padding SAME or VALID."""

    def __init__(self, name: str, kernel: int, stride: int, padding: str = "SAME") -> None:
        super().__init__(name=name, autocast=False)
        self.kernel_size, self.stride, self.padding = kernel, stride, padding

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """float32 [B, h, w, c] -> float32 [B, h', w', c]."""
        return tf.nn.avg_pool2d(x, self.kernel_size, self.stride, self.padding)


class SpatialMean(keras.layers.Layer):
    """Mean over height and width, which are kept as axes of length 1."""

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """float32 [B, h, w, c] -> float32 [B, 1, 1, c]."""
        return tf.reduce_mean(x, axis=[1, 2], keepdims=True)


class GlobalMean(keras.layers.Layer):
    """Mean over height and width."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, autocast=False)

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """float32 [B, h, w, c] -> float32 [B, c]."""
        return tf.reduce_mean(x, axis=[1, 2])


class Dropout(keras.layers.Layer):
    """Dropout with keep probability `keep`.

    The state of its random generator is a variable, so that a resumed run draws the same masks as an uninterrupted one.
    """

    def __init__(self, name: str, keep: float) -> None:
        super().__init__(name=name, autocast=False)
        self.keep = keep
        self.generator = keras.random.SeedGenerator()

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """In training, sets values to 0 with probability 1 - `keep` and divides the others by `keep`."""
        return keras.random.dropout(x, rate=1 - self.keep, seed=self.generator) if training and self.keep < 1 else x


class Chain(keras.layers.Layer):
    """A sequence of layers under one name."""

    def __init__(self, name: str, layers: tuple[keras.layers.Layer, ...]) -> None:
        super().__init__(name=name, autocast=False)
        self.parts = tuple(layers)

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Does nothing: the parts are built when first called, inside this layer's scope."""

    def call(
        self, x: tf.Tensor, training: bool = False, taps: tuple[str, ...] = ()
    ) -> tf.Tensor | tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Runs the layers.

        Args:
            x: float32 [B, h, w, c].
            training: whether layers run in training mode.
            taps: names of layers whose outputs are returned too.

        Returns:
            The output of the last layer; with `taps`, a tuple of this and {name: output of that layer}.
        """
        tapped: dict[str, tf.Tensor] = {}
        for part in self.parts:
            x = part(x, training=training)
            if part.name in taps:
                tapped[part.name] = x
        return (x, tapped) if taps else x


class Residual(Chain):
    """A chain whose output is added to its input."""

    def call(
        self, x: tf.Tensor, training: bool = False, taps: tuple[str, ...] = ()
    ) -> tf.Tensor | tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Same as `Chain.call`, plus x; the shape is that of x."""
        y, tapped = super().call(x, training=training, taps=taps or (self.parts[-1].name,))
        return (x + y, tapped) if taps else x + y


class Branches(keras.layers.Layer):
    """Parallel layers on one input, whose outputs are concatenated along the channels (an Inception module)."""

    def __init__(self, name: str, branches: tuple[keras.layers.Layer, ...]) -> None:
        super().__init__(name=name, autocast=False)
        self.branches = tuple(branches)

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Does nothing: the branches are built when first called, inside this layer's scope."""

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """float32 [B, h, w, c] -> float32 [B, h', w', sum of the branches' channels]."""
        return tf.concat([branch(x, training=training) for branch in self.branches], axis=3)


class Blocks(keras.layers.Layer):
    """A sequence of named layers under one scope; each call selects the outputs that it returns.

    Two of these with the same name are two parts of one network: their variables share the scope.
    """

    def __init__(self, name: str, blocks: tuple[keras.layers.Layer, ...]) -> None:
        super().__init__(name=name, autocast=False)
        self.blocks = tuple(blocks)

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Does nothing: the blocks are built when first called, inside this layer's scope."""

    def call(self, x: tf.Tensor, endpoints: tuple[str, ...] = (), training: bool = False) -> dict[str, tf.Tensor]:
        """Runs the blocks up to the last endpoint.

        Args:
            x: float32 [B, h, w, c].
            endpoints: names of the outputs to return: the name of a block, or `block/layer` for a layer inside a block
                with taps (`Chain`); by default all blocks.
            training: whether layers run in training mode.

        Returns:
            {name: output} for each endpoint.

        Raises:
            ValueError: there is no such endpoint.
        """
        requested = set(endpoints or (block.name for block in self.blocks))
        outputs: dict[str, tf.Tensor] = {}
        for block in self.blocks:
            taps = tuple(name.partition("/")[2] for name in sorted(requested) if name.startswith(f"{block.name}/"))
            if taps:
                x, tapped = block(x, training=training, taps=taps)
                outputs |= {f"{block.name}/{tap}": features for tap, features in tapped.items()}
            else:
                x = block(x, training=training)
            if block.name in requested:
                outputs[block.name] = x
            if len(outputs) == len(requested):
                return outputs
        missing = sorted(requested - set(outputs))
        raise ValueError(f"{self.name} has no block {missing}; it has {[block.name for block in self.blocks]}")
