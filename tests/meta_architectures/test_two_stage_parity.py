"""Faster R-CNN and R-FCN against the stored outputs of the reference implementation on deterministic weights (tolerances: the data's own README)."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import tensorflow as tf

from detection import config
from detection.builders import pipeline
from detection.types import Groundtruth, ImageBatch

MODELS = ("faster_rcnn_inception_v2_coco", "rfcn_resnet101_coco")


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Reference:
    """The stored cases of a model, and a detector filled by the same rule."""

    def __init__(self, folder: Path, name: str, overrides: tuple[str, ...] = ()) -> None:
        self.folder = folder / "parity"
        self.manifest = json.loads((self.folder / "manifest.json").read_text())
        self.model = self.manifest["models"][name]
        self.losses = json.loads((self.folder / f"{name}.losses.json").read_text())
        self.rules, self.compare = _module(self.folder / "deterministic.py"), _module(self.folder / "compare.py")
        message = config.override(config.load(folder / self.model["config"]), list(overrides))
        built = pipeline.build(message, read_label_maps=False)
        self.resizer, self.detector = built.resizer, built.make_detector()
        self.detector.build_weights()
        for variable in self.detector.variables:
            variable.assign(self.rules.weight(variable.path, variable.shape))

    def batch(self, case: dict) -> ImageBatch:
        images = [self.rules.image(seed, case["height"], case["width"]) for seed in case["seeds"]]
        return self.resizer.batch(tf.constant(np.stack(images)))

    def groundtruth(self, case: dict, batch: ImageBatch, padded: int = 8) -> Groundtruth:
        """Padded, so that padding is seen not to count."""
        rows = [self.manifest["groundtruth"][str(seed)] for seed in case["seeds"]]
        boxes, classes, weights = (np.zeros((len(rows), padded, *last), kind) for last, kind in (((4,), "f4"), ((), "i4"), ((), "f4")))
        for i, row in enumerate(rows):
            count = len(row["label_ids_1_based"])
            # In float32 from the start, as the reference has them: anchors that tie by IoU tie by rounding.
            normalised = np.array(row["boxes_ymin_xmin_ymax_xmax_normalised"], "f4")
            boxes[i, :count] = normalised * np.tile(batch.true_shapes[i].numpy(), 2).astype("f4")
            classes[i, :count] = np.array(row["label_ids_1_based"]) - 1
            weights[i, :count] = 1
        counts = (weights > 0).sum(1).astype("i4")
        flags = np.zeros_like(weights, bool)
        return Groundtruth(*map(tf.constant, (boxes, classes, weights, counts, flags, flags, weights)))


# As the manifest says of the stored losses: the samplers keep everything.
KEEP_ALL = (
    "model.faster_rcnn.first_stage_minibatch_size=1000000",
    "model.faster_rcnn.second_stage_batch_size=300",
    "model.faster_rcnn.second_stage_balance_fraction=1.0",
)


@cache
def _reference(folder: Path, name: str, overrides: tuple[str, ...] = ()) -> Reference:
    return Reference(folder, name, overrides)


@pytest.mark.parametrize("name", MODELS)
def test_variables_equal(shared: Path, name: str) -> None:
    reference = _reference(shared, name, KEEP_ALL)
    digest = hashlib.sha256()
    variables = sorted(reference.detector.variables, key=lambda v: v.path)
    for variable in variables:
        digest.update(variable.path.encode() + variable.numpy().tobytes())
    assert len(variables) == reference.model["variables"]["count"]
    assert sum(int(np.prod(v.shape)) for v in variables) == reference.model["variables"]["parameters"]
    assert digest.hexdigest() == reference.model["variables"]["sha256"]


@pytest.mark.parametrize("case", ["a", "b"])
@pytest.mark.parametrize("name", MODELS)
def test_forward_pass_equals(shared: Path, name: str, case: str) -> None:
    reference = _reference(shared, name, KEEP_ALL)
    entry = reference.model["cases"][case]
    batch = reference.batch(entry)
    predictions = reference.detector.predict(batch)
    detections = reference.detector.postprocess(predictions, batch.true_shapes)
    size = np.array(predictions.images.shape[1:3])
    grid = [np.rint(np.linspace(0, side - 1, 5)).astype(int) for side in size]
    (features,), (hidden,) = predictions.feature_maps, predictions.rpn.feature_maps
    outputs = {
        "preprocessed_grid": predictions.images.numpy()[:, grid[0]][:, :, grid[1]],
        "anchors": predictions.rpn.anchors,
        "rpn_features_to_crop_sample": features[:, ::5, ::5, ::32],
        "rpn_box_predictor_features_sample": hidden[:, ::5, ::5, ::32],
        "rpn_box_encodings": predictions.rpn.box_codes,
        "rpn_objectness_logits": predictions.rpn.class_logits,
        "proposal_boxes_normalized": predictions.proposals.boxes.numpy() / np.tile(size, 2),
        "proposal_scores": predictions.proposals.scores,
        "num_proposals": predictions.proposals.counts,
        "refined_box_encodings": predictions.box_codes[0],
        "class_logits": predictions.class_logits[0],
        "detection_boxes": detections.boxes,
        "detection_scores": detections.scores,
        "detection_classes": detections.classes,
        "num_detections": detections.counts,
    }
    stored = np.load(reference.folder / entry["file"])
    rows = reference.compare.compare(stored, entry, outputs)
    assert len(rows) >= 10
    assert [row for row in rows if not row[3]] == []


@pytest.mark.parametrize("case", ["a", "b"])
@pytest.mark.parametrize("name", MODELS)
def test_losses_of_the_inference_graph_equal(shared: Path, name: str, case: str) -> None:
    reference = _reference(shared, name, KEEP_ALL)
    entry = reference.model["cases"][case]
    batch = reference.batch(entry)
    groundtruth = reference.groundtruth(entry, batch)
    losses = reference.detector.loss(reference.detector.predict(batch, groundtruth), groundtruth)
    for tag, expected in reference.losses["eval"][case].items():
        np.testing.assert_allclose(losses[tag], expected, rtol=1e-4 if "RPN" in tag else 5e-3, err_msg=tag)


def _away_from_the_border(boxes: tf.Tensor, image_shape: tuple[int, int]) -> tf.Tensor:
    """Boxes of which those that touch the bottom or the right border of the image end two thousandths of a pixel before it.

    The last sample of a crop of such a box lies on the last cell, or just beyond, where it counts as 0. Which of the two hangs on the last bit of
    the box's other edge, and that on the order in which threads add. Up to 49 of the 300 proposals of a case may so lose a row each; if all did,
    gradients would move by 5e-2. The data's README has border rows judged apart; here they are kept where the reference has nearly all, inside.
    """
    border = tf.cast(tf.stack(image_shape), tf.float32) - 2e-3
    return tf.concat([boxes[..., :2], tf.minimum(boxes[..., 2:], border)], axis=-1)


@pytest.mark.parametrize("case", ["a", "b"])
@pytest.mark.parametrize("name", MODELS)
def test_losses_and_gradients_of_the_training_graph_equal(shared: Path, name: str, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = _reference(shared, name, KEEP_ALL)
    entry, expected = reference.model["cases"][case], reference.losses["train"][case]
    batch = reference.batch(entry)
    groundtruth = reference.groundtruth(entry, batch)
    variables = reference.detector.trainable_variables
    regions = reference.detector.regions
    classify = regions.run
    monkeypatch.setattr(regions, "run", lambda maps, boxes, shape, training: classify(maps, _away_from_the_border(boxes, shape), shape, training))
    with tf.GradientTape() as tape:
        losses = reference.detector.loss(reference.detector.predict(batch, groundtruth, training=True), groundtruth)
        total = tf.add_n(list(losses.values()))
    gradients = dict(zip([v.path for v in variables], tape.gradient(total, [v.value for v in variables]), strict=True))
    for tag, value in expected["losses"].items():
        np.testing.assert_allclose(losses[tag], value, rtol=1e-4 if "RPN" in tag else 5e-3, err_msg=tag)
    wanted = {path: norm for path, norm in expected["grad_norms"].items() if norm >= 0}
    assert set(wanted) == {path for path, gradient in gradients.items() if gradient is not None}
    # The reference moves by up to 3e-3 against itself with another number of threads (`train_noise_rel` in the manifest); ours lies within that too.
    for path, norm in wanted.items():
        np.testing.assert_allclose(tf.norm(gradients[path]), norm, rtol=1e-2, err_msg=path)
