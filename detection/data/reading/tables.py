"""Lookup tables from text to whole numbers, for input pipelines."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf


def text_table(entries: Mapping[str, int]) -> tf.lookup.StaticHashTable:
    """A table that gives -1 for what is not in `entries`.

    TensorFlow notes an operation that fills a table in a collection of the graph that surrounds everything, where there
    is none when it is filled at once. Every graph made later inherits the note, and saving one complains that it cannot
    be written down; so it is taken out again.
    """
    graph, key = tf.compat.v1.get_default_graph(), tf.compat.v1.GraphKeys.TABLE_INITIALIZERS
    before = graph.get_collection(key)
    pairs = tf.lookup.KeyValueTensorInitializer(list(entries), list(entries.values()), tf.string, tf.int64)
    table = tf.lookup.StaticHashTable(pairs, default_value=-1)
    if tf.executing_eagerly():
        graph.clear_collection(key)
        for operation in before:
            graph.add_to_collection(key, operation)
    return table
