"""Folds batch norm into convolutions while a serving graph is traced.

Convolution layers implement their folded form (`networks.layers`), and so does a batch norm that does not follow a
convolution, which becomes a scale and a shift. This module switches all layers of a detector to the folded form during
one trace. Training and evaluation use the plain form; the weights themselves never change.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras

from detection.networks.dense import CropDense
from detection.networks.layers import BatchNorm, Convolution, every_layer


@contextlib.contextmanager
def folded(detector: keras.layers.Layer) -> Iterator[int]:
    """Folds batch norm in functions traced within this context, and yields the number of folded batch norms."""
    every = every_layer(detector)
    owners = [layer for layer in every if isinstance(layer, Convolution | CropDense) and layer.batch_norm is not None]
    owned = {id(part) for layer in owners for part in every_layer(layer.batch_norm)}
    alone = [layer for layer in every if isinstance(layer, BatchNorm) and id(layer) not in owned]
    layers = [*owners, *alone]
    before = [layer.fold for layer in layers]
    try:
        for layer in layers:
            layer.fold = True
        yield sum(layer.levels or 1 for layer in owners) + len(alone)
    finally:
        for layer, value in zip(layers, before, strict=True):
            layer.fold = value
