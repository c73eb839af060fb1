"""Names, value types and suggestions of the config schema, for messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf import text_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from detection.tools.suggest import did_you_mean

PACKAGE = "object_detection.protos."
_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: (True, False),
    FieldDescriptor.CPPTYPE_UINT32: (False, False),
}  # -> (signed, 64 bits)
_INTEGERS |= {FieldDescriptor.CPPTYPE_INT64: (True, True), FieldDescriptor.CPPTYPE_UINT64: (False, True)}
_FLOATS = (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE)


def message_name(descriptor: Descriptor) -> str:
    """`Ssd`, or `Ssd.MaskHead` for a nested one: the package is the same for all."""
    return descriptor.full_name.removeprefix(PACKAGE)


def is_message(field: FieldDescriptor) -> bool:
    """Whether the values of a field are messages, including those of a map."""
    return field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE


def is_map(field: FieldDescriptor) -> bool:
    """Whether a field is a map, which protobuf represents as repeated messages of key and value."""
    return is_message(field) and field.message_type.GetOptions().map_entry


def is_string(field: FieldDescriptor) -> bool:
    """Whether the values of a field are strings or bytes."""
    return field.cpp_type == FieldDescriptor.CPPTYPE_STRING


def cut(text: str, most: int = 80) -> str:
    """Text from a config or a flag, shortened to `most` characters for a message."""
    return text if len(text) <= most else f"{text[:most]}..."


def short(number: int | float) -> str:
    """A number for a message: integers in full, others with the digits of a float32."""
    return str(number) if isinstance(number, int) else f"{number:g}"


def unknown_field(name: str, container: Descriptor, root: Descriptor | None = None) -> str:
    """Message that `container` has no field `name`, with a suggestion.

    Args:
        name: the unknown field.
        container: the message type that it was written in.
        root: if given, paths below it that have a field of this name are suggested.
    """
    text = f"unknown field {cut(name)!r} in {message_name(container)}"
    fields = list(container.fields_by_name)
    homes = list(paths_to(name, root)) if root else []
    hint = did_you_mean(
        name, fields, cutoff=0.85 if homes else 0.6
    )  # A correct name in the wrong place is more likely than a spelling error.
    if hint:
        return text + hint
    if homes:
        return f"{text}; {name!r} belongs to {' or '.join(homes[:3])}"
    if not fields:
        return f"{text}, which has no fields; remove it"
    return f"{text}; its fields are {', '.join(fields)}" if len(fields) <= 15 else text


def paths_to(name: str, root: Descriptor) -> Iterator[str]:
    """Yields the path of every message below `root` that has a field `name`, shortest first.

    Each message type is entered once.
    """
    seen, queue = {root.full_name}, [(root, "")]
    while queue:
        container, path = queue.pop(0)
        for field in container.fields:
            here = f"{path}.{field.name}".lstrip(".")
            if field.name == name:
                yield path or "the top level"
            if is_message(field) and field.message_type.full_name not in seen:
                seen.add(field.message_type.full_name)
                queue.append((field.message_type, here))


def enum_values(field: FieldDescriptor) -> list[str]:
    """The names of an enum field's values, in the order of the schema."""
    return [value.name for value in field.enum_type.values]


def takes(field: FieldDescriptor) -> str:
    """What to write as the value of a field, for messages."""
    if is_message(field):
        return f"a block, {field.name} {{ ... }} (message {message_name(field.message_type)})"
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        return f"one of {', '.join(enum_values(field))}"
    if field.cpp_type in _INTEGERS:
        return "a whole number" if _INTEGERS[field.cpp_type][0] else "a whole number of 0 or more"
    if field.cpp_type in _FLOATS:
        return "a number"
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return "true or false"
    return "a quoted string"


def bad_value(field: FieldDescriptor, value: str) -> str | None:
    """Error message if a token is not a valid value of a scalar or enum field; None if it is valid.

    Args:
        field: the field.
        value: the token, strings with their quotes.
    """
    quoted = value[:1] in ("'", '"')
    where = f"{field.name} in {message_name(field.containing_type)}"
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        try:
            text_format.ParseEnum(field, value)
        except ValueError:
            names = enum_values(field)
            bare = value.strip("'\"")
            hint = f"; write {bare} without quotes" if quoted and bare in names else did_you_mean(bare, names)
            return f"{where} has no value {cut(value)}{hint} (allowed: {', '.join(names)})"
        return None
    if is_string(field):
        return None if quoted else f"{where} takes {takes(field)}, not {cut(value)}; write {field.name}: '{cut(value)}'"
    try:
        if field.cpp_type in _INTEGERS:
            text_format.ParseInteger(value, *_INTEGERS[field.cpp_type])
        elif field.cpp_type in _FLOATS:
            text_format.ParseFloat(value)
        else:
            text_format.ParseBool(value)
    except ValueError:
        kind = takes(field)
        if field.cpp_type in _INTEGERS and value.lstrip("+-").isdigit():
            signed, wide = _INTEGERS[field.cpp_type]
            half = 2 ** (63 if wide else 31)
            kind = (
                f"a whole number from {-half} to {half - 1}" if signed else f"a whole number from 0 to {2 * half - 1}"
            )
        return f"{where} takes {kind}, not {cut(value) or 'nothing'}"
    return None


def convert(field: FieldDescriptor, value: str) -> int | float | bool:
    """The Python value of a token that passed `bad_value`; not for strings."""
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        return text_format.ParseEnum(field, value)
    if field.cpp_type in _INTEGERS:
        return text_format.ParseInteger(value, *_INTEGERS[field.cpp_type])
    return text_format.ParseFloat(value) if field.cpp_type in _FLOATS else text_format.ParseBool(value)


def shown(field: FieldDescriptor, value: Any, longest: int = 60) -> str:
    """A value as written in a config, shortened to `longest` characters; lists and maps are shown as their length."""
    if field.is_repeated and not isinstance(value, str | bytes | int | float):
        return f"{len(value)} value{'s' * (len(value) != 1)}"
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        known = field.enum_type.values_by_number.get(value)
        return known.name if known is not None else str(value)
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value) if isinstance(value, str | bytes) else short(value)
    return cut(text, longest)
