"""Whether a config that parses also makes sense, and whether this project does what it says: before anything is built,
without TensorFlow."""

from __future__ import annotations

import math
from collections.abc import Iterator

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from detection.config import limits, ranges, rules, schedule_rules
from detection.config.data_paths import check_data_paths
from detection.config.schema import enum_values, is_message, message_name
from detection.config.support import HONOURED, INSTEAD, NO_EFFECT, VALUES
from detection.config.walk import join, messages
from detection.errors import ConfigError, DetectionError, together
from detection.protos import pipeline_pb2

_FLOATS = (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE)
_MOST = 100  # problems that are told of one config
_LONGEST = 60  # characters of a value that are shown


def check(
    config: pipeline_pb2.TrainEvalPipelineConfig,
    source: str = "config",
    check_paths: bool = True,
    training: bool = True,
) -> list[str]:
    """Checks every field that is set, and every number that counts.

    Args:
        config: loaded, and overridden where that is wanted.
        source: what messages begin with, for example the file.
        check_paths: also look for the files that are named: records, label maps, the checkpoint to start from.
        training: also whether the learning rate fits the number of steps, which only matters to those who train.

    Returns:
        Warnings, one line each: what is set but has no effect, what is unusual.

    Raises:
        ConfigError: `source: path.of.the.field (value) what is wrong; what to do`. First what is not supported, then
            what makes no sense, then files that are missing; the first is raised and carries the others
            (`DetectionError.lines`). DataError: a label map that cannot be used.
    """
    everything = list(messages(config, enter=_is_read))
    warnings: list[str] = []
    faults: list[DetectionError] = []
    for path, message in everything:
        for is_fault, text in _supported(message, path):
            if is_fault:
                faults.append(ConfigError(f"{source}: {text}"))
            else:
                warnings.append(f"{source}: {text}")
    for path, message in everything:
        faults += [ConfigError(f"{source}: {text}") for text in _sensible(message, path)]
        warnings += [f"{source}: {text}" for text in rules.without_effect(message, path)]
    if training and config.HasField("train_config") and not faults:
        faults += [ConfigError(f"{source}: {text}") for text in schedule_rules.faults(config.train_config)]
        warnings += [f"{source}: {text}" for text in schedule_rules.warnings(config.train_config)]
    if check_paths:
        missing, remarks = check_data_paths(config, source)
        faults += missing
        warnings += remarks
    if faults:
        left_out = (
            [ConfigError(f"{source}: {len(faults) - _MOST} more problems are not listed")]
            if len(faults) > _MOST
            else []
        )
        raise together([*faults[:_MOST], *left_out])
    return warnings


def _is_read(field: FieldDescriptor) -> bool:
    """Whether what lies in a message matters: nobody reads what has no effect or is refused as a whole."""
    return field.name in HONOURED.get(message_name(field.containing_type), ())


def _supported(message: Message, path: str) -> Iterator[tuple[bool, str]]:
    """(True, sentence) on each field of one message that nobody reads, (False, sentence) on each that changes
    nothing."""
    name = message_name(message.DESCRIPTOR)
    for field, value in message.ListFields():
        key, here = f"{name}.{field.name}", join(path, field.name)
        if field.name in HONOURED.get(name, ()):
            yield from ((True, text) for text in _unsupported_values(key, here, field, value))
        elif not is_message(field) and not field.is_repeated and value == field.default_value:
            continue
        else:
            what = here if is_message(field) and not field.is_repeated else f"{here} ({_shown(field, value)})"
            if key in NO_EFFECT:
                yield False, f"{what} has no effect: {NO_EFFECT[key]}"
            else:
                yield True, f"{what} is not supported; {INSTEAD.get(key) or _alternatives(field, name)}"


def _unsupported_values(key: str, here: str, field: FieldDescriptor, value: object) -> Iterator[str]:
    """Sentences on the values of an honoured field that are not among those supported."""
    for item in (value if field.is_repeated else [value]) if key in VALUES else []:
        shown = _shown(field, item)
        bare = item if isinstance(item, str) else shown
        if bare not in VALUES[key]:
            known = [choice for choice in VALUES[key] if choice]
            yield f"{here} ({shown}) is not supported; use {'one of ' * (len(known) > 2)}{', '.join(known)}"


def _alternatives(field: FieldDescriptor, name: str) -> str:
    """The members of the same oneof that are honoured."""
    group = field.containing_oneof
    honoured = (
        [member.name for member in group.fields if member.name in HONOURED.get(name, ())] if group is not None else []
    )
    return f"use {'one of ' * (len(honoured) > 2)}{', '.join(honoured)}" if honoured else "remove it"


def _shown(field: FieldDescriptor, value: object) -> str:
    """A scalar, or an item of a list, as one writes it in a config, long ones cut; a list or a map as its length."""
    if field.is_repeated and not isinstance(value, str | bytes | int | float):
        return f"{len(value)} value{'s' * (len(value) != 1)}"
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        return next(
            (name for name in enum_values(field) if field.enum_type.values_by_name[name].number == value), str(value)
        )
    if isinstance(value, bool):
        return str(value).lower()
    shown = repr(value) if isinstance(value, str | bytes) else rules.short(value)
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}..."


def _sensible(message: Message, path: str) -> Iterator[str]:
    """Sentences on what makes no sense in one message, without what lies inside it."""
    name = message_name(message.DESCRIPTOR)
    for field, value in message.ListFields():
        if field.cpp_type in _FLOATS:
            bad = [number for number in (value if field.is_repeated else [value]) if not math.isfinite(number)]
            if bad:
                yield f"{join(path, field.name)} ({bad[0]}) must be a finite number"
    for required in ranges.REQUIRED.get(name, ()):
        if not message.HasField(required):
            yield f"{join(path, required)} is not set; {_example(message.DESCRIPTOR.fields_by_name[required])}"
    for group in message.DESCRIPTOR.oneofs:
        if group.name not in ranges.OPTIONAL_ONEOFS and message.WhichOneof(group.name) is None:
            choices = [field.name for field in group.fields if field.name in HONOURED.get(name, ())]
            yield f"{path or 'the config'} is empty; set {'one of ' * (len(choices) > 2)}{', '.join(choices)}"
    yield from rules.out_of_range(message, path, name)
    yield from limits.too_large(message, path, name)
    yield from rules.RULES.get(name, lambda *_: ())(message, path)


def _example(field: FieldDescriptor) -> str:
    """How to set a field that must be set."""
    if not is_message(field):
        known = VALUES.get(f"{message_name(field.containing_type)}.{field.name}", ())
        return f"set it, for example to '{known[0]}'" if known else "set it"
    inner = message_name(field.message_type)
    choices = [
        member.name
        for group in field.message_type.oneofs
        for member in group.fields
        if member.name in HONOURED.get(inner, ())
    ]
    first = (*ranges.REQUIRED.get(inner, ()), *choices)[:1]
    return f"add {field.name} {{ {first[0] + ' { ... }' if first else '...'} }}"
