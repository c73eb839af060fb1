"""SSD MobileNet v1 against the stored outputs of the reference implementation on deterministic weights (tolerances: the
data's own README)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from detection import config
from detection.builders import pipeline
from detection.types import Groundtruth, ImageBatch
from tests.helpers import stored_cases
from tests.helpers.modules import load

MODEL = "ssd_mobilenet_v1_coco"


class Reference:
    """The stored case and a detector filled by the same rule."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "parity"
        self.manifest = json.loads((self.folder / "manifest.json").read_text())
        self.model = self.manifest["models"][MODEL]
        self.losses = json.loads((self.folder / f"{MODEL}.losses.json").read_text())
        self.rules, self.compare = load(self.folder / "deterministic.py"), load(self.folder / "compare.py")
        built = pipeline.build(config.load(folder / self.model["config"]), read_label_maps=False)
        self.resizer, self.detector = built.resizer, built.make_detector()
        self.detector.build_weights()
        self.fill()

    def fill(self) -> None:
        for variable in self.detector.variables:
            variable.assign(self.rules.weight(variable.path, variable.shape))

    def batch(self, case: dict) -> ImageBatch:
        images = [self.rules.image(seed, case["height"], case["width"]) for seed in case["seeds"]]
        return self.resizer.batch(tf.constant(np.stack(images)))

    def groundtruth(self, case: dict, batch: ImageBatch) -> Groundtruth:
        rows = [self.manifest["groundtruth"][str(seed)] for seed in case["seeds"]]
        return stored_cases.groundtruth(rows, batch.true_shapes)


@pytest.fixture(scope="module")
def reference(shared: Path) -> Reference:
    return Reference(shared)


def test_variables_equal(reference: Reference) -> None:
    import hashlib

    digest = hashlib.sha256()
    variables = sorted(reference.detector.variables, key=lambda v: v.path)
    for variable in variables:
        digest.update(variable.path.encode() + variable.numpy().tobytes())
    assert len(variables) == reference.model["variables"]["count"]
    assert sum(int(np.prod(v.shape)) for v in variables) == reference.model["variables"]["parameters"]
    assert digest.hexdigest() == reference.model["variables"]["sha256"]


@pytest.mark.parametrize("case", ["a", "b", "ab"])
def test_forward_pass_equals(reference: Reference, case: str) -> None:
    entry = reference.model["cases"][case]
    batch = reference.batch(entry)
    predictions = reference.detector.predict(batch)
    detections = reference.detector.postprocess(predictions, batch.true_shapes)
    size = np.array(predictions.images.shape[1:3])
    grid = [np.rint(np.linspace(0, side - 1, 5)).astype(int) for side in size]
    outputs = {
        "preprocessed_grid": predictions.images.numpy()[:, grid[0]][:, :, grid[1]],
        "anchors": predictions.anchors.numpy() / np.tile(size, 2),
        "box_encodings": predictions.box_codes,
        "class_logits": predictions.class_logits,
        "detection_boxes": detections.boxes,
        "detection_scores": detections.scores,
        "detection_classes": detections.classes,
        **{f"feature_map_{i}_sample": m[:, ::2, ::2, ::16] for i, m in enumerate(predictions.feature_maps)},
    }
    stored = np.load(reference.folder / entry["file"])
    rows = reference.compare.compare(stored, entry, outputs)
    assert len(rows) == 11  # all stored arrays but shapes and counts
    assert [row for row in rows if not row[3]] == []


@pytest.mark.parametrize("case", ["a", "b", "ab"])
def test_losses_of_the_inference_graph_equal(reference: Reference, case: str) -> None:
    batch = reference.batch(reference.model["cases"][case])
    losses = reference.detector.loss(
        reference.detector.predict(batch), reference.groundtruth(reference.model["cases"][case], batch)
    )
    for tag, expected in reference.losses["eval"][case].items():
        np.testing.assert_allclose(losses[tag], expected, rtol=1e-4, err_msg=tag)
    np.testing.assert_allclose(
        reference.detector.regularization_loss(), reference.losses["regularization_loss"], rtol=1e-5
    )


def test_train_step_equals(reference: Reference) -> None:
    case, expected = reference.model["cases"]["ab"], reference.losses["train"]["ab"]
    batch = reference.batch(case)
    variables = reference.detector.trainable_variables
    with tf.GradientTape() as tape:
        losses = reference.detector.loss(
            reference.detector.predict(batch, training=True), reference.groundtruth(case, batch)
        )
        total = tf.add_n(list(losses.values())) + reference.detector.regularization_loss()
    gradients = tape.gradient(total, [v.value for v in variables])
    moving = {v.path: v.numpy() for v in reference.detector.non_trainable_variables}
    reference.fill()
    for tag, value in expected["losses"].items():
        np.testing.assert_allclose(losses[tag], value, rtol=5e-4, err_msg=tag)
    np.testing.assert_allclose(total, expected["total_loss"], rtol=5e-4)
    assert {v.path for v in variables} == set(expected["grad_norms"])
    norms = np.array([float(tf.norm(gradient)) for gradient in gradients])
    stored = np.array([expected["grad_norms"][v.path] for v in variables])
    gaps = np.abs(norms - stored) / np.maximum(
        stored, 1e-6
    )  # some are 0: a map of one cell and two values has no variance to learn from
    assert np.median(gaps) < 5e-2 and gaps.max() < 0.3, (np.median(gaps), gaps.max())
    stored = np.load(reference.folder / reference.model["moving_file"])
    for key in stored.files:
        np.testing.assert_allclose(moving[key.replace("|", "/")], stored[key], rtol=1e-4, atol=1e-5, err_msg=key)
