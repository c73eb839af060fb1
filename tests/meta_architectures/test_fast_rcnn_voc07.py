"""configs/fast_rcnn_vgg16_voc07.config against the paper (Girshick 2015; sections in the names): the built objects, and
one step by hand.

The step runs on a thin VGG16 and small images, with nothing random in it: every proposal is drawn and no neuron
dropped.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from detection import config
from detection.builders import pipeline
from detection.ops.nms import MulticlassNms
from detection.ops.roi import OneMap, RoiMaxPool
from detection.train.state import TrainState
from detection.train.step import REGULARIZATION_LOSS, TrainStep
from detection.types import Example, Groundtruth, ImageBatch, ImageInfo, Proposals

CONFIG = Path(__file__).parents[2] / "configs" / "fast_rcnn_vgg16_voc07.config"
HEIGHT, WIDTH, COUNT = 64, 96, 12
SMALL = (
    "model.fast_rcnn.feature_extractor.depth_multiplier=0.125",
    "model.fast_rcnn.feature_extractor.min_depth=8",
    f"model.fast_rcnn.second_stage_batch_size={COUNT}",
    "model.fast_rcnn.second_stage_balance_fraction=1",
    "model.fast_rcnn.second_stage_background_iou=0",
    "model.fast_rcnn.second_stage_add_groundtruth=false",
)


@pytest.fixture(scope="module")
def full() -> pipeline.Pipeline:
    return pipeline.build(config.load(CONFIG), read_label_maps=False)


def _groundtruth() -> Groundtruth:
    boxes = np.array([[[4, 6, 40, 50]], [[10, 20, 60, 90]]], "f4")
    ones, flags = np.ones((2, 1), "f4"), np.zeros((2, 1), bool)
    return Groundtruth(
        *map(tf.constant, (boxes, np.array([[2], [7]], "i4"), ones, np.array([1, 1], "i4"), flags, flags, ones))
    )


def _example() -> Example:
    """Two images; a third of the proposals of each lie close to its object."""
    rng = np.random.default_rng(0)
    boxes = rng.uniform(0, 0.5, (2, COUNT, 2)) * (HEIGHT, WIDTH)
    boxes = np.concatenate([boxes, boxes + rng.uniform(8, 32, (2, COUNT, 2))], -1)
    boxes[:, ::3] = _groundtruth().boxes.numpy() + rng.uniform(-2, 2, (2, COUNT // 3, 4))
    shapes = tf.constant([[HEIGHT, WIDTH]] * 2)
    proposals = Proposals(
        tf.constant(boxes, tf.float32),
        tf.constant(np.tile(np.linspace(1, 0.1, COUNT, dtype="f4"), (2, 1))),
        tf.fill([2], COUNT),
    )
    images = tf.constant(rng.uniform(0, 255, (2, HEIGHT, WIDTH, 3)), tf.float32)
    return Example(ImageBatch(images, shapes, proposals), _groundtruth(), ImageInfo(tf.constant(["a", "b"]), shapes))


def test_sampling_of_section_2_3(full: pipeline.Pipeline) -> None:
    """N = 2 images, R = 128; objects from IoU 0.5 on, background in [0.1, 0.5); groundtruth among the proposals."""
    detector = full.make_detector()
    assert (
        full.train.batch_size * detector.second_stage.sampler.size == 128
        and detector.second_stage.sampler.positive_fraction == 0.25
    )
    assert detector.second_stage.add_groundtruth and detector.measures_targets
    overlaps = (1.0, 0.5, 0.49, 0.1, 0.09, 0.0)
    boxes = tf.constant([[[0, 0, 100 * overlap, 100] for overlap in overlaps]], tf.float32)
    one = tf.ones([1, 1])
    groundtruth = Groundtruth(
        tf.constant([[[0, 0, 100.0, 100.0]]]), tf.constant([[4]]), one, tf.constant([1]), one > 1, one > 1, one
    )
    targets = detector.second_stage.assigner(boxes, groundtruth, 20)
    np.testing.assert_array_equal(targets.matches[0] >= 0, [True, True, False, False, False, False])
    np.testing.assert_array_equal(targets.class_weights[0], [1, 1, 1, 1, 0, 0])


def test_layers_and_detection_of_sections_2_1_and_3(full: pipeline.Pipeline) -> None:
    detector = full.make_detector()
    assert detector.second_stage.regions.crop == OneMap(RoiMaxPool(7, 16))
    assert (
        detector.second_stage.postprocessing.nms == MulticlassNms(0.0, pytest.approx(0.3), 100, 300)
        and detector.second_stage.postprocessing.score_converter.kind == "softmax"
    )
    assert full.train_input.max_number_of_proposals == full.eval_input.max_number_of_proposals == 2000
    assert (
        detector.second_stage.loss_terms.localization_weight
        == detector.second_stage.loss_terms.classification_weight
        == 1
    )


def test_scale_of_section_5_2(full: pipeline.Pipeline) -> None:
    for size, expected in (((375, 500), (600, 800)), ((500, 375), (800, 600)), ((300, 900), (333, 1000))):
        assert full.resizer.batch(tf.zeros([1, *size, 3])).true_shapes.numpy().tolist() == [list(expected)]


def test_schedule_of_section_2_3(full: pipeline.Pipeline) -> None:
    train = full.train
    rates = [float(train.optimizer.schedule(tf.constant(step, tf.int64))) for step in (0, 29_999, 30_000, 39_999)]
    np.testing.assert_allclose(rates, [1e-3, 1e-3, 1e-4, 1e-4], rtol=1e-6)
    assert (
        train.num_steps == 40_000
        and train.optimizer.rule.momentum == pytest.approx(0.9)
        and train.optimizer.moving_average_decay is None
    )
    assert train.bias_multiplier == 2 and train.clip_norm == 0 and train.regularize
    assert len(full.augmentations) == 1


def test_fine_tuning_of_section_4_5(full: pipeline.Pipeline) -> None:
    """conv3_1 and up; and, as the header says, fc6 and up."""
    first = [
        f"FirstStageFeatureExtractor/vgg_16/conv{stage}/conv{stage}_1/{kind}"
        for stage in range(1, 6)
        for kind in ("weights", "biases")
    ]
    behind = ["SecondStageFeatureExtractor/vgg_16/fc6/weights", "SecondStageBoxPredictor/ClassPredictor/biases"]
    assert [full.train.is_trained(name) for name in first] == [False] * 4 + [True] * 6 and all(
        map(full.train.is_trained, behind)
    )
    override = 'train_config.freeze_variables=["FirstStageFeatureExtractor/"]'
    assert override in CONFIG.read_text()
    fc6 = pipeline.build(config.override(config.load(CONFIG), [override]), read_label_maps=False).train
    assert not any(map(fc6.is_trained, first)) and all(map(fc6.is_trained, behind))


def _small() -> pipeline.Pipeline:
    return pipeline.build(config.override(config.load(CONFIG), list(SMALL)), read_label_maps=False)


def _without_dropout(built: pipeline.Pipeline):  # -> TwoStage
    detector = built.detector()
    for name in ("dropout6", "dropout7"):
        (layer,) = [part for part in detector.second_stage.regions.tail.network.blocks if part.name == name]
        assert layer.keep == 0.5
        layer.keep = 1.0
    statistics, rng = detector.second_stage.normalization.statistics, np.random.default_rng(5)
    statistics.mean.assign(rng.uniform(-0.2, 0.2, statistics.mean.shape))
    statistics.stddev.assign(rng.uniform(0.5, 2, statistics.stddev.shape))
    return detector


def _equation_1(detector, example: Example, codes: np.ndarray, logits: np.ndarray) -> tuple[float, float]:
    """(classification, localisation): means over R of -log p_u and of [u >= 1] sum smooth L1(t_u - v), v of zero mean
    and unit variance."""
    classification = localisation = 0.0
    mean, stddev = (
        detector.second_stage.normalization.statistics.mean.numpy(),
        detector.second_stage.normalization.statistics.stddev.numpy(),
    )
    for image, own in enumerate(example.batch.proposals.boxes.numpy()):
        (truth,), (label,) = example.groundtruth.boxes[image].numpy(), example.groundtruth.classes[image].numpy()
        for p, box in enumerate(own.astype("f8")):
            size, wanted = box[2:] - box[:2], (truth[2:] - truth[:2]).astype("f8")
            shared = np.prod(np.maximum(np.minimum(box[2:], truth[2:]) - np.maximum(box[:2], truth[:2]), 0))
            u = label + 1 if shared / (size.prod() + wanted.prod() - shared) >= 0.5 else 0
            row = logits[image, p].astype("f8")
            classification += math.log(np.exp(row - row.max()).sum()) + row.max() - row[u]
            if u:
                shift = (truth[2:] + truth[:2] - box[2:] - box[:2]) / 2 / size
                # The coder's scales, which the normalisation takes out again when it has measured the data.
                v = (np.concatenate([shift * 10, np.log(wanted / size) * 5]) - mean[label]) / stddev[label]
                gap = np.abs(codes[image, p, label] - v)
                localisation += np.where(gap < 1, gap**2 / 2, gap - 0.5).sum()
    return classification / (2 * COUNT), localisation / (2 * COUNT)


def test_one_step_by_hand() -> None:
    """Loss of Equations 1 to 3; w <- w - 0.001 (g + 0.0005 w), for biases twice that, for conv1 and conv2 nothing; the
    initial values."""
    built, example = _small(), _example()
    detector = _without_dropout(built)
    weights = {variable.path: variable.numpy() for variable in detector.trainable_variables}
    head = "SecondStageBoxPredictor"
    assert weights[f"{head}/ClassPredictor/weights"].std() == pytest.approx(0.01, rel=0.05)
    assert weights[f"{head}/BoxEncodingPredictor/weights"].std() == pytest.approx(0.001, rel=0.05)
    assert not any(value.any() for path, value in weights.items() if path.endswith("biases"))
    rng = np.random.default_rng(6)
    for variable in (
        detector.trainable_variables
    ):  # So that signals do not fade, classes differ, and biases have something to decay from.
        spread = 0.1 if variable.path.endswith("biases") else math.sqrt(2 / np.prod(variable.shape[:-1]))
        spread /= 100 if variable.path.endswith("conv1_1/weights") else 1  # Pixels reach 128.
        variable.assign(rng.normal(size=variable.shape) * spread)
    weights = {variable.path: variable.numpy() for variable in detector.trainable_variables}

    variables = detector.trainable_variables
    with tf.GradientTape() as tape:
        predictions = detector.predict(example.batch, example.groundtruth, training=True)
        losses = detector.loss(predictions, example.groundtruth)
        total = tf.add_n(list(losses.values()))
    gradients = dict(zip(weights, tape.gradient(total, [variable.value for variable in variables]), strict=True))
    classification, localisation = _equation_1(
        detector, example, predictions.box_codes.numpy(), predictions.class_logits.numpy()
    )
    assert float(losses["Loss/BoxClassifierLoss/classification_loss"]) == pytest.approx(classification, rel=1e-4)
    assert (
        float(losses["Loss/BoxClassifierLoss/localization_loss"]) == pytest.approx(localisation, rel=1e-4)
        and localisation > 0
    )
    decay = 0.0005 / 2 * sum(float((value.astype("f8") ** 2).sum()) for value in weights.values())
    assert float(detector.regularization_loss()) == pytest.approx(decay, rel=1e-4)

    state = TrainState(detector, built.train.optimizer, built.train.is_trained)
    step = TrainStep(
        state, built.train, tf.distribute.get_strategy(), tf.nest.map_structure(tf.TensorSpec.from_tensor, example)
    )
    result = step(example)
    told = dict(zip(step.tags, result.values.numpy(), strict=True))
    assert told[REGULARIZATION_LOSS] == pytest.approx(decay, rel=1e-4) and told["learning_rate"] == pytest.approx(1e-3)
    after = {variable.path: variable.numpy() for variable in detector.trainable_variables}
    momentum = {path: slots[0].numpy() for path, slots in zip(state.trained_names, state.slots, strict=True)}
    assert set(weights) - set(momentum) == {path for path in weights if "/conv1/" in path or "/conv2/" in path}
    for path, before in weights.items():
        if path not in momentum:
            np.testing.assert_array_equal(after[path], before)
            continue
        factor = 2 if path.endswith("biases") else 1
        expected = factor * (gradients[path].numpy() + 0.0005 * before)
        # Sums of the compiled step run in another order: some 1e-6 of the largest gradient of a layer. The decay of a
        # bias is 1e-4.
        np.testing.assert_allclose(
            momentum[path], expected, rtol=1e-3, atol=1e-5 * np.abs(expected).max(), err_msg=path
        )
        np.testing.assert_allclose(after[path], before - 0.001 * momentum[path], rtol=1e-6, atol=1e-7, err_msg=path)
