"""Dense feature maps from strided networks, by replacing strides with dilation rates.

Chen et al. 2015, "DeepLab"; the survey, section 3.1.
"""

from __future__ import annotations

from collections.abc import Iterable


def strides_and_rates(strides: Iterable[int], output_stride: int) -> tuple[tuple[int, int], ...]:
    """Returns the stride and the dilation rate of every layer of a network, for a given output stride.

    Layers stride until the map has `output_stride`. From there on they keep its size, and a stride that is dropped
    multiplies the rates of the layers behind it, so that the strided network's map is a subsample of the dense one.

    Args:
        strides: strides of the layers of the network.
        output_stride: stride of the last map, pixels.

    Raises:
        ValueError: no layer of the network has that output stride.
    """
    reached, rate, plan = 1, 1, []
    for stride in strides:
        if reached == output_stride:
            plan.append((1, rate))
            rate *= stride
        else:
            plan.append((stride, 1))
            reached *= stride
    if reached != output_stride:
        raise ValueError(f"output stride {output_stride} is not one that the network passes through")
    return tuple(plan)
