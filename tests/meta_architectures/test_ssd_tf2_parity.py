"""SSDs as the Keras models of the TF Object Detection API against the stored outputs of that implementation
(tolerances: the data's own README)."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from detection.checkpoints.names import is_optional
from tests.helpers.tf2_parity import Reference, Step, gradient_gaps, steps_as_stored

MODELS = (
    *("ssd_mobilenet_v2_fpnlite_320x320", "ssd_mobilenet_v2_320x320", "ssd_efficientdet_d0_512x512"),
    "ssd_resnet50_v1_fpn_640x640",
)

every = pytest.mark.parametrize("reference", MODELS, indirect=True)
# Steps of two images take a minute at 640 x 640 pixels, 20 s at 512 x 512.
every_step = pytest.mark.parametrize(
    "reference", [*MODELS[:2], *(pytest.param(name, marks=pytest.mark.slow) for name in MODELS[2:])], indirect=True
)


@pytest.fixture(scope="module")
def reference(shared: Path, request: pytest.FixtureRequest) -> Reference:
    return Reference(shared, request.param)


@pytest.fixture(scope="module")
def steps(shared: Path, reference: Reference) -> dict[str, dict[str, Step]]:
    return steps_as_stored(shared, reference.name)


@every
def test_every_variable_has_its_key_and_shape(reference: Reference) -> None:
    assert {key: tuple(variable.shape) for key, variable in reference.keys.items()} == reference.stored_shapes()
    weights = {id(variable) for variable in reference.detector.variables if not is_optional(variable.path)}
    assert {id(variable) for variable in reference.keys.values()} == weights
    digest = hashlib.sha256()
    for key in sorted(reference.keys):
        digest.update(key.encode() + reference.keys[key].numpy().tobytes())
    assert digest.hexdigest() == reference.model["variables"]["sha256"]


@pytest.mark.parametrize("case", ["a", "b"])
@every
def test_forward_pass_equals(reference: Reference, case: str) -> None:
    rows = reference.forward(case)
    assert len(rows) == 5 + reference.detector.extractor.num_maps  # image, anchors, codes, logits, detections, maps
    assert [row for row in rows if not row[3]] == []


@every_step
def test_losses_and_gradients_of_the_inference_model_equal(
    reference: Reference, steps: dict[str, dict[str, Step]]
) -> None:
    for case, expected in reference.losses["eval"].items():
        step = steps["eval"][case]
        assert step.losses | {"Loss/regularization_loss": step.regularization} == pytest.approx(expected, rel=1e-4)
        if case in reference.losses["eval_grad"]:
            stored, noise = (
                reference.losses["eval_grad"][case],
                reference.model["eval_grad_noise_rel"][case]["grad_norms"],
            )
            assert step.total == pytest.approx(stored["total_loss"], rel=1e-4)
            gaps = gradient_gaps(step.norms, stored["grad_norms"], stored["global_grad_norm"])
            assert np.median(gaps) < max(1e-3, 10 * noise["median"]) and gaps.max() < max(1e-2, 10 * noise["max"])


@every_step
def test_train_step_equals(reference: Reference, steps: dict[str, dict[str, Step]]) -> None:
    for case, expected in reference.losses["train"].items():
        step, noise = steps["train"][case], reference.model["train_noise_rel"][case]
        for tag, value in expected["losses"].items():
            assert step.losses[tag] == pytest.approx(value, rel=max(1e-3, 10 * noise["losses"][tag])), tag
        assert step.total == pytest.approx(expected["total_loss"], rel=1e-3)
        assert set(step.norms) == set(expected["grad_norms"])
        gaps = gradient_gaps(step.norms, expected["grad_norms"], expected["global_grad_norm"])
        assert np.median(gaps) < 10 * noise["grad_norms"]["median"] and gaps.max() < 10 * noise["grad_norms"]["max"]
    with np.load(reference.folder / f"{reference.name}.train_step_moving.npz") as stored:
        for name in stored.files:
            np.testing.assert_allclose(
                steps["train"]["ab"].moved[name.replace("|", "/")], stored[name], rtol=1e-4, atol=1e-4, err_msg=name
            )
