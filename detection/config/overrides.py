"""Overrides of config fields: `--set path=value`."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.descriptor import Descriptor

from detection.config.assign import assign, split_path
from detection.config.places import Places
from detection.config.schema import cut, unknown_field
from detection.config.short_names import SHORT_NAMES
from detection.config.walk import join, messages
from detection.errors import ConfigError
from detection.protos import pipeline_pb2
from detection.tools.suggest import did_you_mean

Config = pipeline_pb2.TrainEvalPipelineConfig


def override(config: Config, settings: Iterable[str], flag: str = "--set", places: Places | None = None) -> Config:
    """Returns a copy of `config` with every `path=value` of `settings` applied in order.

    `detection.config.assign` lists the forms. The beginning of a path can be omitted if only one field of the config
    ends so; short names have the same meaning as in the TF Object Detection API.

    Args:
        config: not changed.
        settings: `path=value`, or `path+=value` for lists.
        flag: prefix of errors.
        places: records which fields were set.

    Raises:
        ConfigError: `--set path=value: problem; fix`.
    """
    changed = Config()
    changed.CopyFrom(config)
    for setting in settings:
        before = Config.FromString(changed.SerializeToString()) if places is not None else None
        source = _set(changed, setting, flag)
        if places is not None and before is not None:
            places.set_by(source, before, changed)
    return changed


def _set(changed: Config, setting: str, flag: str) -> str:
    """Applies one setting; returns its name for messages."""
    source = f"{flag} {cut(setting, 200)}".replace("\n", " ")  # Errors are one line.
    before, equals, value = setting.partition("=")
    append = before.endswith("+")
    path = before[: len(before) - append].strip()
    if not equals or not path:
        raise ConfigError(f"{source}: expected path=value, as in model.ssd.num_classes=3")
    if path in SHORT_NAMES and not append:
        SHORT_NAMES[path](changed, value, source)
    else:
        assign(changed, _full_path(changed, path, source), value, append, source)
    return source


def _full_path(config: Config, path: str, source: str) -> str:
    """`path`, completed if its beginning was omitted."""
    try:
        names = [part.name for part in split_path(path)]
    except ValueError as error:
        raise ConfigError(f"{source}: {error}") from None
    if names[0] in Config.DESCRIPTOR.fields_by_name:
        return path
    found = [join(home, path) for home, message in messages(config) if _leads_on(message.DESCRIPTOR, names)]
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError(f"{source}: {cut(path)} may mean {', '.join(found[:6])}; write the full path")
    known = {field.name for _, message in messages(config) for field in message.DESCRIPTOR.fields}
    hint = did_you_mean(path, [*SHORT_NAMES, *sorted(known - set(SHORT_NAMES))]) if len(names) == 1 else ""
    reason = (
        f"unknown setting {cut(path)!r}{hint}"
        if hint
        else unknown_field(names[0], Config.DESCRIPTOR, Config.DESCRIPTOR)
    )
    raise ConfigError(f"{source}: {reason}")


def _leads_on(descriptor: Descriptor | None, names: list[str]) -> bool:
    """Whether the schema has these nested fields below a message of this type."""
    for name in names:
        field = descriptor.fields_by_name.get(name) if descriptor is not None else None
        if field is None:
            return False
        descriptor = field.message_type
    return True
