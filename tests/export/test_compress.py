"""`detection compress`: a detector whose fully connected layers are factors, from checkpoint to served model."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from detection import config
from detection.builders import pipeline as pipelines
from detection.checkpoints import checkpoint_files, loading
from detection.checkpoints.restore import FineTune
from detection.commands import call
from detection.export import compress
from detection.types import ImageBatch, Proposals
from tests.helpers import detector_configs
from tests.helpers.detector_configs import Settings


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A thin Fast R-CNN VGG16 with random weights and its config: folder, detector."""
    folder = tmp_path_factory.mktemp("trained")
    text = detector_configs.fast_rcnn(Settings("faster_rcnn_vgg16", 64, 96, depth_multiplier=0.125))
    (folder / "pipeline.config").write_text(text)
    detector = pipelines.build(config.from_text(text), read_label_maps=False).detector()
    checkpoint_files.write(folder / "model.ckpt-7", {n: v.numpy() for n, v in loading.by_name(detector).items()})
    return folder, detector


def run(folder, output, svd: str, *more: str) -> int:
    return call.call(
        "compress",
        f"--pipeline_config_path={folder / 'pipeline.config'}",
        f"--trained_checkpoint_dir={folder}",
        f"--output_directory={output}",
        f"--svd={svd}",
        *more,
    )


def outputs(detector) -> list[np.ndarray]:
    boxes = tf.constant([[[0, 0, 30, 40], [10, 20, 60, 90], [5, 5, 50, 50]]], tf.float32)
    given = Proposals(boxes, tf.ones([1, 3]), tf.constant([3]))
    images = tf.random.stateless_uniform([1, 64, 96, 3], [1, 2], 0, 255)
    predictions = detector.predict(ImageBatch(images, tf.constant([[64, 96]]), given))
    return [np.asarray(part) for part in (predictions.class_logits, predictions.box_codes)]


def test_full_rank_gives_the_same_detector(trained, tmp_path, capsys):
    folder, detector = trained
    full = min(detector_shape(detector, "fc7"))
    assert run(folder, tmp_path / "out", f"fc6,fc7={full},ClassPredictor", "--energy=1") == 0
    shown = capsys.readouterr().out
    assert f"{full} of {full}" in shown and "model.ckpt-7" in shown
    made = pipelines.load(tmp_path / "out" / "pipeline.config", check_paths=False, read_label_maps=False)
    compressed = made.detector(str(tmp_path / "out"))
    for found, expected in zip(outputs(compressed), outputs(detector), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    names = {variable.path.rsplit("/", 1)[-1] for variable in compressed.trainable_variables}
    assert {"left_weights", "right_weights"} <= names


def detector_shape(detector, name: str) -> tuple[int, int]:
    from detection.networks.low_rank import fully_connected_layers

    kernel = fully_connected_layers(detector)[name].kernel
    return int(np.prod(kernel.shape[:-1])), int(kernel.shape[-1])


def test_fewer_values_are_fewer_parameters_and_are_fine_tuned(trained, tmp_path):
    folder, detector = trained
    made = compress.compress(
        str(folder / "pipeline.config"), str(folder), tmp_path / "out", ranks={"fc6": 4, "fc7": 0}, energy=0.5
    )
    before, after = made.parameters
    inputs, outputs_ = detector_shape(detector, "fc6")
    saved = inputs * outputs_ - 4 * (inputs + outputs_)
    fc7 = made.layers[1]
    assert before - after == saved + fc7.before - fc7.after
    assert fc7.energy >= 0.5 and 1 <= fc7.rank < fc7.full_rank
    tuned = pipelines.load(made.folder / "pipeline.config", check_paths=False, read_label_maps=False).detector()
    report = loading.start_from(tuned, FineTune(str(made.checkpoint), "detection", load_all=True))
    assert not report.missing and not report.mismatched
    stored = checkpoint_files.read(str(made.checkpoint))
    right = next(variable for variable in tuned.variables if variable.path.endswith("fc6/right_weights"))
    np.testing.assert_array_equal(right.numpy(), stored[right.path])


@pytest.mark.parametrize(
    ("svd", "more", "message"),
    [
        ("fc9=3", (), "'fc9' is no fully connected layer of this detector; it has: "),
        ("fc7=100000", (), "singular values; keep fewer"),
        ("fc6", (), "say how many singular values to keep"),
        ("fc6=0", (), "a whole number from 1 on"),
        ("fc6=2,fc6=3", (), "name each layer once"),
    ],
)
def test_what_is_wrong_is_said(trained, tmp_path, capsys, svd, more, message):
    assert run(trained[0], tmp_path / "out", svd, *more) == 2
    error = capsys.readouterr().err
    assert message in error and not (tmp_path / "out").exists()
