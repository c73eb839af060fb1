"""Parts of a served graph: cut where they should be, equal to the whole when put together."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from detection.benchmark.served_graph import ServedGraph
from detection.errors import ConfigError


@pytest.fixture(scope="module")
def served(exported) -> ServedGraph:
    return ServedGraph(exported)


@pytest.fixture(scope="module")
def image() -> tf.Tensor:
    return tf.constant(np.random.default_rng(2).integers(0, 256, (2, 50, 70, 3), dtype=np.uint8))


def _parts(served, image):
    entering = served.preprocess()(image)
    predicted = served.network()(entering[served.network_input])
    marks, postprocess = served.postprocess()
    return entering, predicted, postprocess(*[{**entering, **predicted}[mark] for mark in marks])


def test_the_parts_make_the_whole(served, image):
    _, _, outputs = _parts(served, image)
    whole = served.serve(image)
    assert len(outputs) == len(whole)
    for value in outputs.values():
        assert any(value.shape == other.shape and np.allclose(value, other, atol=1e-6) for other in whole.values())


def test_the_network_gets_scaled_images_and_gives_codes_and_logits(served, image):
    entering, predicted, outputs = _parts(served, image)
    scaled = entering[served.network_input].numpy()
    assert scaled.shape == (2, 96, 96, 3) and scaled.min() >= -1 and scaled.max() <= 1
    codes, logits = predicted["served/network_output/box_codes"], predicted["served/network_output/class_logits"]
    assert codes.shape == (2, logits.shape[1], 4) and logits.shape[2] == 4
    assert any(value.shape == logits.shape and np.allclose(value, tf.sigmoid(logits)) for value in outputs.values())


def test_the_network_alone_holds_neither_resizing_nor_suppression(served):
    ops = {op.type for op in served.network_at((1, 96, 96, 3)).graph.get_operations()}
    assert "Conv2D" in ops
    assert not ops & {"ResizeBilinear", "CombinedNonMaxSuppression", "Sigmoid", "FusedBatchNormV3"}


def test_every_shape_of_the_network_is_known_for_counting(served):
    for op in served.network_at((1, 96, 96, 3)).graph.get_operations():
        if op.type in ("Conv2D", "DepthwiseConv2dNative"):
            assert op.outputs[0].shape.is_fully_defined(), op.name


def test_parameters_are_those_of_training_less_batch_norm(served, exported):
    sizes = {name: np.prod(shape) for name, shape in tf.train.list_variables(str(exported / "checkpoint"))}
    assert served.count_parameters() == sum(size for name, size in sizes.items() if name.endswith(("weights", "biases", "beta")))


def test_strings_decode_in_preprocessing(exported_strings, served, image):
    strings = ServedGraph(exported_strings)
    encoded = tf.stack([tf.io.encode_png(one) for one in image])
    entering = strings.preprocess()(encoded)[strings.network_input]
    np.testing.assert_allclose(entering, served.preprocess()(image)[served.network_input], atol=1e-6)


def test_other_saved_models_are_refused(tmp_path):
    module = tf.Module()
    module.f = tf.function(lambda x: {"y": x}, input_signature=[tf.TensorSpec([None])])
    tf.saved_model.save(module, str(tmp_path / "other"), signatures=module.f)
    with pytest.raises(ConfigError, match="has no node served/network_input"):
        ServedGraph(tmp_path / "other").network()
