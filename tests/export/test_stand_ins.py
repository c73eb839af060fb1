"""Weights leave a graph and come back into the file that was made of it, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from detection.export import saved_model, stand_ins
from detection.export.freeze import freeze


def frozen_with_weights(seed: int):
    """A matrix in the graph, another in the body of a loop, and numbers that are no floats."""
    outer, inner = (tf.random.stateless_normal([64, 64], (seed, which)) for which in (0, 1))
    order = tf.constant(np.random.default_rng(seed).permutation(3000))

    def serve(x):
        def step(number, total):
            return number + 1, tf.tanh(total @ tf.identity(inner.numpy()))

        looped = tf.while_loop(lambda number, _: number < 2, step, [tf.constant(0), x @ outer.numpy() + 0.5])[1]
        return {"out": looped, "row": tf.gather(tf.constant(order.numpy()), tf.cast(x[0, 0], tf.int32))}, {}

    frozen = freeze(tf.function(serve, autograph=False).get_concrete_function(tf.TensorSpec([None, 64], name="x")))
    return frozen, outer.numpy(), inner.numpy(), order.numpy()


def constants(graph) -> list[np.ndarray]:
    """Of a graph and its functions, those of more than a few bytes."""
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    nodes = [node for node in nodes if node.op == "Const" and node.attr["dtype"].type != tf.string.as_datatype_enum]
    found = [tf.make_ndarray(node.attr["value"].tensor) for node in nodes]
    return sorted((value for value in found if value.nbytes > 100), key=lambda value: value.ravel()[0])


def test_a_stand_in_has_type_and_shape_and_next_to_no_bytes():
    frozen, outer, inner, order = frozen_with_weights(1)
    before = frozen.graph.SerializeToString(deterministic=True)
    light, values = stand_ins.set_aside(frozen.graph)
    assert frozen.graph.SerializeToString(deterministic=True) == before
    assert [tf.make_ndarray(value).tobytes() for value in values] == [outer.tobytes()]
    assert light.ByteSize() < frozen.graph.ByteSize() - outer.nbytes + 1000
    assert [value.shape for value in constants(light) if value.dtype == np.float32] == [(64, 64)] * 2
    assert any(np.array_equal(value, inner) for value in constants(light)), "functions are known by their names"
    assert any(np.array_equal(value, order) for value in constants(light)), "what may be a size or an axis stays"


def test_the_file_holds_what_was_frozen_and_computes_it(tmp_path):
    frozen, outer, inner, order = frozen_with_weights(1)
    saved_model.write_saved_model(frozen, ["x"], [], tmp_path / "saved")
    proto = saved_model_pb2.SavedModel.FromString((tmp_path / "saved" / "saved_model.pb").read_bytes())
    for value, expected in zip(constants(proto.meta_graphs[0].graph_def), constants(frozen.graph), strict=True):
        np.testing.assert_array_equal(value, expected)
    assert b"_stands_for" not in proto.SerializeToString()
    x = np.full([1, 64], 7.0, np.float32)
    found = tf.saved_model.load(str(tmp_path / "saved"))(tf.constant(x))
    np.testing.assert_allclose(
        found["out"], np.tanh(np.tanh((x @ outer + 0.5) @ inner) @ inner), atol=1e-4
    )  # sums of 64 float32 products
    assert int(found["row"]) == order[7]


def test_the_fingerprint_is_of_the_weights_too(tmp_path):
    for seed in (1, 2):
        saved_model.write_saved_model(frozen_with_weights(seed)[0], ["x"], [], tmp_path / str(seed))
    first, second = (tf.saved_model.experimental.read_fingerprint(str(tmp_path / str(seed))) for seed in (1, 2))
    assert first.saved_model_checksum != second.saved_model_checksum


def test_a_weight_without_a_place_is_an_error(tmp_path):
    saved_model.write_saved_model(frozen_with_weights(1)[0], ["x"], [], tmp_path / "saved")
    with pytest.raises(ValueError, match="saved_model.pb: 1 of 1 constants were lost"):
        stand_ins.put_back(tmp_path / "saved", [tf.make_tensor_proto(np.ones(9, np.float32))])
