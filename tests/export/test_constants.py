"""Constant folding of graphs: what it replaces, what it leaves."""

import numpy as np
import tensorflow as tf

from detection.export.constants import fold_constants, split


def _graph(function, *specs):
    concrete = tf.function(function, autograph=False).get_concrete_function(*specs)
    return concrete.graph.as_graph_def(), concrete.inputs[0].name, concrete.outputs[0].name


def _run(graph, source, target, value):
    imported = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph, name=""), [])
    return imported.prune(imported.graph.get_tensor_by_name(source), imported.graph.get_tensor_by_name(target))(
        value
    ).numpy()


def test_split_names_nodes_outputs_and_control_inputs():
    assert split("a/b") == ("a/b", 0)
    assert split("a/b:2") == ("a/b", 2)
    assert split("^a/b") == ("a/b", -1)


def test_a_product_of_constants_becomes_one_constant():
    graph, source, target = _graph(
        lambda x: x * (tf.constant([1.0, 2.0]) * tf.constant([3.0, 5.0])), tf.TensorSpec([None, 2])
    )
    folded = fold_constants(graph, [source, target])
    assert [node.op for node in folded.node].count("Const") == 1
    assert [node.op for node in folded.node].count("Mul") == 1
    np.testing.assert_array_equal(_run(folded, source, target, tf.constant([[1.0, 1.0]])), [[3.0, 10.0]])


def test_shapes_and_random_numbers_of_the_input_are_left():
    graph, source, target = _graph(
        lambda x: x + tf.random.uniform([2]) * 0 + tf.cast(tf.shape(x)[0], tf.float32), tf.TensorSpec([None, 2])
    )
    folded = fold_constants(graph, [source, target])
    assert {"RandomUniform", "Shape"} <= {node.op for node in folded.node}
    np.testing.assert_array_equal(_run(folded, source, target, tf.zeros([3, 2])), np.full([3, 2], 3.0))


def test_a_large_broadcast_of_a_small_constant_stays_an_op():
    graph, source, target = _graph(lambda x: x + tf.fill([1000, 1000], 2.0), tf.TensorSpec([1000, 1000]))
    folded = fold_constants(graph, [source, target])
    assert "Fill" in {node.op for node in folded.node}
    assert folded.ByteSize() < 10_000


def test_several_outputs_of_one_node_keep_apart():
    def function(x):
        first, second = tf.split(tf.constant([1.0, 2.0, 3.0, 4.0]) * 2.0, 2)
        return x * first + second

    graph, source, target = _graph(function, tf.TensorSpec([2]))
    folded = fold_constants(graph, [source, target])
    assert "Split" not in {node.op for node in folded.node}
    np.testing.assert_array_equal(_run(folded, source, target, tf.constant([1.0, 1.0])), [8.0, 12.0])


def test_a_weight_behind_identities_is_used_as_it_is():
    """Frozen variables look like this: no second copy is made of them."""

    def function(x):
        weight = tf.identity(tf.identity(tf.constant([2.0, 3.0])))
        return x * weight + weight

    graph, source, target = _graph(function, tf.TensorSpec([2]))
    folded = fold_constants(graph, [source, target])
    assert [node.name for node in folded.node if node.op == "Const"] == [
        node.name for node in graph.node if node.op == "Const"
    ]
    np.testing.assert_array_equal(_run(folded, source, target, tf.constant([1.0, 2.0])), [4.0, 9.0])
