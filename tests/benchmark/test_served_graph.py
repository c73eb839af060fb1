"""Parts of a served graph: cut where they should be, equal to the whole when put together."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from detection.benchmark import inputs
from detection.benchmark.served_graph import ServedGraph
from detection.errors import ConfigError


@pytest.fixture(scope="module")
def served(exported) -> ServedGraph:
    return ServedGraph(exported)


@pytest.fixture(scope="module")
def image() -> tf.Tensor:
    return tf.constant(np.random.default_rng(2).integers(0, 256, (2, 50, 70, 3), dtype=np.uint8))


def _parts(served, *values):
    """What every part makes of what the parts before it made: marks by name, and the outputs, numbered."""
    marks = served.preprocess().run(*values)
    stages = [served.first_stage(), served.second_stage()] if served.second_stage_inputs else [served.network()]
    for part in stages:
        marks |= part.run(*[marks[mark] for mark in part.takes])
    postprocess = served.postprocess()
    return marks, postprocess.run(*[marks[mark] for mark in postprocess.takes])


def _ops(part) -> set[str]:
    return {op.type for op in part.run.graph.get_operations()}


def test_the_parts_make_the_whole(served, image):
    _, outputs = _parts(served, image)
    whole = served.serve(image)
    assert len(outputs) == len(whole)
    for value in outputs.values():
        assert any(value.shape == other.shape and np.allclose(value, other, atol=1e-6) for other in whole.values())


def test_all_before_postprocessing_in_one_call(served, image):
    """What postprocessing takes, and nothing of what it does."""
    marks, _ = _parts(served, image)
    before, after = served.without_postprocess(), served.postprocess()
    made = before.run(image)
    assert set(made) == set(after.takes)
    for mark, value in made.items():
        np.testing.assert_allclose(value, marks[mark], atol=1e-6)
    assert "CombinedNonMaxSuppression" in _ops(after) and "CombinedNonMaxSuppression" not in _ops(before)


def test_the_network_gets_scaled_images_and_gives_codes_and_logits(served, image):
    marks, outputs = _parts(served, image)
    scaled = marks[served.network_input].numpy()
    assert scaled.shape == (2, 96, 96, 3) and scaled.min() >= -1 and scaled.max() <= 1
    codes, logits = marks["served/network_output/box_codes"], marks["served/network_output/class_logits"]
    assert codes.shape == (2, logits.shape[1], 4) and logits.shape[2] == 4
    assert any(value.shape == logits.shape and np.allclose(value, tf.sigmoid(logits)) for value in outputs.values())


def test_the_network_alone_holds_neither_resizing_nor_suppression(served):
    ops = _ops(served.network())
    assert "Conv2D" in ops
    assert not ops & {"ResizeBilinear", "CombinedNonMaxSuppression", "Sigmoid", "FusedBatchNormV3"}


def test_every_shape_of_the_network_is_known_for_counting(served):
    for op in served.network_at({served.network_input: (1, 96, 96, 3)}).graph.get_operations():
        if op.type in ("Conv2D", "DepthwiseConv2dNative"):
            assert op.outputs[0].shape.is_fully_defined(), op.name


def test_parameters_are_those_of_training_less_batch_norm(served, exported):
    sizes = {name: np.prod(shape) for name, shape in tf.train.list_variables(str(exported / "checkpoint"))}
    assert served.count_parameters() == sum(
        size for name, size in sizes.items() if name.endswith(("weights", "biases", "beta"))
    )


def test_strings_decode_in_preprocessing(exported_strings, served, image):
    strings = ServedGraph(exported_strings)
    encoded = tf.stack([tf.io.encode_png(one) for one in image])
    entering = strings.preprocess().run(encoded)[strings.network_input]
    np.testing.assert_allclose(entering, served.preprocess().run(image)[served.network_input], atol=1e-6)


KEEPS_PROPORTIONS = (
    "model.faster_rcnn.image_resizer={ keep_aspect_ratio_resizer { min_dimension: 64 max_dimension: 128 } }",
)


@pytest.mark.parametrize(
    ("meta", "overrides"), [("faster_rcnn", ()), ("rfcn", ()), ("fast_rcnn", ()), ("faster_rcnn", KEEPS_PROPORTIONS)]
)
def test_two_stages_make_the_whole(saved_model_of, image, meta, overrides):
    served = ServedGraph(saved_model_of(meta, overrides))
    given = () if served.proposals_spec is None else (inputs.proposals(20, 1, served.proposals_spec),)
    values = (image[:1], *given)
    marks, outputs = _parts(served, *values)
    whole = served.serve(*values)
    assert len(outputs) == len(whole) == 8 and marks[served.network_input].shape[1:3] == (
        (64, 90) if overrides else (64, 96)
    )
    for value in outputs.values():
        assert any(value.shape == other.shape and np.allclose(value, other, atol=1e-5) for other in whole.values())
    network = served.network()
    for mark, value in network.run(*[marks[mark] for mark in network.takes]).items():
        np.testing.assert_allclose(value, marks[mark], atol=1e-5, err_msg=mark)


@pytest.mark.parametrize("meta", ["faster_rcnn", "rfcn", "fast_rcnn"])
def test_proposals_belong_to_the_first_stage_and_regions_to_the_second(saved_model_of, meta):
    served = ServedGraph(saved_model_of(meta))
    first, second = served.first_stage(), served.second_stage()
    assert "CropAndResize" in _ops(second) - _ops(first)
    assert not _ops(second) & {"ResizeBilinear", "CombinedNonMaxSuppression"}
    assert ("CombinedNonMaxSuppression" in _ops(first)) == (meta != "fast_rcnn")
    assert second.takes == ("served/features/0", "served/proposals" if meta == "fast_rcnn" else "served/proposal_boxes")
    assert ("served/proposals" in served.network_inputs) == (meta == "fast_rcnn")


def test_one_stage_has_no_second_stage_inputs(served, saved_model_of):
    """An SSD, and a detector that stops at its proposals."""
    assert served.second_stage_inputs == ()
    only_proposals = ServedGraph(saved_model_of("faster_rcnn", ("model.faster_rcnn.number_of_stages=1",)))
    assert only_proposals.second_stage_inputs == ()
    assert "CombinedNonMaxSuppression" in _ops(only_proposals.network())


def test_other_saved_models_are_refused(tmp_path):
    module = tf.Module()
    module.f = tf.function(lambda x: {"y": x}, input_signature=[tf.TensorSpec([None])])
    tf.saved_model.save(module, str(tmp_path / "other"), signatures=module.f)
    with pytest.raises(ConfigError, match="has no node served/network_input"):
        ServedGraph(tmp_path / "other").network()
