"""Fully connected layers compressed by truncated SVD (Girshick 2015, section 3.1, Equation 5).

    W [in, out] ~ L R,    L [in, t] = U_t S_t,    R [t, out] = V_t^T,    t(in + out) products instead of in * out

One layer becomes two without a function in between: the first has no biases, the second the original ones. With W
transposed this is the paper's U S_t V^T. A layer with a `rank` has the variables `left_weights` and `right_weights` in
place of `weights`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import keras
import numpy as np

from detection.errors import ConfigError
from detection.networks.dense import Dense
from detection.networks.fully_connected import FullyConnected
from detection.networks.layers import every_layer

Compressible = FullyConnected | Dense


def fully_connected_layers(detector: keras.layers.Layer) -> dict[str, Compressible]:
    """The fully connected layers of a detector by name: fc6, fc7, ClassPredictor, BoxEncodingPredictor and so on."""
    return {layer.name: layer for layer in every_layer(detector) if isinstance(layer, FullyConnected | Dense)}


def apply(detector: keras.layers.Layer, ranks: Mapping[str, int]) -> None:
    """Gives layers a rank; before the detector's variables are created.

    Raises:
        ConfigError: there is no such fully connected layer.
    """
    if not ranks:
        return
    layers = fully_connected_layers(detector)
    unknown = [name for name in ranks if name not in layers]
    if unknown:
        known = ", ".join(sorted(layers)) or "none"
        raise ConfigError(f"model.truncated_svd.layer: {unknown[0]!r} is no fully connected layer; there are: {known}")
    for name, rank in ranks.items():
        layers[name].rank = rank


class Factors(NamedTuple):
    """A truncated SVD of the weights of a layer."""

    left: np.ndarray  # float32, the shape of the weights with t outputs
    right: np.ndarray  # float32 [t, out]
    energy: float  # share of the squared singular values that is kept

    @property
    def rank(self) -> int:
        """t, the number of singular values that are kept."""
        return self.right.shape[0]


class Spectrum:
    """The singular value decomposition of the weights of one layer.

    Args:
        weights: float [..., out], as of `Conv` and `Dense`: all axes but the last are inputs.
    """

    def __init__(self, weights: np.ndarray) -> None:
        self._shape = weights.shape
        rows = np.asarray(weights, np.float32).reshape(-1, weights.shape[-1])
        self._left, self._values, self._right = np.linalg.svd(rows, full_matrices=False)
        squares = self._values.astype(np.float64) ** 2
        self._kept = np.cumsum(squares) / max(squares.sum(), np.finfo(np.float64).tiny)

    @property
    def full_rank(self) -> int:
        """The number of singular values."""
        return len(self._values)

    def rank_of(self, energy: float) -> int:
        """The least rank that keeps this share of the squared singular values; at least 1."""
        return min(int(np.searchsorted(self._kept, energy * (1 - 1e-12))) + 1, self.full_rank)

    def factors(self, rank: int) -> Factors:
        """The best approximation of this rank (Eckart and Young 1936)."""
        left = self._left[:, :rank] * self._values[:rank]
        return Factors(left.reshape(*self._shape[:-1], rank), self._right[:rank], float(self._kept[rank - 1]))


def products(layer: Compressible) -> int:
    """Multiply-adds of a built layer for one crop."""
    return sum(math.prod(kernel.shape) for kernel in layer.kernels)
