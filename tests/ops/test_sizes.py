"""The parts of a loss and of postprocessing at the sizes that are easily forgotten: one image, no groundtruth, one
class, one anchor, one proposal; with shapes known, unknown, and compiled. Whatever the way of running them, the numbers
are those of running them eagerly, one image at a time."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from detection.losses.weighted_sigmoid import WeightedSigmoid
from detection.losses.weighted_sigmoid_focal import WeightedSigmoidFocal
from detection.losses.weighted_smooth_l1 import WeightedSmoothL1
from detection.losses.weighted_softmax import WeightedSoftmax
from detection.meta_architectures.multibox_loss import LossTerms, multibox_loss
from detection.ops import boxes as box_ops
from detection.ops import nms_rows
from detection.ops.box_coders import FasterRcnnBoxCoder, SquareBoxCoder
from detection.ops.matchers import ArgMaxMatcher, BipartiteMatcher
from detection.ops.mining import HardExampleMiner
from detection.ops.nms import Kept, MulticlassNms
from detection.ops.samplers import BalancedSampler
from detection.ops.targets import TargetAssigner
from detection.types import Groundtruth

SIZES = [
    (1, 0, 1, 1),
    (1, 1, 1, 1),
    (3, 0, 1, 5),
    (3, 2, 1, 1),
    (1, 3, 4, 9),
]  # images, groundtruth rows, classes, anchors
IDS = [f"{b} images, {m} rows, {k} classes, {a} anchors" for b, m, k, a in SIZES]
MATCHERS = [ArgMaxMatcher(0.5, 0.3, force_match_for_each_row=True), BipartiteMatcher()]


def boxes_of(rng, *shape) -> np.ndarray:
    start, sides = rng.uniform(0, 60, (*shape, 2)), rng.uniform(10, 40, (*shape, 2))
    return np.concatenate([start, start + sides], axis=-1).astype(np.float32)


def groundtruth_of(rng, images: int, rows: int, classes: int) -> Groundtruth:
    """The last image has no object, the others have one row of padding where there is room."""
    counts = np.array([max(rows - 1, min(rows, 1)) for _ in range(images - 1)] + [0 if images > 1 else rows], np.int32)
    present = np.arange(rows) < counts[:, None]
    no = np.zeros((images, rows), bool)
    boxes, numbers = (
        boxes_of(rng, images, rows) * present[..., None],
        rng.integers(0, classes, (images, rows)).astype(np.int32),
    )
    return Groundtruth(boxes, numbers, present.astype(np.float32), counts, no, no, present * np.float32(9))


def spec_of(value: tf.Tensor, known: bool) -> tf.TensorSpec:
    """Known shapes, or the rank alone; the four numbers of a box and the number of classes are always known."""
    last = value.shape[-1:] if value.dtype == tf.float32 and (value.shape.rank > 2 or value.shape[-1] == 4) else [None]
    return tf.TensorSpec(value.shape if known else [*[None] * (value.shape.rank - 1), *last], value.dtype)


def check(function, arguments, xla: bool = True) -> list[np.ndarray]:
    """Runs `function` of a structure of arrays in every way, and returns its flat results."""
    arguments = tf.nest.map_structure(tf.convert_to_tensor, tuple(arguments))
    expected = tf.nest.flatten(function(*arguments))
    for known in (True, False):
        specs = tf.nest.map_structure(lambda value, known=known: spec_of(value, known), arguments)
        for wanted, found in zip(
            expected, tf.nest.flatten(tf.function(function, input_signature=specs)(*arguments)), strict=True
        ):
            np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    if xla:
        for wanted, found in zip(
            expected, tf.nest.flatten(tf.function(function, jit_compile=True)(*arguments)), strict=True
        ):
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    assert all(np.isfinite(value).all() for value in expected if value.dtype.is_floating)
    return [value.numpy() for value in expected]


@pytest.mark.parametrize(("images", "rows", "classes", "anchors"), SIZES, ids=IDS)
@pytest.mark.parametrize("matcher", MATCHERS, ids=["argmax", "bipartite"])
def test_targets(matcher, images, rows, classes, anchors):
    rng = np.random.default_rng(rows)
    groundtruth, places = groundtruth_of(rng, images, rows, classes), boxes_of(rng, anchors)
    assigner = TargetAssigner(box_ops.iou, matcher, FasterRcnnBoxCoder())
    found = check(lambda boxes, truth: tuple(assigner(boxes, truth, classes)), (places, groundtruth))
    for image in range(images):
        alone = assigner(
            tf.constant(places), Groundtruth(*(tf.constant(field[image : image + 1]) for field in groundtruth)), classes
        )
        for field, value in zip(alone, found, strict=True):
            np.testing.assert_allclose(value[image], field[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("images", "rows", "classes", "anchors"), SIZES, ids=IDS)
@pytest.mark.parametrize("settings", [(2, 0, 0), (0, 1, 2)], ids=["cap", "ratio"])
def test_miner(settings, images, rows, classes, anchors):
    rng = np.random.default_rng(anchors)
    loc, cls = (rng.exponential(size=(images, anchors)).astype(np.float32) for _ in range(2))
    matches = np.where(rng.random((images, anchors)) < 0.5, -1, min(rows, 1) - 1).astype(np.int32)
    number, ratio, least = settings
    miner = HardExampleMiner(number, 0.7, "both", ratio, least)
    boxes = boxes_of(rng, images, anchors)
    (kept,) = check(
        lambda *arguments: miner.select(*arguments), (loc, cls, boxes, matches), xla=False
    )  # TensorFlow's suppression has no XLA kernel
    for image in range(images):
        alone = miner.select(*(tf.constant(value[image : image + 1]) for value in (loc, cls, boxes, matches)))
        np.testing.assert_array_equal(kept[image], alone[0])


@pytest.mark.parametrize(("images", "rows", "classes", "anchors"), SIZES, ids=IDS)
@pytest.mark.parametrize("size", [None, 2])
def test_sampler(size, images, rows, classes, anchors):
    rng = np.random.default_rng(images)
    eligible, positive = rng.random((images, anchors)) < 0.8, np.full((images, anchors), rows > 0)
    sampler = BalancedSampler(0.5)
    (drawn,) = check(
        lambda *arguments: sampler(*arguments, size, tf.constant([1, 2])), (eligible, positive), xla=False
    )  # other random numbers there
    compiled = tf.function(lambda *arguments: sampler(*arguments, size), jit_compile=True)(
        tf.constant(eligible), tf.constant(positive)
    ).numpy()
    np.testing.assert_array_equal(compiled.sum(axis=1), drawn.sum(axis=1))
    assert not (drawn & ~eligible).any()
    if size is not None:
        assert (drawn.sum(axis=1) <= size).all() and ((drawn & positive).sum(axis=1) <= size // 2).all()


@pytest.mark.parametrize(("images", "rows", "classes", "anchors"), [SIZES[0], SIZES[3]], ids=[IDS[0], IDS[3]])
@pytest.mark.parametrize(("shared", "agnostic"), [(False, False), (True, True)])
def test_nms(shared, agnostic, images, rows, classes, anchors):
    """`rows` stands for the image whose scores are all 0, as those of padding."""
    rng = np.random.default_rng(classes)
    scores = rng.random((images, anchors, classes)).astype(np.float32)
    scores[rows:] = 0
    boxes = boxes_of(rng, images, anchors) if shared else boxes_of(rng, images, anchors, classes)
    windows = np.tile(np.float32([0, 0, 80, 80]), (images, 1))
    nms = MulticlassNms(0.1, 0.5, 3, 4, class_agnostic=agnostic)
    kept = check(lambda *arguments: tuple(nms.with_indices(*arguments)[0]), (boxes, scores, windows), xla=False)
    for image in range(images):
        alone = nms(*(tf.constant(value[image : image + 1]) for value in (boxes, scores, windows)))
        for field, value in zip(alone, kept, strict=True):
            np.testing.assert_allclose(value[image], field[0], rtol=1e-5)


@pytest.mark.parametrize(("images", "anchors", "classes"), [(1, 1, 1), (1, 30, 3), (2, 30, 3)])
@pytest.mark.parametrize("shared", [False, True])
def test_rows_of_detections_with_many_ties(shared, images, anchors, classes):
    """What is found has the box and the score that were looked for: boxes of whole numbers from 0 to 2, scores in
    tenths."""
    rng = np.random.default_rng(anchors)
    scores = np.round(rng.random((images, anchors, classes)), 1).astype(np.float32)
    boxes = rng.integers(0, 3, (images, anchors, 4) if shared else (images, anchors, classes, 4)).astype(np.float32)
    number, there = np.arange(images)[:, None], rng.integers(0, anchors, (images, 4))
    of_class = rng.integers(0, classes, there.shape).astype(np.int32)
    sought = boxes[number, there] if shared else boxes[number, there, of_class]
    kept = Kept(sought, scores[number, there, of_class], of_class, np.full(images, 4, np.int32))
    for row in check(lambda *arguments: nms_rows.rows_of(*arguments), (kept, sought, boxes, scores), xla=False):
        np.testing.assert_array_equal(boxes[number, row] if shared else boxes[number, row, of_class], sought)
        np.testing.assert_array_equal(scores[number, row, of_class], kept.scores)


CLASSIFICATION = {"sigmoid": WeightedSigmoid(), "focal": WeightedSigmoidFocal(2.0, 0.25), "softmax": WeightedSoftmax()}


@pytest.mark.parametrize(("images", "rows", "classes", "anchors"), SIZES, ids=IDS)
@pytest.mark.parametrize(
    ("name", "coder"),
    [("sigmoid", FasterRcnnBoxCoder()), ("focal", SquareBoxCoder()), ("softmax", FasterRcnnBoxCoder())],
)
def test_the_weighted_sum(name, coder, images, rows, classes, anchors):
    """The sum over a batch equals the sum of its images' losses."""
    rng = np.random.default_rng(rows + anchors)
    groundtruth, places = groundtruth_of(rng, images, rows, classes), boxes_of(rng, anchors)
    codes = rng.normal(size=(images, anchors, coder.code_size)).astype(np.float32)
    logits = rng.normal(size=(images, anchors, classes + 1)).astype(np.float32)
    assigner = TargetAssigner(box_ops.iou, MATCHERS[0], coder)
    terms = LossTerms(WeightedSmoothL1(), CLASSIFICATION[name])

    def run(codes, logits, places, truth):
        targets = assigner(places, truth, classes)
        return multibox_loss(terms, codes, logits, targets, lambda values: coder.decode(values, places))

    found = check(run, (codes, logits, places, groundtruth))
    alone = []
    for image in range(images):
        of_image = tf.nest.map_structure(
            lambda value, image=image: tf.constant(value[image : image + 1]), (codes, logits, groundtruth)
        )
        alone.append(run(of_image[0], of_image[1], tf.constant(places), of_image[2]))
    np.testing.assert_allclose(found, np.sum(alone, axis=0), rtol=1e-4, atol=1e-5)
