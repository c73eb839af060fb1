"""The type of a row of the field tables.

Every field of every message that this project reads has a row. A field is one of

    honoured    builders read it; its row restricts its values
    no effect   ignored, for the reason given; the check warns if it is set
    refused     an error unless it has its default value; the reason says what to do instead
"""

from __future__ import annotations

import dataclasses
import enum
import math
from typing import Any, NamedTuple

from detection.registry import Registry

INFINITY = math.inf


class Interval(NamedTuple):
    """The numbers from `low` to `high`; `open_low` and `open_high` exclude the ends."""

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
    """Largest allowed value, and the reason."""

    high: int
    reason: str


class Use(enum.Enum):
    """How a field is treated."""

    HONOURED = "honoured"
    NO_EFFECT = "no effect"
    REFUSED = "refused"


@dataclasses.dataclass(frozen=True)
class Field:
    """One row.

    Args:
        name: name of the field in its message.
        use: how the field is treated.
        reason: why it has no effect, or what to use instead of a refused field ("" if removing it, or choosing another
            member of its oneof, is the only fix).
        values: allowed strings or enum names; empty: any. The first is used as an example in messages.
        range: allowed range of the number, or of each number of a list.
        limit: largest allowed number.
        below: a field of the same message that this field must not exceed.
        strictly: whether the field must also differ from `below`.
        required: whether the field must be set in every message of its type.
        counts: allowed lengths of a list, and their meaning.
        choose: members of the oneof that are allowed at this place; empty: all honoured members.
        registry: where names besides `values` are registered: the field's text, or the name in its CustomPart or
            CustomModel message.
        stock: whether every published config sets the field, so that no warning is given although it has no effect.
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
        """Whether builders read the field."""
        return self.use is Use.HONOURED


class Counts(NamedTuple):
    """Allowed lengths of a list, and the advice for messages, such as `give 3, one per channel, or none`."""

    allowed: tuple[int, ...]
    advice: str


ONE_A_CHANNEL = Counts((0, 3), "give 3, one per channel, or none")

Message = tuple[Field, ...]  # the rows of one message, in the order of the schema


def honoured(name: str, range: Interval | None = None, limit: Limit | None = None, **more: Any) -> Field:
    """A field that builders read; `more` is passed to `Field`."""
    return Field(name, range=range, limit=limit, **more)


def all_honoured(names: str) -> Message:
    """Fields that builders read, with any value of their type; `names` are separated by spaces."""
    return tuple(Field(name) for name in names.split())


def no_effect(name: str, reason: str, *, stock: bool = False) -> Field:
    """A field without effect; see `Field` for `stock`."""
    return Field(name, Use.NO_EFFECT, reason, stock=stock)


def refused(name: str, instead: str = "") -> Field:
    """A field that must have its default value."""
    return Field(name, Use.REFUSED, instead)
