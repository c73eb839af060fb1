"""Tables of input pipelines leave nothing behind in the graph that surrounds everything."""

from __future__ import annotations

import tensorflow as tf

from detection.data.reading import labels
from detection.data.reading.tables import text_table

KEY = tf.compat.v1.GraphKeys.TABLE_INITIALIZERS


def test_lookup():
    table = text_table({"a": 3, "größe": 0})
    assert table.lookup(tf.constant(["größe", "a", "b", ""])).numpy().tolist() == [0, 3, -1, -1]
    inside = tf.data.Dataset.from_tensors(["a"]).map(table.lookup, num_parallel_calls=2)
    assert next(iter(inside)).numpy().tolist() == [3]


def test_nothing_is_left_in_the_surrounding_graph():
    graph = tf.compat.v1.get_default_graph()
    before = graph.get_collection(KEY)
    text_table({"a": 1})
    labels.LabelLookup((("a", 1),), (1,), 1)
    assert graph.get_collection(KEY) == before


def test_what_somebody_else_noted_there_stays():
    graph = tf.compat.v1.get_default_graph()
    before = graph.get_collection(KEY)
    graph.add_to_collection(KEY, "theirs")
    try:
        text_table({"a": 1})
        assert graph.get_collection(KEY) == [*before, "theirs"]
    finally:
        graph.clear_collection(KEY)
        for operation in before:
            graph.add_to_collection(KEY, operation)


def test_in_a_graph_the_operation_that_fills_the_table_is_kept():
    with tf.Graph().as_default() as graph:
        text_table({"a": 1})
        assert len(graph.get_collection(KEY)) == 1
