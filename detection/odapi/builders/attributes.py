"""Builds nested objects from keys, which `tf.train.Checkpoint` traverses by attribute."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from detection.checkpoints.object_files import unescaped


def by_attribute(variables: Mapping[str, tf.Variable]) -> dict[str, tf.Module | tf.Variable]:
    """Converts {"a/b/c": variable} to {"a": an object whose attribute b has the attribute c}."""
    parts: dict[str, tf.Module | tf.Variable] = {}
    for key, variable in variables.items():
        *path, last = map(unescaped, key.split("/"))
        node = None
        for name in path:
            node = _child(parts, node, name)
        if node is None:
            parts[last] = variable
        else:
            setattr(node, last, variable)
    return parts


def _child(parts: dict[str, tf.Module | tf.Variable], node: tf.Module | None, name: str) -> tf.Module:
    if node is None:
        return parts.setdefault(name, tf.Module())
    if not hasattr(node, name):
        setattr(node, name, tf.Module())
    return getattr(node, name)
