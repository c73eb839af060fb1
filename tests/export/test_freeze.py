"""Freezing real layers: folded batch norm, no variables, marks to cut at."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from detection.export.fold import folded
from detection.export.freeze import batch_norms, freeze, variables
from detection.export.saved_model import write_saved_model
from detection.networks.blocks import Blocks
from detection.networks.hyperparams import BatchNormSettings, Hyperparams
from detection.networks.layers import Conv, DepthwiseConv


def _network(padding: str = "SAME") -> Blocks:
    hyper = Hyperparams(
        keras.initializers.TruncatedNormal(stddev=0.3, seed=7),
        activation=tf.nn.relu6,
        batch_norm=BatchNormSettings(scale=True),
    )
    plain = Hyperparams(keras.initializers.TruncatedNormal(stddev=0.3, seed=8), activation=None)
    layers = (
        Conv("first", 8, 3, hyper, stride=2, padding=padding),
        DepthwiseConv("second", 3, hyper, padding=padding),
        Conv("third", 4, 1, plain),
    )
    network = Blocks("net", layers)
    network(tf.zeros([1, 16, 16, 3]))
    random = np.random.default_rng(3)
    for variable in network.variables:
        if "BatchNorm" in variable.path or "biases" in variable.path:
            variable.assign(random.uniform(0.5, 1.5, variable.shape).astype(np.float32))
    return network


def _freeze(network, shape=(None, 16, 16, 3)):
    def serve(x):
        scaled = x - 0.5
        y = network(scaled)["third"]
        return {"out": tf.nn.relu(y)}, {"marks/scaled": scaled, "marks/raw": y}

    with folded(network) as count:
        frozen = freeze(tf.function(serve, autograph=False).get_concrete_function(tf.TensorSpec(shape, name="x")))
    return frozen, count


def _cut(frozen, source, target):
    imported = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(frozen.graph, name=""), [])
    return imported.prune(imported.graph.get_tensor_by_name(source), imported.graph.get_tensor_by_name(target))


@pytest.mark.parametrize("padding", ["SAME", "EXPLICIT"])
def test_folded_equals_unfolded(padding):
    network = _network(padding)
    frozen, count = _freeze(network)
    assert count == 2
    x = tf.random.stateless_normal([2, 16, 16, 3], seed=(1, 2))
    expected = tf.nn.relu(network(x - 0.5)["third"])
    # One rounding of each kernel entry, relative 6e-8, through three layers: far below 1e-5 of outputs of order one.
    np.testing.assert_allclose(_cut(frozen, frozen.input, "out:0")(x), expected, atol=1e-5)


def test_nothing_of_batch_norm_or_variables_is_left_and_the_layers_are_as_before():
    network = _network()
    frozen, _ = _freeze(network)
    assert batch_norms(frozen.graph) == []
    assert variables(frozen.graph) == []
    ops = [node.op for node in frozen.graph.node]
    # conv, bias, activation; depthwise, bias, activation; conv, bias, and the output's own activation: each parameter
    # is one constant, and 0.5.
    assert ops.count("Const") == 7
    assert ops.count("BiasAdd") == 3
    assert "Mul" not in ops and "Rsqrt" not in ops
    assert not any(layer.fold for layer in network.blocks)


def test_unfolded_graphs_are_told_apart():
    network = _network()
    function = tf.function(lambda x: ({"out": network(x)["third"]}, {}), autograph=False).get_concrete_function(
        tf.TensorSpec([1, 16, 16, 3])
    )
    assert len(batch_norms(freeze(function).graph)) == 2


def test_marks_cut_the_graph_into_parts_that_compose():
    frozen, _ = _freeze(_network())
    x = tf.random.stateless_normal([1, 16, 16, 3], seed=(1, 2))
    raw = _cut(frozen, "marks/scaled:0", "marks/raw:0")(x - 0.5)
    np.testing.assert_array_equal(_cut(frozen, "marks/raw:0", "out:0")(raw), _cut(frozen, frozen.input, "out:0")(x))


def test_the_batch_stays_free():
    frozen, _ = _freeze(_network())
    assert frozen.inputs[0].shape.as_list() == [None, 16, 16, 3]
    assert _cut(frozen, frozen.input, "out:0")(tf.zeros([5, 16, 16, 3])).shape[0] == 5


def test_an_atrous_convolution_leaves_its_gradients_behind(tmp_path):
    """They are made by `tf.custom_gradient`: frozen they cannot be saved, and would stand between the convolution and
    its bias."""
    hyper = Hyperparams(keras.initializers.GlorotUniform(), activation=None)
    plain, atrous = (Blocks("net", (Conv("third", 4, 3, hyper, rate=rate),)) for rate in (1, 2))
    images = tf.random.stateless_uniform([1, 16, 16, 3], [1, 2])
    plain(images)
    expected = tf.nn.relu(atrous(images - 0.5)["third"])
    frozen, like = _freeze(atrous, images.shape)[0], _freeze(plain, images.shape)[0]
    assert [node.op for node in frozen.graph.node] == [node.op for node in like.graph.node]
    assert _ops_that_run(frozen) == _ops_that_run(like)
    write_saved_model(frozen, ["images"], [], tmp_path / "saved_model")
    np.testing.assert_allclose(tf.saved_model.load(str(tmp_path / "saved_model"))(images)["out"], expected, atol=1e-6)


def test_loops_are_saved_without_the_gradients_of_their_bodies(tmp_path):
    """As the second stage of a detector, which pools its regions in parts: a SavedModel does not take a gradient in the
    body of a frozen loop."""

    @tf.custom_gradient
    def twice(x):
        return (2 * x, x), lambda *gradients: gradients[0]

    def serve(x):
        def step(number, total):
            doubled, same = twice(total)
            return number + 1, twice(doubled)[0] + same

        return {"out": tf.while_loop(lambda number, _: number < 2, step, [tf.constant(0), x])[1]}, {}

    frozen = freeze(tf.function(serve, autograph=False).get_concrete_function(tf.TensorSpec([None], name="x")))
    assert any(
        "_gradient_op_type" in node.attr for function in frozen.graph.library.function for node in function.node_def
    )
    write_saved_model(frozen, ["x"], [], tmp_path / "saved_model")
    np.testing.assert_array_equal(
        tf.saved_model.load(str(tmp_path / "saved_model"))(tf.constant([1.0, 3.0]))["out"], [25, 75]
    )


def test_what_tensorflow_runs_is_one_op_a_layer():
    """Convolution, bias and relu6 are fused by TensorFlow's own optimiser once batch norm is folded."""
    frozen, _ = _freeze(_network(), (1, 16, 16, 3))
    ops = _ops_that_run(frozen)
    assert sum("FusedConv2D" in op for op in ops) == 2, ops
    if any("Mkl" in op for op in ops):  # With oneDNN the depthwise convolution takes its bias and activation in too.
        assert sum("FusedDepthwiseConv2dNative" in op for op in ops) == 1, ops
        assert not any("BiasAdd" in op or "Relu6" in op for op in ops), ops


def _ops_that_run(frozen) -> list[str]:
    """Kinds of the ops that are left when TensorFlow has optimised the graph for one image."""
    options = tf.compat.v1.RunOptions(output_partition_graphs=True)
    metadata = tf.compat.v1.RunMetadata()
    graph = tf.Graph()
    with graph.as_default():
        tf.graph_util.import_graph_def(frozen.graph, name="")
    with tf.compat.v1.Session(graph=graph) as session:
        session.run(
            "out:0", {frozen.input: np.zeros([1, 16, 16, 3], np.float32)}, options=options, run_metadata=metadata
        )
    return [node.op for partition in metadata.partition_graphs for node in partition.node]
