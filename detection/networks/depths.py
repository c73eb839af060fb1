"""Rules for the number of channels under a depth multiplier: channels at multiplier 1 -> number of channels."""

from __future__ import annotations

from collections.abc import Callable

DepthRule = Callable[[float], int]


def depth_rule(multiplier: float, min_depth: int) -> DepthRule:
    """Returns the rule depth -> max(int(depth * multiplier), min_depth)."""
    return lambda depth: max(int(depth * multiplier), min_depth)


def nearest_eights(depth: float) -> int:
    """Rounds `depth` to the nearest multiple of eight (halves up), at least eight (MobileDet)."""
    return max(8, int(depth + 4) // 8 * 8)


def divisible(depth: float, minimum: int = 8) -> int:
    """Rounds `depth` to the nearest multiple of eight (halves up), at least `minimum`.

    If the result would be less than 90 % of `depth`, it is eight more.
    """
    rounded = max(minimum, int(depth + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * depth else rounded + 8


def divisible_depth_rule(multiplier: float, min_depth: int = 8) -> DepthRule:
    """Returns the rule depth -> `divisible(depth * multiplier)`, at least `min_depth` (MobileNet v2)."""
    return lambda depth: divisible(depth * multiplier, min_depth)


def full_depth(depth: float) -> int:
    """The rule for multiplier 1."""
    return int(depth)
