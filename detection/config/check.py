"""Whether a config that parses also makes sense, and whether this project does what it says: before anything is built, without TensorFlow."""

from __future__ import annotations

import math

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from detection.config import ranges, rules
from detection.config.data_paths import check_data_paths
from detection.config.schema import enum_values, is_message, message_name
from detection.config.support import HONOURED, INSTEAD, NO_EFFECT, VALUES
from detection.config.walk import join, messages
from detection.errors import ConfigError
from detection.protos import pipeline_pb2

_FLOATS = (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE)


def check(config: pipeline_pb2.TrainEvalPipelineConfig, source: str = "config", check_paths: bool = True) -> list[str]:
    """Checks every field that is set, and every number that counts.

    Args:
        config: loaded, and overridden where that is wanted.
        source: what messages begin with, for example the file.
        check_paths: also look for the files that are named: records, label maps, the checkpoint to start from.

    Returns:
        Warnings, one line each: what is set but has no effect, what is unusual.

    Raises:
        ConfigError: `source: path.of.the.field (value) what is wrong; what to do`. First what is not supported, then what makes no sense, then
            files that are missing. DataError: a label map that cannot be used.
    """
    everything = list(messages(config))
    warnings = []
    for path, message in everything:
        warnings += [f"{source}: {warning}" for warning in _supported(message, path, source)]
    for path, message in everything:
        _sensible(message, path, source)
    if check_paths:
        warnings += check_data_paths(config, source)
    return warnings


def _supported(message: Message, path: str, source: str) -> list[str]:
    """Refuses the fields of one message that nobody reads; warns about those that change nothing."""
    name = message_name(message.DESCRIPTOR)
    warnings = []
    for field, value in message.ListFields():
        key, here = f"{name}.{field.name}", join(path, field.name)
        if field.name in HONOURED.get(name, ()):
            _supported_value(key, here, field, value, source)
        elif not is_message(field) and not field.is_repeated and value == field.default_value:
            continue
        elif key in NO_EFFECT:
            warnings.append(f"{here} ({_shown(field, value)}) has no effect: {NO_EFFECT[key]}")
        else:
            what = here if is_message(field) else f"{here} ({_shown(field, value)})"
            raise ConfigError(f"{source}: {what} is not supported; {INSTEAD.get(key) or _alternatives(field, name)}")
    return warnings


def _supported_value(key: str, here: str, field: FieldDescriptor, value: object, source: str) -> None:
    """Refuses the values of an honoured field that are not among those supported."""
    for item in (value if field.is_repeated else [value]) if key in VALUES else []:
        shown = _shown(field, item)
        bare = item if isinstance(item, str) else shown
        if bare not in VALUES[key]:
            known = [choice for choice in VALUES[key] if choice]
            raise ConfigError(f"{source}: {here} ({shown}) is not supported; use {'one of ' * (len(known) > 2)}{', '.join(known)}")


def _alternatives(field: FieldDescriptor, name: str) -> str:
    """The members of the same oneof that are honoured."""
    group = field.containing_oneof
    honoured = [member.name for member in group.fields if member.name in HONOURED.get(name, ())] if group is not None else []
    return f"use {'one of ' * (len(honoured) > 2)}{', '.join(honoured)}" if honoured else "remove it"


def _shown(field: FieldDescriptor, value: object) -> str:
    """A value as one writes it in a config; a list as its length."""
    if field.is_repeated and not isinstance(value, str | int | float):
        return f"{len(value)} values"
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        return next((name for name in enum_values(field) if field.enum_type.values_by_name[name].number == value), str(value))
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, str) else rules.short(value)


def _sensible(message: Message, path: str, source: str) -> None:
    """Raises ConfigError at the first thing in one message, without what lies inside it, that makes no sense."""
    name = message_name(message.DESCRIPTOR)
    for field, value in message.ListFields():
        if field.cpp_type in _FLOATS:
            for number in value if field.is_repeated else [value]:
                if not math.isfinite(number):
                    raise ConfigError(f"{source}: {join(path, field.name)} ({number}) must be a finite number")
    for required in ranges.REQUIRED.get(name, ()):
        if not message.HasField(required):
            raise ConfigError(f"{source}: {join(path, required)} is not set; {_example(message.DESCRIPTOR.fields_by_name[required])}")
    for group in message.DESCRIPTOR.oneofs:
        if group.name not in ranges.OPTIONAL_ONEOFS and message.WhichOneof(group.name) is None:
            choices = [field.name for field in group.fields if field.name in HONOURED.get(name, ())]
            raise ConfigError(f"{source}: {path or 'the config'} is empty; set {'one of ' * (len(choices) > 2)}{', '.join(choices)}")
    for fault in (*rules.out_of_range(message, path, name), *rules.RULES.get(name, lambda *_: ())(message, path)):
        raise ConfigError(f"{source}: {fault}")


def _example(field: FieldDescriptor) -> str:
    """How to set a field that must be set."""
    if not is_message(field):
        known = VALUES.get(f"{message_name(field.containing_type)}.{field.name}", ())
        return f"set it, for example to '{known[0]}'" if known else "set it"
    inner = message_name(field.message_type)
    choices = [member.name for group in field.message_type.oneofs for member in group.fields if member.name in HONOURED.get(inner, ())]
    first = (*ranges.REQUIRED.get(inner, ()), *choices)[:1]
    return f"add {field.name} {{ {first[0] + ' { ... }' if first else '...'} }}"
