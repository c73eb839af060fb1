"""Hourglass networks against their definition in plain operations, reading the weights by their keys in object-based
checkpoints of the TF Object Detection API; and how deep the named ones are."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from detection.networks import hourglass
from detection.networks.depths import depth_rule

DESIGN = hourglass.Design(8, (8, 8, 12), (1, 2, 2), hourglasses=2)


class ByHand:
    """The original's structure; `values` are the arrays by key."""

    def __init__(self, values: dict[str, np.ndarray]) -> None:
        self.values, self.read = values, set()

    def _take(self, key: str) -> np.ndarray:
        self.read.add(key)
        return self.values[key]

    def conv(self, x: tf.Tensor, path: str, stride: int = 1, relu: bool = True) -> tf.Tensor:
        kernel = self._take(f"{path}conv/kernel")
        pad = kernel.shape[0] // 2
        y = tf.nn.conv2d(tf.pad(x, [[0, 0], [pad, pad], [pad, pad], [0, 0]]), kernel, stride, "VALID")
        parts = (self._take(f"{path}norm/{part}") for part in ("moving_mean", "moving_variance", "beta", "gamma"))
        y = tf.nn.batch_normalization(y, *parts, 1e-5)
        return tf.nn.relu(y) if relu else y

    def residual(self, x: tf.Tensor, path: str, stride: int = 1) -> tf.Tensor:
        y = self.conv(self.conv(x, f"{path}conv_block/", stride), path, relu=False)
        if f"{path}skip/conv/kernel" in self.values:
            x = self.conv(x, f"{path}skip/", stride, relu=False)
        return tf.nn.relu(x + y)

    def residuals(self, x: tf.Tensor, path: str, stride: int = 1) -> tf.Tensor:
        number = 0
        while f"{path}{number}/conv/kernel" in self.values:
            x = self.residual(x, f"{path}{number}/", stride if number == 0 else 1)
            number += 1
        assert number
        return x

    def stage(self, x: tf.Tensor, path: str) -> tf.Tensor:
        lower = self.residuals(x, f"{path}encoder_block2/", 2)
        inner = f"{path}inner_block/"
        deeper = any(key.startswith(f"{inner}0/encoder_block1") for key in self.values)
        lower = self.stage(lower, f"{inner}0/") if deeper else self.residuals(lower, inner)
        lower = self.residuals(lower, f"{path}decoder_block/")
        up = tf.repeat(tf.repeat(lower, 2, axis=1), 2, axis=2)
        return self.residuals(x, f"{path}encoder_block1/") + up

    def __call__(self, x: tf.Tensor, count: int) -> list[tf.Tensor]:
        x = self.conv(x, "downsample_input/conv_block/", 2)
        x = self.residual(x, "downsample_input/residual_block/", 2)
        outputs = []
        for n in range(count):
            outputs.append(self.conv(self.stage(x, f"hourglass_network/{n}/"), f"output_conv/{n}/"))
            if n + 1 < count:
                both = self.conv(x, f"intermediate_conv1/{n}/", relu=False)
                both += self.conv(outputs[-1], f"intermediate_conv2/{n}/", relu=False)
                x = self.residual(tf.nn.relu(both), f"intermediate_residual/{n}/")
        return outputs


def test_equals_its_definition() -> None:
    network = hourglass.Hourglass("hourglass", DESIGN, hourglass.training_defaults(), depth_rule(1.0, 1))
    images = tf.random.stateless_uniform([2, DESIGN.multiple * 2, DESIGN.multiple * 3, 3], [1, 2], -1, 1)
    network(images)
    random = np.random.default_rng(0)
    for variable in network.variables:
        if len(variable.shape) == 1:
            variable.assign(variable + random.uniform(0.0, 0.2, variable.shape))
    keys = network.object_keys()
    assert len(keys) == len({id(variable) for variable in keys.values()}) == len(network.variables)
    by_hand = ByHand({key: variable.numpy() for key, variable in keys.items()})
    for found, expected in zip(network(images), by_hand(images, DESIGN.hourglasses), strict=True):
        assert found.shape == (2, DESIGN.multiple // 2, DESIGN.multiple * 3 // 4, 8)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert by_hand.read == set(keys)


@pytest.mark.parametrize("layers", sorted(hourglass.DESIGNS))
def test_a_network_is_named_after_its_depth(layers: int) -> None:
    """Convolutions on the longest way: three of the stem; down, up and in the middle two a residual; one of each
    output, and three between hourglasses."""
    design = hourglass.DESIGNS[layers]
    inside = sum(4 * count for count in design.residuals[:-1]) + 2 * design.residuals[-1]
    assert 3 + design.hourglasses * (inside + 1) + 3 * (design.hourglasses - 1) == layers
    assert len(design.depths) == len(design.residuals)


def test_image_sizes_are_multiples_of_the_total_stride() -> None:
    assert {layers: design.multiple for layers, design in hourglass.DESIGNS.items()} == {
        **{10: 8, 20: 16, 32: 32},
        **{52: 128, 100: 128, 104: 128},
    }
