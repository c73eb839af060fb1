"""Lookup tables from text to whole numbers, for input pipelines."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf


def text_table(entries: Mapping[str, int]) -> tf.lookup.StaticHashTable:
    """A lookup table that returns -1 for unknown texts.

    Even in eager mode, TensorFlow adds the initialiser of a table to a collection of the default graph. Every later
    graph inherits it, and saving such a graph logs a warning that the collection cannot be serialised; so it is removed
    again.
    """
    graph, key = tf.compat.v1.get_default_graph(), tf.compat.v1.GraphKeys.TABLE_INITIALIZERS
    previous = graph.get_collection(key)
    pairs = tf.lookup.KeyValueTensorInitializer(list(entries), list(entries.values()), tf.string, tf.int64)
    table = tf.lookup.StaticHashTable(pairs, default_value=-1)
    if tf.executing_eagerly():
        graph.clear_collection(key)
        for operation in previous:
            graph.add_to_collection(key, operation)
    return table
