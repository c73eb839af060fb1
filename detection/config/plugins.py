"""Imports the plugin modules that a config needs, and lists them in configs that are saved.

A saved config thus names all its plugins when it is evaluated, exported or resumed.
"""

from __future__ import annotations

from collections.abc import Iterator

from absl import logging

from detection import registry
from detection.config import fields
from detection.config.schema import is_message, message_name
from detection.config.walk import messages
from detection.errors import ConfigError
from detection.protos import pipeline_pb2
from detection.registry import Registry

_PROGRAM = "__main__"


def load(config: pipeline_pb2.TrainEvalPipelineConfig) -> None:
    """Imports the modules in the config's field `plugins`.

    Raises:
        ConfigError: a module cannot be imported, or registers a name that this package uses itself.
    """
    registry.import_plugins(config.plugins)
    for row in {id(row): row for rows in fields.TABLE.values() for row in rows.values() if row.registry}.values():
        parts = row.registry
        assert parts is not None
        for name in row.values:
            if (taken := parts.registered(name)) is not None:
                raise ConfigError(
                    f"plugins: {taken.plugin} registers the {parts.kind} {name!r}, which is the name of one of"
                    " this package; rename it"
                )


def complete(config: pipeline_pb2.TrainEvalPipelineConfig) -> None:
    """Adds to `plugins` the modules of registered parts that the config uses without naming their module.

    Such parts were registered by an entry point or by the running program.
    """
    named = list(dict.fromkeys(config.plugins))
    config.plugins[:] = named
    for known, name in _used(config):
        found = known.find(name)
        if found is None or found.plugin in config.plugins:
            continue
        if found.plugin == _PROGRAM:
            logging.warning(
                "%s %r is registered by the program itself, so the saved config cannot say where to find it; put it in"
                " a module and name that in plugins",
                known.kind,
                name,
            )
            continue
        config.plugins.append(found.plugin)


def _used(config: pipeline_pb2.TrainEvalPipelineConfig) -> Iterator[tuple[Registry, str]]:
    """Yields every name in the config that may be registered, with its registry."""
    for _, message in messages(config, enter=fields.is_honoured):
        known = fields.rows(message_name(message.DESCRIPTOR))
        for field, value in message.ListFields():
            row = known.get(field.name)
            if row is None or row.registry is None:
                continue
            if is_message(field):
                yield row.registry, value.name
            else:
                names = list(value) if field.is_repeated else [value]
                yield from ((row.registry, name) for name in names if name not in row.values)
