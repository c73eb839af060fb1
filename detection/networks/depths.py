"""How a depth multiplier thins a network: rules depth -> number of channels."""

from __future__ import annotations

from collections.abc import Callable

DepthRule = Callable[[float], int]


def depth_rule(multiplier: float, min_depth: int) -> DepthRule:
    """depth -> max(int(depth * multiplier), min_depth)."""
    return lambda depth: max(int(depth * multiplier), min_depth)


def nearest_eights(depth: float) -> int:
    """The multiple of eight nearest to `depth` (a half goes up), at least eight (MobileDet)."""
    return max(8, int(depth + 4) // 8 * 8)


def divisible(depth: float, minimum: int = 8) -> int:
    """The multiple of eight nearest to `depth` (a half goes up), at least `minimum`; one more eight where that would be
    under 90 % of it."""
    rounded = max(minimum, int(depth + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * depth else rounded + 8


def divisible_depth_rule(multiplier: float, min_depth: int = 8) -> DepthRule:
    """depth -> `divisible(depth * multiplier)`, at least `min_depth` (MobileNet v2)."""
    return lambda depth: divisible(depth * multiplier, min_depth)


def full_depth(depth: float) -> int:
    """The rule of multiplier 1."""
    return int(depth)
