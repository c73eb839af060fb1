"""Dense feature maps from strided networks (Chen et al. 2015, "DeepLab"; the survey, section 3.1): strides become
rates."""

from __future__ import annotations

from collections.abc import Iterable


def strides_and_rates(strides: Iterable[int], output_stride: int) -> tuple[tuple[int, int], ...]:
    """(stride, rate) of every layer of a network whose layers have `strides`, so that its last map has the stride asked
    for.

    Layers stride until the map has `output_stride`. From there on they keep its size, and a stride that is dropped
    multiplies the rates of the layers behind it: every pixel that the strided network has is one of the dense map's,
    and equal.

    Raises:
        ValueError: the network's strides never multiply to `output_stride`.
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
