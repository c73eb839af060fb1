"""CenterNet: its loss by hand, padding, detections, suppression among peaks, free image sizes, and that it learns by
heart."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format

from detection import config
from detection.builders import pipeline
from detection.ops import center_targets
from detection.pipeline import Detector
from detection.protos import pipeline_pb2
from detection.types import CenterPredictions, Groundtruth, ImageBatch
from tests.helpers import detector_configs

SIDE, CLASSES = 64, 4
CENTERS = "model.center_net.object_center_params"
FREE = "keep_aspect_ratio_resizer { min_dimension: 40 max_dimension: 64 }"


def _pipeline(*settings: str, type_: str = "hourglass_10"):
    text = detector_configs.center_net(detector_configs.Settings(type_, SIDE, SIDE, depth_multiplier=0.25))
    message = config.override(text_format.Parse(text, pipeline_pb2.TrainEvalPipelineConfig()), list(settings))
    config.check(message, check_paths=False)
    return pipeline.build(message)


@pytest.fixture(scope="module")
def detector():
    return _pipeline().detector()


def _batch() -> ImageBatch:
    """Two images; the second is 40 pixels high, the rest is padding."""
    images = tf.random.stateless_uniform([2, SIDE, SIDE, 3], [1, 2], 0, 255)
    return ImageBatch(images, tf.constant([[SIDE, SIDE], [40, SIDE]]))


def _groundtruth() -> Groundtruth:
    boxes = tf.constant(
        [[[4.0, 6, 40, 30], [20, 30, 60, 62], [0, 0, 0, 0]], [[2, 2, 38, 20], [10, 20, 30, 60], [0] * 4]]
    )
    weights = tf.constant([[1.0, 1, 0], [1, 1, 0]])
    flags = tf.zeros([2, 3], tf.bool)
    return Groundtruth(boxes, tf.constant([[0, 2, 0], [3, 1, 0]]), weights, tf.constant([2, 2]), flags, flags, weights)


def test_implements_the_detector_protocol(detector) -> None:
    assert isinstance(detector, Detector)
    assert not detector.takes_proposals and detector.anchors_per_cell == () and not detector.measures_targets
    assert detector.regularization_loss() == 0 and not detector.measure_targets([]).numpy().any()


def test_losses_by_hand(detector) -> None:
    predictions, groundtruth = detector.predict(_batch()), _groundtruth()
    targets = center_targets.assign(groundtruth, (16, 16), 4, CLASSES, 0.7)
    p = np.clip(1 / (1 + np.exp(-predictions.center_logits[0].numpy().astype("f8"))), 1e-4, 1 - 1e-4)
    y = targets.heat_maps.numpy()
    cells = np.where(y == 1, (1 - p) ** 2 * np.log(p), (1 - y) ** 4 * p**2 * np.log(1 - p))
    cells[1, 10:] = 0  # the padding of the second image
    sizes = offsets = 0.0
    for image, row in ((0, 0), (0, 1), (1, 0), (1, 1)):
        box = groundtruth.boxes[image, row].numpy() / 4
        center = (box[:2] + box[2:]) / 2
        at = (image, *np.floor(center).astype(int))
        sizes += np.abs(predictions.sizes[0].numpy()[at] - (box[2:] - box[:2])).sum()
        offsets += np.abs(predictions.offsets[0].numpy()[at] - (center - np.floor(center))).sum()
    losses = detector.loss(predictions, groundtruth)
    assert {tag: float(loss) for tag, loss in losses.items()} == pytest.approx(
        {
            "Loss/object_center": -cells.sum() / 4,
            "Loss/box/scale": 0.1 * sizes / 4,
            "Loss/box/offset": offsets / 4,
        },
        rel=1e-4,
    )


def test_losses_of_several_outputs_are_averaged(detector) -> None:
    one, groundtruth = detector.predict(_batch()), _groundtruth()
    two = one._replace(center_logits=one.center_logits * 2, sizes=one.sizes * 2, offsets=one.offsets * 2)
    for tag, loss in detector.loss(one, groundtruth).items():
        assert float(detector.loss(two, groundtruth)[tag]) == pytest.approx(float(loss), rel=1e-5)


def test_weights_of_the_losses(detector) -> None:
    settings = ("object_center_loss_weight=3",)
    other = _pipeline(
        *(f"{CENTERS}.{setting}" for setting in settings),
        "model.center_net.object_detection_task.task_loss_weight=2",
        "model.center_net.object_detection_task.offset_loss_weight=5",
    ).detector()
    for mine, same in zip(other.variables, detector.variables, strict=True):
        mine.assign(same)
    before, after = (each.loss(each.predict(_batch()), _groundtruth()) for each in (detector, other))
    factors = {tag: float(after[tag] / before[tag]) for tag in before}
    assert factors == pytest.approx({"Loss/object_center": 3, "Loss/box/scale": 2, "Loss/box/offset": 10}, rel=1e-4)


def test_heat_maps_of_classes_without_label_cost_nothing(detector) -> None:
    """`use_labeled_classes`: of the first image class 0 is known, of the second, which has no labels, all are."""
    batch, truth = _batch(), _groundtruth()
    predictions = detector.predict(batch)
    classes = predictions.center_logits[0].shape[-1]
    checked = np.zeros((2, classes), bool)
    checked[0, 0] = True
    known = truth._replace(checked=tf.constant(checked))
    plain = float(detector.loss(predictions, known)["Loss/object_center"])
    assert plain == pytest.approx(float(detector.loss(predictions, truth)["Loss/object_center"]))
    terms = detector.terms
    detector.terms = dataclasses.replace(terms, labelled_only=True)
    try:
        found = float(detector.loss(predictions, known)["Loss/object_center"])
        everything = float(detector.loss(predictions, truth)["Loss/object_center"])
    finally:
        detector.terms = terms
    logits = [map.numpy() for map in predictions.center_logits]
    targets = center_targets.assign(truth, logits[0].shape[1:3], 4, classes, terms.overlap)
    p = np.clip(tf.sigmoid(logits[-1][0, ..., 1:]).numpy(), 1e-4, 1 - 1e-4)
    t = targets.heat_maps.numpy()[0, ..., 1:]
    inside = np.zeros((*t.shape[:2], 1))
    height, width = -(-batch.true_shapes.numpy()[0] // 4)
    inside[:height, :width] = 1
    hidden = -inside * np.where(t >= 1, (1 - p) ** 2 * np.log(p), (1 - t) ** 4 * p**2 * np.log(1 - p))
    assert len(logits) == 1 and everything == pytest.approx(plain)
    assert found == pytest.approx(plain - hidden.sum() / float(targets.count), rel=1e-4)


def test_an_image_without_boxes_has_a_finite_loss_and_gradient(detector) -> None:
    empty = Groundtruth(*(tf.zeros_like(field) for field in _groundtruth()))
    with tf.GradientTape() as tape:
        losses = detector.loss(detector.predict(_batch()), empty)
        total = tf.add_n(list(losses.values()))
    gradients = tape.gradient(total, [v.value for v in detector.trainable_variables], unconnected_gradients="zero")
    assert float(losses["Loss/box/scale"]) == 0 and float(losses["Loss/object_center"]) > 0
    assert all(bool(tf.reduce_all(tf.math.is_finite(gradient))) for gradient in gradients)


def _predictions(logits: np.ndarray, size: float) -> CenterPredictions:
    maps = tf.fill([len(logits), *logits.shape[1:3], 2], size), tf.fill([len(logits), *logits.shape[1:3], 2], 0.5)
    shapes = tf.constant([[SIDE, SIDE]] * len(logits))
    return CenterPredictions((tf.constant(logits),), (maps[0],), (maps[1],), shapes, (), tf.zeros([1, SIDE, SIDE, 3]))


def test_detections_by_hand(detector) -> None:
    logits = np.full((1, 16, 16, CLASSES), -9.0, "f4")
    logits[0, 4, 5, 2], logits[0, 4, 6, 2], logits[0, 0, 15, 1] = 2.0, 1.0, 0.0
    found = detector.postprocess(_predictions(logits, 4.0), tf.constant([[SIDE, SIDE]]))
    np.testing.assert_allclose(found.scores[0, :2], 1 / (1 + np.exp([-2.0, 0.0])), rtol=1e-5)
    np.testing.assert_array_equal(found.classes[0, :2], [2, 1])
    # In cells: the centre 0.5 behind the corner, two to all sides, clipped to the map.
    np.testing.assert_allclose(found.boxes[0, :2] * 16, [[2.5, 3.5, 6.5, 7.5], [0, 13.5, 2.5, 16]], rtol=1e-5)
    assert found.scores[0, 2] < 1e-3  # the neighbour of a peak is none
    np.testing.assert_array_equal(found.rows[0, :2], [4 * 16 + 5, 15])
    np.testing.assert_allclose(tf.gather(found.raw_boxes, found.rows, batch_dims=1)[0, :2], found.boxes[0, :2])
    np.testing.assert_allclose(
        tf.gather(found.raw_scores, found.rows, batch_dims=1)[0, 0], 1 / (1 + np.exp([9.0, 9, -2, 9])), rtol=1e-4
    )
    assert found.raw_boxes.shape == (1, 256, 4) and found.raw_scores.shape == (1, 256, CLASSES)


def test_boxes_are_relative_to_the_true_image(detector) -> None:
    """And clipped to it; where three quarters of the map are padding, its cells are left out too."""
    logits = np.full((1, 16, 16, CLASSES), -9.0, "f4")
    logits[0, 4, 5, 2] = 2.0
    found = detector.postprocess(_predictions(logits, 4.0), tf.constant([[20, 40]]))
    np.testing.assert_allclose(found.boxes[0, 0], [2.5 / 5, 3.5 / 10, 1, 7.5 / 10], rtol=1e-5)
    logits[0, 14, 5, 2] = 3.0
    found = detector.postprocess(_predictions(logits, 4.0), tf.constant([[12, 40]]))
    np.testing.assert_allclose(found.scores[0, 0], 1 / (1 + np.exp(-2.0)), rtol=1e-5)


def test_optional_suppression_of_peaks() -> None:
    text = "{batch_non_max_suppression {iou_threshold: 0.5 max_detections_per_class: 7 max_total_detections: 7}}"
    suppressing = _pipeline(f"model.center_net.post_processing={text}").detector()
    logits = np.full((1, 16, 16, CLASSES), -9.0, "f4")
    logits[0, 4, 4, 2], logits[0, 4, 6, 2], logits[0, 4, 6, 1], logits[0, 12, 12, 2] = 2.0, 1.0, 0.5, 0.0
    found = suppressing.postprocess(_predictions(logits, 8.0), tf.constant([[SIDE, SIDE]]))
    assert found.boxes.shape == (1, 7, 4)  # one of the two of class 2 that overlap is gone
    np.testing.assert_array_equal(found.rows[0, :3], [4 * 16 + 4, 4 * 16 + 6, 12 * 16 + 12])
    np.testing.assert_array_equal(found.classes[0, :3], [2, 1, 2])
    assert found.scores[0, 3] < 1e-3


def test_images_of_any_size() -> None:
    """Padded until the network can halve them; the losses and boxes know the true size."""
    built = _pipeline(f"model.center_net.image_resizer={{{FREE}}}", type_="mobilenet_v2_fpn")
    free = built.detector()
    spec = tf.TensorSpec([None, None, None, 3]), tf.TensorSpec([None, 2], tf.int32)
    traced = tf.function(lambda x, s: free.postprocess(free.predict(ImageBatch(x, s)), s), autograph=False)
    concrete = traced.get_concrete_function(*spec)
    for size in ((40, 51), (33, 64)):
        images, shapes = tf.random.stateless_uniform([1, *size, 3], [1, 2], 0, 255), tf.constant([size])
        found = concrete(images, shapes)
        own = free.postprocess(free.predict(ImageBatch(images, shapes)), shapes)
        np.testing.assert_allclose(found.scores, own.scores, atol=1e-5)
        assert found.boxes.numpy().min() >= 0 and found.boxes.numpy().max() <= 1
        assert free.predict(ImageBatch(images, shapes)).center_logits[0].shape[1:3] == (16, 16)


def test_pixels_are_scaled_as_configured() -> None:
    extractor = "model.center_net.feature_extractor"
    plain, scaled = (
        _pipeline(*settings).detector().extractor.scale
        for settings in (
            (),
            (
                f"{extractor}.bgr_ordering=true",
                f"{extractor}.channel_means=[1, 2, 3]",
                f"{extractor}.channel_stds=[2, 4, 5]",
            ),
        )
    )
    image = tf.constant([[[[10.0, 20, 30]]]])
    np.testing.assert_array_equal(plain(image), image)
    np.testing.assert_allclose(scaled(image), [[[[(30 - 1) / 2, (20 - 2) / 4, (10 - 3) / 5]]]])


@pytest.mark.parametrize(
    ("type_", "expected"),
    [
        ("mobilenet_v2", [-1 + 20 / 255, -1 + 40 / 255, -1 + 60 / 255]),
        ("resnet_v1_18_fpn", [-73.939, -96.779, -113.68]),
    ],
)
def test_pixels_are_scaled_for_the_network(type_: str, expected: list[float]) -> None:
    scale = _pipeline(type_=type_).make_detector().extractor.scale
    np.testing.assert_allclose(scale(tf.constant([[[[10.0, 20, 30]]]]))[0, 0, 0], expected, rtol=1e-5)


def test_initial_bias_and_layers_of_heads() -> None:
    made = _pipeline(
        f"{CENTERS}.heatmap_bias_init=-3",
        f"{CENTERS}.center_head_params={{num_filters: [12, 8] kernel_sizes: [3, 1]}}",
        "model.center_net.use_depthwise=true",
    ).detector()
    keys = made.object_keys()
    head = "model/_prediction_head_dict/object_center/0/layer_with_weights"
    assert keys[f"{head}-0/depthwise_kernel"].shape == (3, 3, 16, 1)
    assert keys[f"{head}-1/pointwise_kernel"].shape == (1, 1, 12, 8)
    assert keys[f"{head}-2/kernel"].shape == (1, 1, 8, CLASSES)
    assert keys[f"{head}-2/bias"].numpy().tolist() == [-3] * CLASSES
    assert not keys[f"{head.replace('object_center', 'box.Sscale')}-1/bias"].numpy().any()


@pytest.mark.parametrize("separable", [False, True])
def test_top_down_layers_can_be_separable_and_smooth(separable: bool) -> None:
    extractor = "model.center_net.feature_extractor"
    how = (
        (f"{extractor}.use_separable_conv=true",) if separable else (f"{extractor}.upsampling_interpolation=bilinear",)
    )
    made = _pipeline(*how, type_="mobilenet_v2_fpn").detector()
    names = {key.rpartition("/")[2] for key in made.object_keys() if "_feature_extractor_model" in key}
    assert ("pointwise_kernel" in names) == separable
    enlarged = made.extractor.decoder.parts[0]._enlarged(tf.constant([[[[0.0], [4.0]]]]))
    row = [0, 0, 4, 4] if separable else [0, 1, 3, 4]
    np.testing.assert_allclose(enlarged[0, :, :, 0], [row, row])


def test_overfits_two_images() -> None:
    """A thin hourglass, Adam, 120 steps; then it finds each object again, and nothing else."""
    batch, groundtruth, learner = _batch(), _groundtruth(), _pipeline().detector()
    optimizer = tf.keras.optimizers.Adam(0.01)

    @tf.function(autograph=False)
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            losses = learner.loss(learner.predict(batch, training=True), groundtruth)
            total = tf.add_n(list(losses.values()))
        variables = learner.trainable_variables
        gradients = tape.gradient(total, [variable.value for variable in variables])
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return total

    totals = [float(step()) for _ in range(120)]
    assert totals[-1] < 0.1 * totals[0]
    found = learner.postprocess(learner.predict(batch), batch.true_shapes)
    expected = groundtruth.boxes[:, :2] / tf.tile(tf.cast(batch.true_shapes, tf.float32), [1, 2])[:, tf.newaxis]
    for image in range(2):
        order = np.argsort(found.classes[image, :2].numpy())
        by_class = np.argsort(groundtruth.classes[image, :2].numpy())
        np.testing.assert_array_equal(found.classes[image].numpy()[order], groundtruth.classes[image].numpy()[by_class])
        np.testing.assert_allclose(found.boxes[image].numpy()[order], expected[image].numpy()[by_class], atol=0.1)
        assert found.scores[image, 1] > 0.4 > found.scores[image, 2]
