"""CenterNet against the stored outputs of the TF Object Detection API (tolerances: the data's own README)."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.tf2_parity import Reference, Step, gradient_gaps, steps_as_stored

MODEL = "centernet_resnet101_v1_fpn_512x512"


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
    assert len(rows) == 7  # image, map, heat map and its largest, sizes, offsets, detections
    assert [row for row in rows if not row[3]] == []


@pytest.mark.slow
def test_losses_and_gradients_of_the_inference_model_equal(
    reference: Reference, steps: dict[str, dict[str, Step]]
) -> None:
    for case, expected in reference.losses["eval"].items():
        step, noise = steps["eval"][case], reference.model["eval_loss_noise_rel"][case]
        found = step.losses | {"Loss/regularization_loss": step.regularization}
        assert set(found) == set(expected)
        for tag, value in expected.items():
            assert found[tag] == pytest.approx(value, rel=max(1e-4, 10 * noise[tag])), tag
    stored, noise = reference.losses["eval_grad"]["a"], reference.model["eval_grad_noise_rel"]["a"]["grad_norms"]
    gaps = gradient_gaps(steps["eval"]["a"].norms, stored["grad_norms"], stored["global_grad_norm"])
    assert np.median(gaps) < max(1e-3, 10 * noise["median"]) and gaps.max() < max(1e-2, 10 * noise["max"])


@pytest.mark.slow
def test_train_step_equals(reference: Reference, steps: dict[str, dict[str, Step]]) -> None:
    step, expected = steps["train"]["ab"], reference.losses["train"]["ab"]
    noise = reference.model["train_noise_rel"]["ab"]
    assert set(step.losses) == set(expected["losses"])
    for tag, value in expected["losses"].items():
        assert step.losses[tag] == pytest.approx(value, rel=max(1e-3, 10 * noise["losses"][tag])), tag
    assert step.total == pytest.approx(expected["total_loss"], rel=1e-3)
    # -1: nothing is computed with it (the batch norm behind the last block), and here it is not trained.
    assert set(step.norms) == {key for key, norm in expected["grad_norms"].items() if norm != -1}
    gaps = gradient_gaps(step.norms, expected["grad_norms"], expected["global_grad_norm"])
    assert np.median(gaps) < 10 * noise["grad_norms"]["median"] and gaps.max() < 10 * noise["grad_norms"]["max"]
    with np.load(reference.folder / f"{MODEL}.train_step_moving.npz") as stored:
        for name in stored.files:
            np.testing.assert_allclose(
                step.moved[name.replace("|", "/")], stored[name], rtol=1e-4, atol=1e-4, err_msg=name
            )
