"""Faster R-CNN and R-FCN against the stored outputs of the reference implementation on deterministic weights
(tolerances: the data's own README)."""

from __future__ import annotations

import hashlib
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers import two_stage_reference as helper

MODELS = ("faster_rcnn_inception_v2_coco", "rfcn_resnet101_coco")
KEEP_ALL = helper.KEEP_ALL


@cache
def _reference(folder: Path, name: str, overrides: tuple[str, ...] = ()) -> Any:
    return helper.Reference(folder, name, overrides)


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


@pytest.mark.slow
@pytest.mark.parametrize("case", ["a", "b"])
@pytest.mark.parametrize("name", MODELS)
def test_losses_and_gradients_of_the_training_graph_equal(shared: Path, name: str, case: str) -> None:
    """On one thread, as all tests are (tests/conftest.py): with several the order in which numbers are added changes
    from run to run, and with it neighbours in suppression and samples at the border of a crop; a norm has once moved
    by 1.03e-2. The reference was run on one thread too."""
    assert os.environ["TF_NUM_INTRAOP_THREADS"] == "1"
    reference = _reference(shared, name, KEEP_ALL)
    expected, found = reference.losses["train"][case], helper.losses_and_norms(reference, case)
    for tag, value in expected["losses"].items():
        np.testing.assert_allclose(found["losses"][tag], value, rtol=1e-4 if "RPN" in tag else 5e-3, err_msg=tag)
    wanted = {path: norm for path, norm in expected["grad_norms"].items() if norm >= 0}
    assert set(wanted) == {path for path, norm in found["norms"].items() if norm is not None}
    # The reference moves by up to 3e-3 against itself with another number of threads (`train_noise_rel` in the
    # manifest).
    for path, norm in wanted.items():
        np.testing.assert_allclose(found["norms"][path], norm, rtol=1e-2, err_msg=path)
