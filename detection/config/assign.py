"""One assignment to one field of a message: `path=value`, as in files but on one line.

    model.ssd.num_classes=3                                    a scalar (strings with or without quotes, enums by name)
    train_config.optimizer.momentum_optimizer={learning_rate{constant_learning_rate{learning_rate:0.1}}}     a message,
        replaced as a whole
    model.ssd.loss.hard_example_miner=none                     a message, removed
    train_input_reader.tf_record_input_reader.input_path=[a.record, b.record]     a list, replaced; one value stands for
        a list of one
    train_config.freeze_variables+=FeatureExtractor/           appended
    model.ssd.anchor_generator.ssd_anchor_generator.scales[0]=0.1     one element
    eval_config.super_categories[animal]=cat                   one entry of a map

A repeated message in the middle of a path needs no index while it has one element:
eval_input_reader.label_map_path=map.pbtxt.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from detection.config import text
from detection.config.schema import bad_value, convert, cut, is_map, is_message, is_string, takes, unknown_field
from detection.errors import ConfigError, number_of

_PART = re.compile(r"(\w+)(?:\[(.*)\])?")
_QUOTED = re.compile(r"""\s*("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')\s*(,|$)""")
_DEEPEST = 60  # components of a path; the schema is far flatter


class Part(NamedTuple):
    """One component of a path."""

    name: str
    key: str | None  # index or key of a map, between the brackets


def split_path(path: str) -> list[Part]:
    """Splits a path into components; raises ValueError with a message if the path is malformed."""
    parts, start = [], 0
    while True:
        dot, bracket = path.find(".", start), path.find("[", start)
        if 0 <= bracket < dot:  # A dot inside brackets belongs to the key of a map.
            close = path.find("]", bracket)
            dot = path.find(".", close) if close >= 0 else -1
        piece = path[start:dot] if dot >= 0 else path[start:]
        match = _PART.fullmatch(piece)
        if match is None:
            raise ValueError(f"{cut(piece)!r} is not a field name; a path is written like model.ssd.num_classes")
        parts.append(Part(match[1], match[2]))
        if len(parts) > _DEEPEST:
            raise ValueError(f"the path has more than {_DEEPEST} parts; a path is written like model.ssd.num_classes")
        if dot < 0:
            return parts
        start = dot + 1


def assign(root: Message, path: str, value: str, append: bool, source: str) -> None:
    """Sets (or appends to) the field at `path` below `root`.

    Raises:
        ConfigError: `source: problem; fix`.
    """
    try:
        parts = split_path(path)
        message = root
        for part in parts[:-1]:
            message = _enter(message, part, root)
        _set(message, parts[-1], value, append, source, root)
    except ValueError as error:
        raise ConfigError(f"{source}: {error}") from None


def _field(message: Message, name: str, root: Message) -> FieldDescriptor:
    field = message.DESCRIPTOR.fields_by_name.get(name)
    if field is None:
        raise ValueError(unknown_field(name, message.DESCRIPTOR, root.DESCRIPTOR))
    return field


def _enter(message: Message, part: Part, root: Message) -> Message:
    """The message one component further down, which is created if it is not set."""
    field = _field(message, part.name, root)
    if not is_message(field) or is_map(field):
        raise ValueError(f"{part.name} holds no fields: it takes {takes(field)}")
    if field.containing_oneof is not None:
        chosen = message.WhichOneof(field.containing_oneof.name)
        if chosen not in (None, part.name):
            raise ValueError(
                f"the config has {chosen} where this names {part.name}; to replace it, first set {part.name}={{...}} as"
                " a whole"
            )
    value = getattr(message, part.name)
    if field.is_repeated:
        if part.key is None and len(value) == 0:
            return value.add()
        return value[_index(part, len(value))]
    if part.key is not None:
        raise ValueError(f"{part.name} is a single message; write it without [{cut(part.key)}]")
    value.SetInParent()
    return value


def _index(part: Part, count: int) -> int:
    if part.key is None:
        if count != 1:
            raise ValueError(f"{part.name} has {count} elements; say which, as in {part.name}[0]")
        return 0
    if not re.fullmatch(r"-?\d+", part.key):
        raise ValueError(f"[{cut(part.key)}] of {part.name} is not an index; write a whole number")
    index = int(part.key) if len(part.key) < 10 else count
    if not -count <= index < count:
        raise ValueError(
            f"{part.name} has {number_of(count, 'element')}, so there is no [{cut(part.key)}]; += appends one"
        )
    return index


def _set(message: Message, part: Part, value: str, append: bool, source: str, root: Message) -> None:
    field = _field(message, part.name, root)
    if append and not (field.is_repeated and part.key is None and not is_map(field)):
        raise ValueError(f"+= appends to a list, and {part.name} is not a list; use =")
    if is_map(field):
        _set_entry(message, field, part, value, source)
    elif is_message(field):
        _set_message(message, field, part, value, append, source)
    elif field.is_repeated:
        target = getattr(message, part.name)
        if part.key is not None:
            target[_index(part, len(target))] = _scalar(field, value, source)
            return
        new = [_scalar(field, item, source) for item in _items(value)]
        if not append:
            del target[:]
        target.extend(new)
    elif part.key is not None:
        raise ValueError(f"{part.name} is not a list; write it without [{cut(part.key)}]")
    else:
        setattr(message, part.name, _scalar(field, value, source))


def _set_entry(message: Message, field: FieldDescriptor, part: Part, value: str, source: str) -> None:
    key_field, value_field = field.message_type.fields_by_name["key"], field.message_type.fields_by_name["value"]
    if part.key is None or is_message(value_field):
        raise ValueError(f"{part.name} is a map; set one entry, as in {part.name}[key]=value")
    getattr(message, part.name)[_scalar(key_field, part.key, source)] = _scalar(value_field, value, source)


def _set_message(message: Message, field: FieldDescriptor, part: Part, value: str, append: bool, source: str) -> None:
    value = value.strip()
    target = getattr(message, part.name)
    if value == "none" and part.key is None and not append:
        message.ClearField(part.name)
        return
    if value[:1] not in ("{", "<") and not (field.is_repeated and value[:1] == "["):
        advice = f"write {part.name}={{...}}, or {part.name}=none to remove it"
        raise ValueError(f"{part.name} takes {takes(field)}, not {cut(value) or 'nothing'}; {advice}")
    parsed = _fragment(field, value, source)
    if not field.is_repeated:
        if part.key is not None:
            raise ValueError(f"{part.name} is a single message; write it without [{cut(part.key)}]")
        target.CopyFrom(parsed)
        target.SetInParent()
    elif part.key is not None:
        if len(parsed) != 1:
            raise ValueError(f"{part.name}[{cut(part.key)}] is one element, not a list of {len(parsed)}")
        target[_index(part, len(target))].CopyFrom(parsed[0])
    else:
        if not append:
            del target[:]
        target.extend(parsed)


def _items(value: str) -> list[str]:
    """The elements of `[a, "b, c"]`; text without brackets is one element."""
    value = value.strip()
    if not (value.startswith("[") and value.endswith("]")):
        return [value]
    inner = value[1:-1].strip()
    items, start = [], 0
    while start < len(inner):
        quoted = _QUOTED.match(inner, start)
        if quoted is not None:
            items.append(quoted[1])
            start = quoted.end()
            continue
        comma = inner.find(",", start)
        comma = len(inner) if comma < 0 else comma
        items.append(inner[start:comma].strip())
        start = comma + 1
    return items


def _scalar(field: FieldDescriptor, value: str, source: str) -> str | int | float | bool:
    """Parses a scalar; strings need no quotes, since shells remove them."""
    value = value.strip()
    if not is_string(field):
        reason = bad_value(field, value)
        if reason is not None:
            raise ValueError(reason)
        return convert(field, value)
    if len(value) < 2 or value[0] not in "'\"" or value[-1] != value[0]:
        value.encode("utf-8")  # Raises ValueError for text that a proto string cannot hold.
        return value
    parsed = _fragment(field, value, source)
    return parsed[0] if field.is_repeated else parsed


def _fragment(field: FieldDescriptor, value: str, source: str) -> Any:
    """Parses `name: value` in a message of its own, so that an error leaves the config unchanged."""
    fragment = message_factory.GetMessageClass(field.containing_type)()
    text.parse(f"{field.name}: {value}", fragment, source, positions=False)
    if [found.name for found, _ in fragment.ListFields()] not in ([field.name], []):
        raise ValueError(f"{field.name} takes {takes(field)}, but more text follows; use one setting per field")
    return getattr(fragment, field.name)
