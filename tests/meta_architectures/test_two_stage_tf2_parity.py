"""Two-stage detectors as the Keras models of the TF Object Detection API against the stored outputs of that
implementation (tolerances: the data's own README)."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from detection.checkpoints import loading
from tests.helpers.tf2_parity import Reference, Step, gradient_gaps, module_beside, steps_as_stored

MODEL = "faster_rcnn_resnet50_v1_640x640"


@pytest.fixture(scope="module")
def reference(shared: Path) -> Reference:
    return Reference(shared, MODEL)


@pytest.fixture(scope="module")
def steps(shared: Path) -> dict[str, dict[str, Step]]:
    return steps_as_stored(shared, MODEL)


def test_every_variable_has_its_key_and_shape(reference: Reference) -> None:
    assert {key: tuple(variable.shape) for key, variable in reference.keys.items()} == reference.stored_shapes()
    assert len({id(variable) for variable in reference.keys.values()}) == len(reference.detector.variables)
    digest = hashlib.sha256()
    for key in sorted(reference.keys):
        digest.update(key.encode() + reference.keys[key].numpy().tobytes())
    assert digest.hexdigest() == reference.model["variables"]["sha256"]


@pytest.mark.parametrize("case", ["a", "b"])
def test_forward_pass_equals(reference: Reference, case: str) -> None:
    rows = reference.forward(case)
    # Image, two maps, anchors, codes and logits of the first stage, proposals, detections; features, codes and logits
    # of the second, each at the border and elsewhere.
    assert len(rows) == 14
    assert [row for row in rows if not row[3]] == []


def test_a_checkpoint_with_the_stored_graph_restores_every_variable(reference: Reference, tmp_path: Path) -> None:
    """Which the original code restores with every object matched."""
    for variable in reference.detector.variables:
        variable.assign(np.zeros(variable.shape, "f4"))
    with module_beside(reference.folder) as stored:
        prefix = stored.write(MODEL, str(tmp_path), str(reference.folder))
    assert loading.load_into(reference.detector, prefix) == 0
    for key, variable in reference.keys.items():
        np.testing.assert_array_equal(variable.numpy(), reference.values[key], err_msg=key)


@pytest.mark.slow
def test_losses_of_the_inference_model_equal(reference: Reference, steps: dict[str, dict[str, Step]]) -> None:
    for case, expected in reference.losses["eval"].items():
        step = steps["eval"][case]
        for tag, value in expected.items():
            found = (step.losses | {"Loss/regularization_loss": step.regularization})[tag]
            assert found == pytest.approx(value, rel=5e-3 if "BoxClassifier" in tag else 1e-4), (case, tag)


@pytest.mark.slow
def test_train_step_equals(reference: Reference, steps: dict[str, dict[str, Step]]) -> None:
    for case, expected in reference.losses["train"].items():
        step, noise = steps["train"][case], reference.model["train_noise_rel"][case]
        for tag, value in expected["losses"].items():
            assert step.losses[tag] == pytest.approx(value, rel=max(1e-3, 10 * noise["losses"][tag])), (case, tag)
        assert set(step.norms) == set(expected["grad_norms"])
        gaps = gradient_gaps(step.norms, expected["grad_norms"], expected["global_grad_norm"])
        assert np.median(gaps) < 10 * noise["grad_norms"]["median"] and gaps.max() < 10 * noise["grad_norms"]["max"]
        moved = [key for key, value in step.moved.items() if not np.array_equal(value, reference.values[key])]
        assert len(moved) == expected["moving_variables_changed"]
