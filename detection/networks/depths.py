"""How a depth multiplier thins a network: rules depth -> number of channels."""

from __future__ import annotations

from collections.abc import Callable

DepthRule = Callable[[float], int]


def depth_rule(multiplier: float, min_depth: int) -> DepthRule:
    """depth -> max(int(depth * multiplier), min_depth)."""
    return lambda depth: max(int(depth * multiplier), min_depth)


def full_depth(depth: float) -> int:
    """The rule of multiplier 1."""
    return int(depth)
