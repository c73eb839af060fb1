"""TensorFlow's private API works as this project needs it."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from detection.tools import tf_internals


def test_a_function_becomes_one_graph_of_constants():
    variable = tf.Variable([2.0, 3.0])
    inner = tf.function(lambda x: x * variable)
    function = tf.function(lambda x: inner(x) + 1.0).get_concrete_function(tf.TensorSpec([2]))
    graph, fed = tf_internals.inlined(function)
    kinds = {node.op for node in graph.node}
    assert "VarHandleOp" not in kinds and "PartitionedCall" not in kinds and {"Mul", "AddV2"} <= kinds
    assert [tensor.shape for tensor in fed] == [[2]]
    name = function.outputs[0].name
    pruned = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph, name=""), []).prune(
        fed[0].name, name
    )
    np.testing.assert_array_equal(pruned(tf.constant([1.0, 1.0])), [3, 4])


def test_called_functions_are_graphs_also_behind_an_import():
    inner = tf.function(lambda x: tf.matmul(x, x))
    function = tf.function(lambda x: inner(x)).get_concrete_function(tf.TensorSpec([4, 4]))
    imported = tf.compat.v1.wrap_function(
        lambda: tf.graph_util.import_graph_def(function.graph.as_graph_def(), name=""), []
    )
    for graph in (function.graph, imported.graph):
        (call,) = (op for op in graph.get_operations() if op.type.endswith("PartitionedCall"))
        (product,) = (op for op in tf_internals.function_graph(call, "f").get_operations() if op.type == "MatMul")
        assert product.outputs[0].shape == [4, 4]


def test_definitions_of_ops():
    assert tf_internals.op_definition("MatMul").output_arg[0].name == "product"
    assert tf_internals.op_definition("NoSuchOp") is None


def test_the_fingerprint_matches_the_content_of_the_folder(tmp_path):
    module = tf.Module()
    module.f = tf.function(lambda x: x + 1, input_signature=[tf.TensorSpec([])])
    tf.saved_model.save(module, str(tmp_path))
    before = (tmp_path / "fingerprint.pb").read_bytes()
    (tmp_path / "fingerprint.pb").unlink()
    tf_internals.write_fingerprint(tmp_path)
    assert len((tmp_path / "fingerprint.pb").read_bytes()) >= len(before) - 50
