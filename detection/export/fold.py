"""Batch norm folded into convolutions while a serving graph is traced.

A convolution layer knows its folded form (`networks.layers`), and so does a batch norm that no convolution stands in
front of, which becomes a scale and a shift; here every one of a detector is told to use it for the duration of one
trace. Training and evaluation keep the plain form: the weights themselves never change.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras

from detection.networks.dense import CropDense
from detection.networks.layers import BatchNorm, Convolution, every_layer


@contextlib.contextmanager
def folded(detector: keras.layers.Layer) -> Iterator[int]:
    """Within the context, functions traced over `detector` hold no batch norm. Yields the number of those folded."""
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
