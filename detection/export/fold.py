"""Batch norm folded into convolutions while a serving graph is traced.

A convolution layer knows its folded form (`networks.layers`); here every one of a detector is told to use it for the
duration of one trace. Training and evaluation keep the plain form: the weights themselves never change.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras

from detection.networks.layers import Convolution, CropDense, every_layer


@contextlib.contextmanager
def folded(detector: keras.layers.Layer) -> Iterator[int]:
    """Within the context, functions traced over `detector` hold no batch norm. Yields the number of those folded."""
    layers = [
        layer
        for layer in every_layer(detector)
        if isinstance(layer, Convolution | CropDense) and layer.batch_norm is not None
    ]
    before = [layer.fold for layer in layers]
    try:
        for layer in layers:
            layer.fold = True
        yield sum(layer.levels or 1 for layer in layers)
    finally:
        for layer, value in zip(layers, before, strict=True):
            layer.fold = value
