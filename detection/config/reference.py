"""Generates the reference of all config fields, docs/config.md, from the table that the check uses.

python -m detection.config.reference > docs/config.md
"""

from __future__ import annotations

import sys

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from detection.config import fields
from detection.config.fields.row import Field, Use
from detection.config.schema import PACKAGE, is_map, is_message, message_name, shown, takes

_HEAD = """# What a config may say

Every field of a pipeline config, out of the table that `detection check` and every program that loads a config read
(`detection/config/fields/`; this page is made by `python -m detection.config.reference`). A field that is *honoured*
has its default and the values it may have; one that has *no effect* is warned of, with the reason; one that is
*refused* is an error unless it is left at its default. What must hold between several fields is in
`detection/config/rules/`.
"""


def page() -> str:
    """The whole page, as Markdown."""
    pool, parts = descriptor_pool.Default(), [_HEAD]
    for area in fields.AREAS:
        parts.append(f"## {' '.join((area.__doc__ or '').split()).rstrip('.')}\n")
        for name, rows in area.MESSAGES.items():
            if rows:
                parts += _message(pool.FindMessageTypeByName(f"{PACKAGE}{name}"), rows)
    return "\n".join(parts)


def _message(descriptor: Descriptor, rows: tuple[Field, ...]) -> list[str]:
    lines = [f"### {message_name(descriptor)}\n", "| field | takes | default |  |", "|---|---|---|---|"]
    for row in rows:
        field = descriptor.fields_by_name[row.name]
        cells = (f"`{row.name}`", _takes(field), _default(field, row), _said(row))
        lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    return [*lines, ""]


def _takes(field: FieldDescriptor) -> str:
    if is_map(field):
        return "key and value"
    kind = f"`{message_name(field.message_type)}`" if is_message(field) else takes(field).removeprefix("a ")
    return f"list of {kind}" if field.is_repeated else kind


def _default(field: FieldDescriptor, row: Field) -> str:
    if is_message(field) or field.is_repeated or not row.honoured:
        return ""
    return f"`{shown(field, field.default_value)}`" if field.has_default_value or field.default_value else ""


def _said(row: Field) -> str:
    """What the check does with the field."""
    if row.use is Use.NO_EFFECT:
        return f"no effect: {row.reason}"
    if row.use is Use.REFUSED:
        return f"refused; {row.reason or 'remove it'}"
    said = ["must be set"] if row.required else []
    said += [str(row.range)] if row.range is not None else []
    said += [f"{'below' if row.strictly else 'at most'} `{row.below}`"] if row.below else []
    said += [f"at most {row.limit.high:,}: {row.limit.reason}"] if row.limit is not None else []
    said += [row.counts.advice] if row.counts is not None else []
    said += [f"one of {', '.join(value or 'nothing' for value in row.values)}"] if row.values else []
    said += [f"choose {' or '.join(row.choose)}"] if row.choose else []
    return "; ".join(said)


if __name__ == "__main__":
    sys.stdout.write(page())
