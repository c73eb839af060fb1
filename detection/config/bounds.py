"""Checks one message against the table of fields; yields sentences that begin with the path of their field."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from detection.config import fields
from detection.config.fields.row import Field, Use
from detection.config.schema import is_message, message_name, short, shown
from detection.config.walk import join
from detection.tools.suggest import closest, did_you_mean

# Oneofs that may be empty; in all others a message that is present must set a member.
OPTIONAL_ONEOFS = {
    *("normalizer_oneof", "regularizer_oneof", "initializer_oneof", "feature_pyramid_oneof"),
    *("input_reader", "calibrator"),
}
_MOST_LISTED = 25  # names in a message; if there are more, only the nearest are listed
_NEAREST = 5
_FLOATS = (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE)


def not_read(
    message: Message, path: str, place: Field | None = None, names_known: bool = True
) -> Iterator[tuple[bool, str]]:
    """Yields (True, sentence) for each unsupported field or value, (False, sentence) for each field without effect.

    Args:
        message: the message to check.
        path: its path.
        place: row of the field that contains the message.
        names_known: whether all parts of plugins are registered; if not, any name may be one of theirs.
    """
    name = message_name(message.DESCRIPTOR)
    known = fields.rows(name)
    for field, value in message.ListFields():
        row, here = known.get(field.name), join(path, field.name)
        if row is not None and row.honoured and row.registry is not None and not names_known:
            continue
        if row is not None and row.honoured:
            yield from ((True, text) for text in _other_values(row, here, field, value))
            parts = row.registry
            named = parts is not None and is_message(field) and value.name
            if parts is not None and named and (fault := parts.fault(value.name, value.parameters)):
                yield True, f"{here}{fault}"
        elif not is_message(field) and not field.is_repeated and value == field.default_value:
            continue
        else:
            what = here if is_message(field) and not field.is_repeated else f"{here} ({shown(field, value)})"
            if row is not None and row.use is Use.NO_EFFECT:
                if row.stock:
                    continue
                yield False, f"{what} has no effect: {row.reason}"
            else:
                advice = (row.reason if row is not None else "") or _alternatives(field, name, place)
                yield True, f"{what} is not supported; {advice}"


def _other_values(row: Field, here: str, field: FieldDescriptor, value: Any) -> Iterator[str]:
    """Sentences on values that are not supported."""
    for item in (value if field.is_repeated else [value]) if row.values else []:
        said = shown(field, item)
        name = item if isinstance(item, str) else said
        if name not in row.values and (row.registry is None or row.registry.find(name) is None):
            known = [choice for choice in row.values if choice]
            known += row.registry.names() if row.registry is not None else ()
            yield f"{here} ({said}) is not supported; {_instead(item, known)}"


def _alternatives(field: FieldDescriptor, name: str, place: Field | None) -> str:
    """The members of the same oneof that are allowed at this place, as a fix."""
    group = field.containing_oneof
    possible = fields.choices(name, group.fields, place) if group is not None else []
    return _instead(field.name, possible) if possible else "remove it"


def _instead(name: Any, known: list[str]) -> str:
    """What to use: all that is known, or, of very many, what is nearest and where the others are listed."""
    if len(known) <= _MOST_LISTED:
        hint = did_you_mean(name, known, cutoff=0.85) if isinstance(name, str) else ""
        return f"use {one_of(known)}{hint}"
    near = closest(name, known, limit=_NEAREST) if isinstance(name, str) else []
    some = (
        f"the nearest {'are' if len(near) > 1 else 'is'} {', '.join(near)}" if near else f"use {known[0]}, for example"
    )
    return f"{some}; docs/config.md, which python -m detection.config.reference prints, lists all {len(known)}"


def one_of(names: list[str]) -> str:
    """`one of a, b, c`, or fewer than three names without `one of`."""
    return f"{'one of ' * (len(names) > 2)}{', '.join(names)}"


def incomplete(message: Message, path: str, place: Field | None = None) -> Iterator[str]:
    """Sentences on fields of one message that must be set but are not."""
    name = message_name(message.DESCRIPTOR)
    for row in fields.rows(name).values():
        if row.required and not message.HasField(row.name):
            yield f"{join(path, row.name)} is not set; {_example(message.DESCRIPTOR.fields_by_name[row.name], row)}"
    for group in message.DESCRIPTOR.oneofs:
        if group.name not in OPTIONAL_ONEOFS and message.WhichOneof(group.name) is None:
            yield f"{path or 'the config'} is empty; set {one_of(fields.choices(name, group.fields, place))}"


# Messages whose usual field is not the first in the schema.
_USUAL = {"RegionSimilarityCalculator": "iou_similarity", "Hyperparams": "initializer"}


def _example(field: FieldDescriptor, row: Field) -> str:
    """How to set a required field."""
    if not is_message(field):
        return f"set it, for example to '{row.values[0]}'" if row.values else "set it"
    inner = message_name(field.message_type)
    needed = [each.name for each in fields.rows(inner).values() if each.required]
    possible = [name for group in field.message_type.oneofs for name in fields.choices(inner, group.fields, row)]
    usual = [_USUAL[inner]] if inner in _USUAL else []
    first = (*needed, *usual, *possible)[:1]
    return f"add {field.name} {{ {first[0] + ' { ... }' if first else '...'} }}"


def out_of_range(message: Message, path: str) -> Iterator[str]:
    """Sentences on numbers that are out of range and lists of the wrong length.

    Default values are checked as well as values that are set.
    """
    for field, value in message.ListFields():
        if field.cpp_type in _FLOATS:
            bad = [number for number in (value if field.is_repeated else [value]) if not math.isfinite(number)]
            if bad:
                yield f"{join(path, field.name)} ({bad[0]}) must be a finite number"
    for row in fields.rows(message_name(message.DESCRIPTOR)).values():
        here = join(path, row.name)
        if row.range is not None:
            for place, number in _numbers(message, row.name, here):
                if number not in row.range and math.isfinite(number):
                    yield f"{place} ({short(number)}) must be {row.range}"
        if row.below:
            low, high = getattr(message, row.name), getattr(message, row.below)
            if low > high or (row.strictly and low == high):
                must = "must be below" if row.strictly else "must not exceed"
                yield f"{here} ({short(low)}) {must} {row.below} ({short(high)})"
        if row.counts is not None and len(getattr(message, row.name)) not in row.counts.allowed:
            yield f"{here} has {len(getattr(message, row.name))} values; {row.counts.advice}"


def too_large(message: Message, path: str) -> Iterator[str]:
    """Sentences on numbers above the limits."""
    for row in fields.rows(message_name(message.DESCRIPTOR)).values():
        if row.limit is None:
            continue
        for place, number in _numbers(message, row.name, join(path, row.name)):
            if math.isfinite(number) and number > row.limit.high:
                yield f"{place} ({short(number)}) is more than {row.limit.high:,}: {row.limit.reason}"


def _numbers(message: Message, name: str, here: str) -> list[tuple[str, int | float]]:
    """The value of a field with its path, or each value of a list with its path and index."""
    value = getattr(message, name)
    if isinstance(value, int | float):
        return [(here, value)]
    return [(f"{here}[{index}]", item) for index, item in enumerate(value)]
