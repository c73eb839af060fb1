"""Fast R-CNN, Faster R-CNN and R-FCN: the seven steps, against numpy by hand, and what holds of all three."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from detection.export.serving import outputs
from detection.meta_architectures.proposal_sampler import ProposalSampler
from detection.meta_architectures.two_stage import TwoStage
from detection.ops import boxes as box_ops
from detection.types import Example, ImageBatch, ImageInfo, Proposals, RegionPredictions, Targets
from tests.helpers import two_stage_tiny as tiny

F = "model.faster_rcnn"


@pytest.fixture(scope="module")
def faster() -> TwoStage:
    return tiny.detector()


@pytest.fixture(scope="module")
def fast() -> TwoStage:
    return tiny.detector(given=True)


@pytest.fixture(scope="module")
def rfcn() -> TwoStage:
    return tiny.rfcn()


def _softmax(logits: np.ndarray) -> np.ndarray:
    e = np.exp(logits - logits.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_shapes_are_static_in_every_mode(faster: TwoStage, rfcn: TwoStage, fast: TwoStage) -> None:
    for detector, given in ((faster, False), (rfcn, False), (fast, True)):
        batch, groundtruth = tiny.batch(proposals=given), tiny.groundtruth()
        for training, count in ((False, 20), (True, 8)):
            traced = tf.function(lambda b, g, d=detector, t=training: d.predict(b, g, training=t), autograph=False)
            predictions = traced.get_concrete_function(batch, groundtruth).structured_outputs
            assert predictions.class_logits.shape == (2, count, 4), (detector.name, training)
            assert predictions.box_codes.shape == (2, count, 3, 4)
            assert predictions.proposals.boxes.shape == predictions.targets.box_codes.shape == (2, count, 4)


def test_variable_names_are_at_the_root(faster: TwoStage, rfcn: TwoStage, fast: TwoStage) -> None:
    def heads(detector: TwoStage) -> set[str]:
        return {v.path.rpartition("/")[0] for v in detector.variables if "FeatureExtractor/" not in v.path}

    rpn = {"Conv", "FirstStageBoxPredictor/BoxEncodingPredictor", "FirstStageBoxPredictor/ClassPredictor"}
    region = {"SecondStageBoxPredictor/BoxEncodingPredictor", "SecondStageBoxPredictor/ClassPredictor"}
    maps = {f"SecondStageBoxPredictor/{name}" for name in ("reduce_depth", "refined_locations", "class_predictions")}
    assert heads(faster) == rpn | region and heads(rfcn) == rpn | maps and heads(fast) == region
    scopes = {"FirstStageFeatureExtractor", "SecondStageFeatureExtractor"}
    assert all({v.path.split("/")[0] for v in d.variables} >= scopes for d in (faster, rfcn, fast))


@pytest.mark.parametrize("kind", ["faster", "rfcn", "fast"])
def test_overfits_one_batch(kind: str, request: pytest.FixtureRequest) -> None:
    """Gradient descent on one batch: the loss falls to a fraction, and then the boxes are found."""
    keras.utils.set_random_seed(4)  # Initial weights from which a box is not learnt in so few steps exist.
    make = {"faster": tiny.detector, "rfcn": tiny.rfcn, "fast": lambda: tiny.detector(given=True)}[kind]
    detector, batch, groundtruth = make(), tiny.batch(proposals=kind == "fast"), tiny.groundtruth()
    variables = [v.value for v in detector.trainable_variables]
    # TensorFlow's optimisers of old: what is tested is the gradient, not an update rule.
    slots = [(tf.Variable(tf.zeros_like(v)), tf.Variable(tf.zeros_like(v))) for v in variables]

    @tf.function(autograph=False)
    def step(number: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            total = tf.add_n(
                list(detector.loss(detector.predict(batch, groundtruth, training=True), groundtruth).values())
            )
        for variable, (m, v), gradient in zip(variables, slots, tape.gradient(total, variables), strict=True):
            if gradient is not None:
                m.assign(0.9 * m + 0.1 * gradient)
                v.assign(0.999 * v + 0.001 * tf.square(gradient))
                correction = tf.sqrt(1 - 0.999**number) / (1 - 0.9**number)
                variable.assign_sub(0.003 * correction * m / (tf.sqrt(v) + 1e-7))
        return total

    losses = [float(step(tf.constant(float(i)))) for i in range(1, 121)]
    assert np.mean(losses[-10:]) < 0.25 * np.mean(losses[:5]), (losses[:5], losses[-10:])
    detections = detector.postprocess(detector.predict(batch), batch.true_shapes)
    shapes = np.tile(batch.true_shapes.numpy(), 2)
    for image in range(2):
        found = (detections.boxes[image].numpy() * shapes[image]).astype("f4")
        for box, label in zip(tiny.BOXES[image][:2], groundtruth.classes[image].numpy(), strict=False):
            overlaps = box_ops.iou(tf.constant(box[None]), tf.constant(found)).numpy()[0]
            best = np.where(detections.classes[image].numpy() == label, overlaps, 0)[: int(detections.counts[image])]
            assert best.max() > 0.5, (kind, image, box, best)


def test_proposals_are_suppressed_softmax_scores_inside_their_images(faster: TwoStage) -> None:
    batch = tiny.batch()
    predictions = faster.predict(batch)
    scores = _softmax(predictions.rpn.class_logits.numpy())[..., 1]
    for image, (height, width) in enumerate(batch.true_shapes.numpy()):
        boxes, kept = predictions.proposals.boxes[image].numpy(), int(predictions.proposals.counts[image])
        assert 0 < kept <= 20 and (boxes[kept:] == 0).all()
        assert (boxes[:kept] >= 0).all() and (boxes[:kept, 2] <= height).all() and (boxes[:kept, 3] <= width).all()
        ours = predictions.proposals.scores[image].numpy()[:kept]
        assert (np.diff(ours) <= 0).all() and ours[0] == pytest.approx(scores[image].max(), rel=1e-5)


def test_fewer_proposals_are_the_first_of_many(faster: TwoStage) -> None:
    """Those outside the true image count among the five and are left out afterwards, as in the reference."""
    few = tiny.detector(f"{F}.first_stage_max_proposals=5")
    for ours, theirs in zip(few.variables, faster.variables, strict=True):
        ours.assign(theirs)
    batch = tiny.batch()
    some, all_of_them = few.predict(batch), faster.predict(batch)
    assert some.proposals.boxes.shape[1] == 5
    for image, count in enumerate(some.proposals.counts.numpy()):
        assert count > 0
        for few_of_them, many in (
            (some.proposals.boxes, all_of_them.proposals.boxes),
            (some.class_logits, all_of_them.class_logits),
        ):
            np.testing.assert_allclose(few_of_them[image, :count], many[image, :count], atol=1e-4)
    learnt = few.predict(batch, tiny.groundtruth(), training=True)  # draws 8 of 5: all of them
    assert learnt.proposals.boxes.shape[1] == 5
    np.testing.assert_array_equal(learnt.proposals.counts, some.proposals.counts)


def test_no_gradient_flows_through_proposals(faster: TwoStage) -> None:
    """The second stage alone teaches the proposal network's own layers nothing."""
    batch, groundtruth = tiny.batch(), tiny.groundtruth()
    variables = {v.path: v.value for v in faster.trainable_variables}
    with tf.GradientTape() as tape:
        losses = faster.loss(faster.predict(batch, groundtruth, training=True), groundtruth)
        second = (
            losses["Loss/BoxClassifierLoss/localization_loss"] + losses["Loss/BoxClassifierLoss/classification_loss"]
        )
    gradients = tape.gradient(second, variables)
    assert {path for path, gradient in gradients.items() if gradient is None} == {
        path for path in variables if path.startswith(("Conv/", "FirstStageBoxPredictor/"))
    }


def test_anchors_across_the_border_are_not_used_in_training(faster: TwoStage) -> None:
    batch = tiny.batch()
    free, trained = faster.predict(batch).rpn.anchors.numpy(), faster.predict(batch, training=True).rpn.anchors.numpy()
    whole = faster.proposer.settings.anchors([(6, 8)], (96, 128)).numpy()
    np.testing.assert_array_equal(free, np.clip(whole, 0, [96, 128, 96, 128]))
    for image, (height, width) in enumerate(batch.true_shapes.numpy()):
        inside = (whole[:, :2] >= 0).all(1) & (whole[:, 2] <= height) & (whole[:, 3] <= width)
        np.testing.assert_array_equal(trained[image], np.where(inside[:, None], whole, 0))
    clipped = tiny.detector(f"{F}.clip_anchors_to_image=true")
    np.testing.assert_array_equal(clipped.predict(batch, training=True).rpn.anchors, free)


def test_rpn_loss_by_hand() -> None:
    detector = tiny.detector(
        f"{F}.first_stage_minibatch_size=100000",
        f"{F}.first_stage_positive_balance_fraction=1",
        f"{F}.first_stage_localization_loss_weight=2",
    )
    batch, groundtruth = tiny.batch(), tiny.groundtruth()
    predictions = detector.predict(batch, groundtruth, training=True)
    losses = detector.loss(predictions, groundtruth)
    expected = np.zeros(2)
    coder = detector.proposer.settings.assigner.box_coder
    for image in range(2):
        anchors = predictions.rpn.anchors[image].numpy()
        valid = anchors[:, 2] > 0
        overlaps = box_ops.iou(tf.constant(tiny.BOXES[image]), tf.constant(anchors)).numpy()
        count = int(groundtruth.counts[image])
        best, rows = overlaps[:count].max(0), overlaps[:count].argmax(0)
        matched = best >= 0.7
        learnt = [row for row in range(count) if groundtruth.weights[image, row] > 0]
        for row in reversed(learnt):
            matched[overlaps[row].argmax()], rows[overlaps[row].argmax()] = True, row
        weight = np.where(matched, groundtruth.weights[image].numpy()[rows], best < 0.3) * valid
        logits = predictions.rpn.class_logits[image].numpy()
        expected[1] += (
            -(weight * np.log(_softmax(logits)[np.arange(len(logits)), matched.astype(int)])).sum()
            / weight.astype(bool).sum()
            / 2
        )
        codes = coder.encode(tf.constant(tiny.BOXES[image][rows]), tf.constant(anchors)).numpy()
        gap = np.abs(predictions.rpn.box_codes[image].numpy() - codes)
        huber = np.where(gap <= 1, 0.5 * gap**2, gap - 0.5).sum(1)
        expected[0] += 2 * np.where(matched & (weight > 0), huber, 0).sum() / weight.astype(bool).sum() / 2
    np.testing.assert_allclose(losses["Loss/RPNLoss/objectness_loss"], expected[1], rtol=1e-4)
    np.testing.assert_allclose(losses["Loss/RPNLoss/localization_loss"], expected[0], rtol=1e-4)


def _region_loss_by_hand(predictions: RegionPredictions, shared: bool = False) -> np.ndarray:
    targets, total = predictions.targets, np.zeros(2)
    for image in range(2):
        count = int(predictions.proposals.counts[image])
        for p in range(count):
            label = int(np.argmax(targets.classes[image, p]))
            total[1] -= (
                float(targets.class_weights[image, p])
                * np.log(_softmax(predictions.class_logits[image, p].numpy())[label])
                / count
                / 2
            )
            if label and targets.box_weights[image, p] > 0:
                gap = np.abs(
                    predictions.box_codes[image, p, 0 if shared else label - 1].numpy()
                    - targets.box_codes[image, p].numpy()
                )
                total[0] += np.where(gap <= 1, 0.5 * gap**2, gap - 0.5).sum() / count / 2
    return total


@pytest.mark.parametrize("shared", [False, True])
def test_region_loss_by_hand(shared: bool) -> None:
    detector = tiny.detector(
        f"{F}.second_stage_box_predictor.mask_rcnn_box_predictor.share_box_across_classes={str(shared).lower()}",
        given=True,
    )
    batch, groundtruth = tiny.batch(proposals=True), tiny.groundtruth()
    predictions = detector.predict(batch, groundtruth)
    losses = detector.loss(predictions, groundtruth)
    assert (
        predictions.box_codes.shape == (2, 20, 1 if shared else 3, 4)
        and float(tf.reduce_sum(predictions.targets.box_weights)) >= 4
    )
    got = [losses[f"Loss/BoxClassifierLoss/{name}_loss"] for name in ("localization", "classification")]
    np.testing.assert_allclose(got, _region_loss_by_hand(predictions, shared), rtol=1e-5)


def test_the_miner_gets_all_proposals_of_all_images() -> None:
    """One hard example an image: what is left is the largest loss of each."""
    mined = tiny.detector(
        f"{F}.hard_example_miner={{num_hard_examples: 1 iou_threshold: 0.99 loss_type: CLASSIFICATION}}", given=True
    )
    batch, groundtruth = tiny.batch(proposals=True), tiny.groundtruth()
    predictions = mined.predict(batch, groundtruth, training=True)
    assert predictions.class_logits.shape[1] == 20
    expected = 0.0
    for image, count in enumerate(predictions.proposals.counts.numpy()):
        labels = np.argmax(predictions.targets.classes[image], -1)
        scores = _softmax(predictions.class_logits[image].numpy())[np.arange(20), labels]
        expected += (-np.log(scores) * predictions.targets.class_weights[image].numpy())[:count].max() / count / 2
    np.testing.assert_allclose(
        mined.loss(predictions, groundtruth)["Loss/BoxClassifierLoss/classification_loss"], expected, rtol=1e-4
    )


def test_features_of_detections_are_outputs_where_asked_for(faster: TwoStage) -> None:
    """Those that the head would have seen, had the final boxes been proposed."""
    detector = tiny.detector(f"{F}.output_final_box_features=true", f"{F}.output_final_box_rpn_features=true")
    for ours, theirs in zip(detector.variables, faster.variables, strict=True):
        ours.assign(theirs)
    batch = tiny.batch()
    predictions = detector.predict(batch)
    found, plain = (each.postprocess(predictions, batch.true_shapes) for each in (detector, faster))
    assert plain.box_features is None and plain.cropped_features is None and set(outputs(plain)) < set(outputs(found))
    np.testing.assert_array_equal(found.boxes, plain.boxes)
    regions, pixels = detector.second_stage.regions, box_ops.to_pixels(found.boxes, batch.true_shapes)
    cut = regions.crop(predictions.feature_maps, batch.images.shape[1:3])(pixels)
    cropped = found.cropped_features.numpy()
    np.testing.assert_allclose(cropped.reshape(-1, *cropped.shape[2:]), cut, atol=1e-5)
    final = found.box_features.numpy()
    _, logits = regions.head(tf.constant(final.reshape(-1, *final.shape[2:])))
    _, expected = regions.run(predictions.feature_maps, pixels, batch.images.shape[1:3], False)
    np.testing.assert_allclose(logits, expected.numpy().reshape(logits.shape), atol=1e-4)
    served = outputs(found)
    assert served["detection_features"].shape == final.shape == (2, found.scores.shape[1], *final.shape[2:])
    assert served["cropped_rpn_box_features"].shape == cropped.shape


def test_sampler_respects_its_limits_and_pads() -> None:
    generator = np.random.default_rng(0)
    matches = np.full((2, 30), -1, "i4")
    matches[0, ::2], matches[1, :2] = 0, 1
    counts, weights = np.array([30, 6], "i4"), np.ones((2, 30), "f4")
    weights[0, 29] = 0
    boxes, scores = generator.uniform(0, 9, (2, 30, 4)).astype("f4"), generator.random((2, 30)).astype("f4")
    proposals = Proposals(tf.constant(boxes), tf.constant(scores), tf.constant(counts))
    matched = tf.constant((matches >= 0).astype("f4"))
    targets = Targets(
        proposals.boxes * 2, matched, tf.one_hot(matches + 1, 4), tf.constant(weights), tf.constant(matches)
    )
    everything, positive = ProposalSampler(40, 0.25)(proposals, targets)  # more than there are
    assert everything.boxes.shape == (2, 30, 4) and everything.counts.numpy().tolist() == [24, 6]
    assert (positive.matches.numpy()[0, :24] >= 0).sum() == 10  # 0.25 of 40, and the 14 that are background
    drawn, drawn_targets = ProposalSampler(8, 0.25)(proposals, targets)
    assert drawn.boxes.shape == (2, 8, 4) and drawn.counts.numpy().tolist() == [8, 6]
    assert (drawn_targets.matches.numpy()[0] >= 0).sum() == 2 and (drawn_targets.matches.numpy()[1][:6] >= 0).sum() == 2
    np.testing.assert_array_equal(drawn_targets.box_codes, drawn.boxes * 2)
    assert (drawn.boxes.numpy()[1, 6:] == 0).all() and (drawn_targets.class_weights.numpy()[1, 6:] == 0).all()
    for image in range(2):
        known = {tuple(box) for box in proposals.boxes.numpy()[image][: counts[image]]}
        chosen = [tuple(box) for box in drawn.boxes.numpy()[image][: int(drawn.counts[image])]]
        assert len(set(chosen)) == len(chosen) and set(chosen) <= known


def test_fast_rcnn_draws_background_between_its_two_thresholds() -> None:
    detector = tiny.detector(f"{F}.second_stage_background_iou=0.1", given=True)
    batch, groundtruth = tiny.batch(proposals=True), tiny.groundtruth()
    predictions = detector.predict(batch, groundtruth, training=True)
    for image in range(2):
        count = int(predictions.proposals.counts[image])
        learnt = tiny.BOXES[image][:2]
        overlaps = box_ops.iou(tf.constant(learnt), predictions.proposals.boxes[image]).numpy().max(0)[:count]
        matched = predictions.targets.matches[image].numpy()[:count] >= 0
        assert matched.sum() <= 2 and (overlaps[matched] >= 0.5).all()
        crowd = box_ops.iou(tf.constant(tiny.BOXES[image][2:]), predictions.proposals.boxes[image]).numpy()[0, :count]
        assert (np.maximum(overlaps, crowd)[~matched] >= 0.1).all() and (overlaps[~matched] < 0.5).all()


def test_groundtruth_among_the_proposals() -> None:
    overrides = (
        f"{F}.second_stage_add_groundtruth=true",
        f"{F}.second_stage_batch_size=20",
        f"{F}.second_stage_balance_fraction=1",
    )
    detector = tiny.detector(*overrides, given=True)
    predictions = detector.predict(tiny.batch(proposals=True), tiny.groundtruth(), training=True)
    for image in range(2):
        found = box_ops.iou(tf.constant(tiny.BOXES[image][:2]), predictions.proposals.boxes[image]).numpy().max(1)
        np.testing.assert_allclose(found, 1, atol=1e-5)
    assert detector.predict(tiny.batch(proposals=True)).class_logits.shape == (2, 20, 4)


def test_a_batch_without_proposals_is_refused(fast: TwoStage) -> None:
    with pytest.raises(ValueError, match="this batch has none"):
        fast.predict(tiny.batch())


def test_normalised_targets_have_mean_0_and_deviation_1() -> None:
    detector = tiny.detector(f"{F}.second_stage_normalize_targets=true", given=True)
    generator = np.random.default_rng(7)
    batch, groundtruth = tiny.batch(proposals=True), tiny.groundtruth()
    info = ImageInfo(tf.constant(["a", "b"]), batch.true_shapes)
    examples = []
    for _ in range(6):
        shift = tf.constant(generator.uniform(-4, 4, (2, 20, 4)), tf.float32)
        examples.append(
            Example(
                batch._replace(proposals=batch.proposals._replace(boxes=batch.proposals.boxes + shift)),
                groundtruth,
                info,
            )
        )
    counts = detector.measure_targets(examples).numpy()
    codes, classes = [], []
    for example in examples:
        targets = detector.second_stage.assigner(example.batch.proposals.boxes, groundtruth, 3)
        chosen = targets.box_weights.numpy() > 0
        codes.append(targets.box_codes.numpy()[chosen])
        classes.append(np.argmax(targets.classes.numpy()[chosen], 1) - 1)
    codes, classes = np.concatenate(codes), np.concatenate(classes)
    np.testing.assert_array_equal(counts, np.bincount(classes, minlength=3))
    statistics = detector.second_stage.normalization.statistics
    for label in range(3):
        mine = codes[classes == label] if counts[label] >= 8 else codes
        np.testing.assert_allclose(statistics.mean[label], mine.mean(0), rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(statistics.stddev[label], mine.std(0), rtol=1e-3)
    predictions = detector.predict(batch, groundtruth)
    labels = tf.maximum(tf.argmax(predictions.targets.classes, -1) - 1, 0)
    codes = detector.second_stage.normalization.normalise(predictions.targets.box_codes, labels)
    expected = _region_loss_by_hand(predictions._replace(targets=predictions.targets._replace(box_codes=codes)))
    np.testing.assert_allclose(
        detector.loss(predictions, groundtruth)["Loss/BoxClassifierLoss/localization_loss"], expected[0], rtol=1e-4
    )
    restored = detector.second_stage.normalization.restore_all(predictions.box_codes).numpy()
    np.testing.assert_allclose(
        restored,
        predictions.box_codes.numpy() * statistics.stddev.numpy() + statistics.mean.numpy(),
        rtol=1e-5,
        atol=1e-6,
    )
    assert {v.path for v in detector.non_trainable_variables} >= {
        "TargetNormalization/mean",
        "TargetNormalization/stddev",
    }


def test_one_stage_returns_its_proposals() -> None:
    detector = tiny.detector(f"{F}.number_of_stages=1")
    batch, groundtruth = tiny.batch(), tiny.groundtruth()
    predictions = detector.predict(batch, groundtruth, training=True)
    assert set(detector.loss(predictions, groundtruth)) == {
        "Loss/RPNLoss/localization_loss",
        "Loss/RPNLoss/objectness_loss",
    }
    detections = detector.postprocess(detector.predict(batch), batch.true_shapes)
    np.testing.assert_array_equal(detections.scores, detector.predict(batch).proposals.scores)
    assert detections.boxes.numpy().max() <= 1 + 1e-6 and not detections.classes.numpy().any()
    assert not [v.path for v in detector.variables if v.path.startswith("SecondStage")]


def test_postprocessing_by_hand(fast: TwoStage) -> None:
    """Every class apart: decode its boxes, suppress greedily, clip, keep the best."""
    batch = tiny.batch(proposals=True)
    predictions = fast.predict(batch)
    detections = fast.postprocess(predictions, batch.true_shapes)
    for image, (height, width) in enumerate(batch.true_shapes.numpy()):
        count, rows = int(predictions.proposals.counts[image]), []
        scores = _softmax(predictions.class_logits[image].numpy())[:count]
        for label in range(3):
            boxes = fast.second_stage.assigner.box_coder.decode(
                predictions.box_codes[image, :count, label], predictions.proposals.boxes[image, :count]
            ).numpy()
            kept: list[int] = []
            for p in np.argsort(-scores[:, label + 1], kind="stable"):
                overlaps = (
                    box_ops.iou(tf.constant(boxes[[p]]), tf.constant(boxes[kept])).numpy() if kept else np.zeros(1)
                )
                if overlaps.max() <= 0.6 and len(kept) < 10:
                    kept.append(p)
            rows += [(scores[p, label + 1], label, np.clip(boxes[p], 0, [height, width, height, width])) for p in kept]
        rows = sorted((row for row in rows if (row[2][2:] > row[2][:2]).all()), key=lambda row: -row[0])[:10]
        assert int(detections.counts[image]) == len(rows)
        np.testing.assert_allclose(detections.scores[image][: len(rows)], [row[0] for row in rows], rtol=1e-5)
        np.testing.assert_array_equal(detections.classes[image][: len(rows)], [row[1] for row in rows])
        expected = np.array([row[2] for row in rows]) / [height, width, height, width]
        np.testing.assert_allclose(detections.boxes[image][: len(rows)], expected, atol=1e-5)


def test_padding_rows_are_never_detected(fast: TwoStage) -> None:
    batch = tiny.batch(proposals=True)
    none = batch.proposals._replace(boxes=tf.zeros_like(batch.proposals.boxes), counts=tf.constant([0, 17]))
    detections = fast.postprocess(fast.predict(ImageBatch(batch.images, batch.true_shapes, none)), batch.true_shapes)
    assert int(detections.counts[0]) == 0 and not np.isnan(detections.boxes.numpy()).any()


def test_dropout_of_the_head_is_for_training_only() -> None:
    head = f"{F}.second_stage_box_predictor.mask_rcnn_box_predictor"
    detector = tiny.detector(f"{head}.use_dropout=true", f"{head}.dropout_keep_probability=0.5", given=True)
    batch = tiny.batch(proposals=True)
    first, second = (detector.predict(batch, training=True).class_logits.numpy() for _ in range(2))
    assert np.abs(first - second).max() > 1e-3
    np.testing.assert_array_equal(detector.predict(batch).class_logits, detector.predict(batch).class_logits)


def test_biases_can_be_regularised() -> None:
    head = f"{F}.second_stage_box_predictor.mask_rcnn_box_predictor.fc_hyperparams.regularize_biases"
    detector = tiny.detector(f"{head}=true", given=True)
    before = float(detector.regularization_loss())
    (bias,) = (v for v in detector.variables if v.path == "SecondStageBoxPredictor/ClassPredictor/biases")
    bias.assign(tf.fill(bias.shape, 2.0))
    assert float(detector.regularization_loss()) == pytest.approx(before + 0.01 * 4 * 4 / 2, rel=1e-5)


def test_the_box_layer_can_have_its_own_initialiser() -> None:
    head = f"{F}.second_stage_box_predictor.mask_rcnn_box_predictor.box_initializer"
    detector = tiny.detector(f"{head}={{random_normal_initializer {{stddev: 0.001}}}}", given=True)
    stddevs = {v.path: float(np.std(v)) for v in detector.variables if v.path.endswith("Predictor/weights")}
    assert stddevs["SecondStageBoxPredictor/BoxEncodingPredictor/weights"] == pytest.approx(0.001, rel=0.1)
    assert stddevs["SecondStageBoxPredictor/ClassPredictor/weights"] > 0.05
