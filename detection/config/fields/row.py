"""What one row of the tables says of one field of the schema.

Every field of every message that this project reads has a row. A field is one of

    honoured    builders read it; its row bounds its values
    no effect   what it would change is decided otherwise here, for the reason given; the check warns
    refused     an error unless it is left at its default; the reason says what to do instead
"""

from __future__ import annotations

import dataclasses
import enum
import math
from typing import Any, NamedTuple

from detection.registry import Registry

INFINITY = math.inf


class Interval(NamedTuple):
    """The numbers from `low` to `high`; `open_low` and `open_high` leave out the end itself."""

    low: float
    high: float
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, value: object) -> bool:
        assert isinstance(value, int | float)
        above = value > self.low if self.open_low else value >= self.low
        return above and (value < self.high if self.open_high else value <= self.high)

    def __str__(self) -> str:
        if self.high == INFINITY:
            return f"more than {self.low:g}" if self.open_low else f"at least {self.low:g}"
        return f"in {'(' if self.open_low else '['}{self.low:g}, {self.high:g}{')' if self.open_high else ']'}"


POSITIVE = Interval(0, INFINITY, open_low=True)
NOT_NEGATIVE = Interval(0, INFINITY)
ONE_OR_MORE = Interval(1, INFINITY)
FRACTION = Interval(0, 1)
BELOW_ONE = Interval(0, 1, open_high=True)
PART = Interval(0, 1, open_low=True)


class Limit(NamedTuple):
    """The largest value that is computed with, and what more would cost."""

    high: int
    reason: str


class Use(enum.Enum):
    """What becomes of a field."""

    HONOURED = "honoured"
    NO_EFFECT = "no effect"
    REFUSED = "refused"


@dataclasses.dataclass(frozen=True)
class Field:
    """One row.

    Args:
        name: of the field in its message.
        use: what becomes of it.
        reason: why it has no effect; what to do instead of one that is refused ("" where removing it, or another member
            of its oneof, is all there is to say).
        values: the strings or enum names that it may have; none: any. The first is the example that messages give.
        range: where its number must lie; for lists, each number.
        limit: the largest number that is computed with.
        below: the field of the same message that it must not exceed.
        strictly: it must not equal that field either.
        required: it must be set in every message of its type.
        counts: how many values a list may hold, and what they are for.
        choose: the members of its message's oneof that are possible at this place; none: all that are honoured.
        registry: where names besides `values` are registered: of the field's text, or in the message CustomPart or
            CustomModel that it holds.
        stock: every published config sets it, so that nothing is said of it although it has no effect.
    """

    name: str
    use: Use = Use.HONOURED
    reason: str = ""
    values: tuple[str, ...] = ()
    range: Interval | None = None
    limit: Limit | None = None
    below: str = ""
    strictly: bool = False
    required: bool = False
    counts: Counts | None = None
    choose: tuple[str, ...] = ()
    registry: Registry | None = None
    stock: bool = False

    @property
    def honoured(self) -> bool:
        return self.use is Use.HONOURED


class Counts(NamedTuple):
    """How many values a list may hold, and how to say it: `give 3, one a channel, or none`."""

    allowed: tuple[int, ...]
    advice: str


ONE_A_CHANNEL = Counts((0, 3), "give 3, one a channel, or none")

Message = tuple[Field, ...]  # the rows of one message, in the order of the schema


def honoured(name: str, range: Interval | None = None, limit: Limit | None = None, **more: Any) -> Field:
    """A field that is read; `more` as of `Field`."""
    return Field(name, range=range, limit=limit, **more)


def all_honoured(names: str) -> Message:
    """Fields that are read and may have any value of their type, their names set apart by blanks."""
    return tuple(Field(name) for name in names.split())


def no_effect(name: str, reason: str, *, stock: bool = False) -> Field:
    """A field that changes nothing; `stock` as of `Field`."""
    return Field(name, Use.NO_EFFECT, reason, stock=stock)


def refused(name: str, instead: str = "") -> Field:
    """A field that must be left at its default."""
    return Field(name, Use.REFUSED, instead)
