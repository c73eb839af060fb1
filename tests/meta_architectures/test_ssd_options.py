"""Options of SSD that few configs use, through a config: what is built, learnt and served."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format

from detection import config
from detection.builders import pipeline as pipelines
from detection.data.resize import IdentityResizer
from detection.evaluate.voc import pairwise_iou
from detection.export.saved_model import write_saved_model
from detection.export.serving import ServingInput, serving_graph
from detection.protos import pipeline_pb2
from detection.types import ImageBatch
from tests.helpers import small_ssd

SIDE = 64


def pipeline(*settings: str):
    message = text_format.Parse(small_ssd.model(SIDE, SIDE, 5), pipeline_pb2.TrainEvalPipelineConfig())
    message = config.override(message, settings)
    config.check(message, check_paths=False)
    return pipelines.build(message)


def pictures(count: int = 2) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, SIDE, SIDE, 3)).astype(np.uint8)


def detect(detector):
    images = tf.cast(pictures(), tf.float32)
    shapes = tf.fill([2, 2], SIDE)
    return detector.postprocess(detector.predict(ImageBatch(images, shapes)), shapes)


def test_soft_suppression_and_calibration_are_served(tmp_path):
    post = "model.ssd.post_processing"
    points = "x_y_pair { x: 0 y: 0.1 } x_y_pair { x: 0.5 y: 0.6 } x_y_pair { x: 1 y: 0.7 }"
    soft = pipeline(
        f"{post}.batch_non_max_suppression.soft_nms_sigma=0.5",
        f"{post}.calibration_config={{function_approximation {{ x_y_pairs {{ {points} }} }}}}",
    )
    detector = soft.detector()
    found = detect(detector)
    raw = np.interp(tf.sigmoid(raw_logits(detector)), [0, 0.5, 1], [0.1, 0.6, 0.7])
    np.testing.assert_allclose(found.raw_scores, raw, atol=1e-6)
    boxes, scores = found.raw_boxes[0].numpy(), raw[0, :, 1:]
    best = np.unravel_index(scores.argmax(), scores.shape)
    assert float(found.scores[0, 0]) == pytest.approx(scores[best], rel=1e-5)
    lowered = scores[:, best[1]] * np.exp(-(pairwise_iou(boxes[best[0]][None], boxes)[0] ** 2) / (2 * 0.5))
    own = found.scores[0].numpy()[found.classes[0].numpy() == best[1]]
    assert len(own) == 1 or own[1] == pytest.approx(np.delete(lowered, best[0]).max(), rel=1e-4)

    frozen = serving_graph(detector, soft.resizer, ServingInput())
    write_saved_model(frozen, ["input_tensor"], soft.categories, tmp_path / "saved_model")
    served = tf.saved_model.load(str(tmp_path / "saved_model"))(tf.constant(pictures()))
    # Folding batch norm rounds each kernel once more.
    np.testing.assert_allclose(served["detection_scores"], found.scores, atol=1e-4)
    np.testing.assert_array_equal(served["detection_classes"], found.classes.numpy() + 1)


def raw_logits(detector) -> tf.Tensor:
    return detector.predict(ImageBatch(tf.cast(pictures(), tf.float32), tf.fill([2, 2], SIDE))).class_logits


def test_normalisers_and_hard_swish_of_the_network():
    hyper = "model.ssd.feature_extractor.conv_hyperparams"
    plain = pipeline("model.ssd.feature_extractor.depth_multiplier=1").detector()
    grouped = pipeline(
        "model.ssd.feature_extractor.depth_multiplier=1",
        "model.ssd.feature_extractor.use_hardswish=true",
        f"{hyper}={{ group_norm {{}} initializer {{ truncated_normal_initializer {{ stddev: 0.1 }} }} }}",
    ).detector()
    names = {variable.path for variable in grouped.variables}
    assert not any("BatchNorm" in name or (name.endswith("biases") and "BoxPredictor" not in name) for name in names)
    assert len(names) == len([v for v in plain.variables if "moving" not in v.path])
    assert np.isfinite(raw_logits(grouped).numpy()).all()
    convolutions = [layer for layer in grouped._flatten_layers() if getattr(layer, "group_norm", None) is not None]
    assert len(convolutions) > 20
    np.testing.assert_allclose(
        convolutions[0].hyperparams.activation(tf.constant([-4.0, -1, 0, 1, 5])), [0, -1 / 3, 0, 2 / 3, 5], rtol=1e-6
    )


def test_confidences_and_expected_weights_reach_the_loss():
    terms = pipeline("model.ssd.use_confidences_as_targets=true", "model.ssd.implicit_example_weight=0.25")
    assert terms.make_detector().loss_terms.example_weights.implicit_weight == 0.25
    expected = pipeline("model.ssd.loss.expected_loss_weights=EXPECTED_SAMPLING").make_detector().loss_terms.expected
    assert expected.ratio == 3


def test_evaluation_without_resizing():
    assert isinstance(pipeline("eval_config.force_no_resize=true").eval_resizer, IdentityResizer)
    plain = pipeline()
    assert plain.eval_resizer is plain.resizer
