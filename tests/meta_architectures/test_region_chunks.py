"""Many proposals at test time: the second stage works on chunks of them, with the numbers of one piece and in memory
that does not grow."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import tensorflow as tf

from detection.export.freeze import freeze
from detection.meta_architectures.two_stage import TwoStage, as_maps
from detection.types import ImageBatch, Proposals
from tests.helpers import two_stage_tiny as tiny

F = "model.faster_rcnn"
IMAGE = (96, 128)
# Products of fewer rows at a time may add in another order; logits and codes are about 1.
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(scope="module", params=["crop_and_resize", "roi_max_pool", "rfcn"])
def detector(request: pytest.FixtureRequest) -> TwoStage:
    made = (
        tiny.rfcn()
        if request.param == "rfcn"
        else tiny.detector(f"{F}.roi_max_pool={str(request.param == 'roi_max_pool').lower()}", given=True)
    )
    made.second_stage.regions.chunk = 6
    return made


def _features(detector: TwoStage) -> tuple[tf.Tensor, ...]:
    return as_maps(detector.body(detector.scale(tiny.batch().images)))


def _boxes(count: int) -> tf.Tensor:
    return tiny.random_proposals(np.array([IMAGE, IMAGE]), count).boxes


def _ops(graph: tf.Graph) -> Iterator[tf.Operation]:
    """All that is run, bodies of loops among it."""
    for op in graph.get_operations():
        yield op
        if op.type in ("While", "StatelessWhile"):
            yield from _ops(graph._get_function(op.get_attr("body").name).graph)


def test_chunks_give_the_same_results_as_one_batch(detector: TwoStage) -> None:
    """20 proposals in chunks of 5, their number known or not; 3 of an unknown number are one chunk, and none at all
    give nothing."""
    features, boxes = _features(detector), _boxes(20)
    whole = detector.second_stage.regions.run(
        features, boxes, IMAGE, True
    )  # The tail and the head of these detectors do the same in training.
    signature = [(tf.TensorSpec([None, None, None, features[0].shape[-1]]),), tf.TensorSpec([None, None, 4])]
    known = tf.function(lambda features, boxes: detector.second_stage.run(features, boxes, IMAGE, False))
    unknown = tf.function(
        lambda features, boxes: detector.second_stage.run(features, boxes, IMAGE, False),
        input_signature=signature,
    )
    for run in (known, unknown):
        for got, expected in zip(run(features, boxes), whole, strict=True):
            np.testing.assert_allclose(got, expected, **TOLERANCE)
    for count in (3, 0):
        for got, expected in zip(unknown(features, boxes[:, :count]), whole, strict=True):
            np.testing.assert_allclose(got, expected[:, :count], **TOLERANCE)


def test_memory_does_not_grow_with_the_number_of_proposals(detector: TwoStage) -> None:
    """Of 60 and of 6000 proposals, six a chunk, the largest tensor is the same; in one piece it grows."""
    features = (tf.TensorSpec([2, 6, 8, _features(detector)[0].shape[-1]]),)

    def largest(count: int, training: bool = False) -> int:
        function = tf.function(lambda features, boxes: detector.second_stage.run(features, boxes, IMAGE, training))
        graph = function.get_concrete_function(features, tf.TensorSpec([2, count, 4])).graph
        shapes = [tensor.shape for op in _ops(graph) for tensor in op.outputs if tensor.dtype == tf.float32]
        asked_for = (
            [2, count, 3, 4],
            [count // 6, 2, 6, 3, 4],
            [2, count // 6, 6, 3, 4],
        )  # Codes, as they are and while they are collected.
        return max(
            shape.num_elements() for shape in shapes if shape.is_fully_defined() and shape.as_list() not in asked_for
        )

    assert largest(60) == largest(6000) < largest(6000, training=True) / 5


def test_no_loop_for_few_regions(detector: TwoStage) -> None:
    """In training, and for a small number that is known, the graph is as simple as without chunks."""
    features = (_features(detector)[0][:1],)  # of one image: RoI max pooling takes several in turn
    for count, training, loops in ((6, False, False), (7, False, True), (20, True, False)):
        function = tf.function(
            lambda boxes, training=training: detector.second_stage.run(features, boxes, IMAGE, training)
        )
        graph = function.get_concrete_function(tf.TensorSpec([1, count, 4])).graph
        outer = {op.type for op in graph.get_operations()} & {"While", "StatelessWhile"}
        assert bool(outer) == loops


def test_a_frozen_detector_takes_any_number_of_proposals() -> None:
    """As exported: images and proposals of unknown number in, detections out."""
    made = tiny.detector(f"{F}.roi_max_pool=true", given=True)
    made.second_stage.regions.chunk = 6

    def detect(
        images: tf.Tensor, shapes: tf.Tensor, boxes: tf.Tensor
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        scores = tf.ones(tf.shape(boxes)[:2])
        batch = ImageBatch(images, shapes, Proposals(boxes, scores, tf.fill(tf.shape(boxes)[:1], tf.shape(boxes)[1])))
        found = made.postprocess(made.predict(batch), shapes)
        return {
            "detection_boxes": found.boxes,
            "detection_scores": found.scores,
            "raw_detection_scores": found.raw_scores,
        }, {}

    signature = [tf.TensorSpec([None, *IMAGE, 3]), tf.TensorSpec([None, 2], tf.int32), tf.TensorSpec([None, None, 4])]
    frozen = freeze(tf.function(detect, input_signature=signature, autograph=False).get_concrete_function())
    nodes = [*frozen.graph.node, *(node for function in frozen.graph.library.function for node in function.node_def)]
    assert not {"ReadVariableOp", "VarHandleOp"} & {node.op for node in nodes}
    served = tf.compat.v1.wrap_function(
        lambda *inputs: tf.graph_util.import_graph_def(
            frozen.graph,
            dict(zip([fed.name for fed in frozen.inputs], inputs, strict=True)),
            [f"{name}:0" for name in frozen.outputs],
        ),
        [tf.TensorSpec(fed.shape, fed.dtype) for fed in frozen.inputs],
    )
    batch = tiny.batch()
    for count in (20, 4):
        boxes = _boxes(count)
        made.second_stage.regions.chunk = 100
        expected = detect(batch.images, batch.true_shapes, boxes)[0]
        for name, values in zip(frozen.outputs, served(batch.images, batch.true_shapes, boxes), strict=True):
            np.testing.assert_allclose(values, expected[name], err_msg=name, **TOLERANCE)
