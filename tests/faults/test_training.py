"""Faults that show while a model learns: losses and gradients that are not finite, images with nothing to learn, too
little memory or software."""

from __future__ import annotations

import dataclasses
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from detection.builders import pipeline as pipeline_builder
from detection.checkpoints import checkpoint_files
from detection.config import prepare
from detection.errors import ConfigError, DivergedError
from detection.settings import EvalSettings
from detection.train import loop
from detection.train.evaluation import Evaluation
from detection.train.memory import out_of_memory
from detection.train.options import RunOptions
from detection.types import Groundtruth
from tests.helpers import detector_configs, memory, tiny

QUICK = RunOptions(checkpoint_every=2, log_every=1, seed=5)


class Half(tiny.TinyDetector):
    """Its boxes pass through float16, where the gradient of the brightest image overflows and its loss does not."""

    overflows_at: float = 0.0  # mean of an image

    def loss(self, predictions, groundtruth) -> dict[str, tf.Tensor]:
        losses = super().loss(predictions, groundtruth)
        codes = tf.cast(predictions.box_codes, tf.float16)
        bright = tf.reduce_max(tf.reduce_mean(predictions.images, [1, 2, 3])) >= self.overflows_at
        slope = tf.where(
            bright, 1e6, 0.0
        )  # of the loss by the codes, which goes back through the cast: float16 ends at 65504
        return {
            **losses,
            "Loss/localization_loss": (
                losses["Loss/localization_loss"] + slope * tf.reduce_sum(tf.cast(codes, tf.float32))
            ),
        }


def half_precision(folder: Path, overflows_at: float, **settings: object):
    """A pipeline over single images; the gradient of those as bright as that overflows."""

    def make() -> Half:
        detector = Half()
        detector.overflows_at = overflows_at
        detector.build_weights()
        return detector

    pipeline = tiny.make_pipeline(folder, batch_size=1, optimizer=tiny.make_optimizer(rate=1e-4), **settings)
    return dataclasses.replace(pipeline, make_detector=make, eval_inputs=())


def brightest(folder: Path) -> tuple[str, float]:
    """Source id of the brightest image of a shard, and its mean."""
    means = {}
    for path in folder.glob("*.record-*"):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            fields = tf.train.Example.FromString(record).features.feature
            image = tf.io.decode_png(fields["image/encoded"].bytes_list.value[0]).numpy()
            means[fields["image/source_id"].bytes_list.value[0].decode()] = float(image.mean())
    name = max(means, key=means.get)
    return name, means[name]


def test_a_gradient_that_overflows_in_half_precision_is_left_out_and_counted(tmp_path, caplog, holds):
    """Row 48: two epochs of twelve images, one of which overflows."""
    tiny.write_records(tmp_path)
    name, mean = brightest(tmp_path)
    pipeline = half_precision(tmp_path, mean - 1e-3, num_steps=24)
    stream = io.StringIO()
    losses = loop.train(pipeline, tmp_path / "run", options=QUICK, stream=stream)
    warnings = [record.getMessage() for record in caplog.records if "not finite" in record.getMessage()]
    assert len(warnings) == 2, warnings
    holds(warnings[0], "the gradient is not finite (gradient_norm ", "update skipped; images: ", name)
    holds(warnings[1], "update skipped (2 so far); images: ", name)
    holds(
        stream.getvalue(),
        "stopped at the last step, 2 updates skipped because a loss or gradient was not finite; the last checkpoint is",
    )
    saved = checkpoint_files.read(tmp_path / "run" / "model.ckpt-24")
    assert (
        saved["global_step"] == 24
        and all(np.isfinite(value).all() for value in saved.values())
        and np.isfinite(losses["Loss/total_loss"])
    )


def test_gradients_that_overflow_again_and_again_end_the_run_with_4(tmp_path, holds):
    """Row 48: the limit."""
    pipeline = half_precision(tmp_path, 0.0, num_steps=24)
    with pytest.raises(DivergedError) as raised:
        loop.train(
            pipeline, tmp_path / "run", options=dataclasses.replace(QUICK, max_nonfinite_steps=3), stream=io.StringIO()
        )
    assert raised.value.exit_code == 4
    holds(
        str(raised.value),
        "step 1: the gradient is not finite (gradient_norm ",
        "nor in the 2 steps after it",
        "images of the first one: image_",
    )
    assert len(json.loads((tmp_path / "run" / "diverged.json").read_text())["steps"]) == 3


def test_too_little_memory_for_an_evaluation(tmp_path, holds):
    """Row 62: an allocation that fails. The batch of an evaluation is another field than that of
    training."""

    class Greedy(tiny.TinyDetector):
        def postprocess(self, predictions, true_shapes):
            return super().postprocess(
                predictions._replace(anchors=memory.exhausted() + predictions.anchors), true_shapes
            )

    detector = Greedy()
    detector.build_weights()
    text = "model {\n  faster_rcnn {\n    image_resizer {\n      keep_aspect_ratio_resizer {\n      }\n    }\n  }\n}\n"
    evaluation = Evaluation(
        dataclasses.replace(tiny.make_pipeline(tmp_path), text=text), detector, tmp_path / "run", stream=io.StringIO()
    )
    with pytest.raises(ConfigError) as raised:
        evaluation.run(7)
    evaluation.close()
    assert raised.value.exit_code == 2
    resizer = "model.faster_rcnn.image_resizer.keep_aspect_ratio_resizer (at its defaults)"
    holds(
        str(raised.value),
        f"evaluation of step 7: out of memory with eval_config.batch_size 1; lower it, or the sizes of {resizer} (",
    )


def test_a_pipeline_made_in_python_has_no_fields_to_name():
    error = out_of_memory(
        "step 3", "train_config.batch_size", 8, "", tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")
    )
    assert (
        str(error)
        == "step 3: out of memory with train_config.batch_size 8; lower it, or the sizes of the image_resizer (OOM when"
        " allocating)"
    )


def test_without_tensorboard_training_and_evaluation_write_lines_of_json(tmp_path, monkeypatch, caplog, holds):
    """Row 61: neither found nor importable, as where it is not installed; pictures are left out, numbers are not."""
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    pipeline = dataclasses.replace(
        tiny.make_pipeline(tmp_path, num_steps=2), evaluate=EvalSettings(num_visualizations=2)
    )
    metrics = loop.train(pipeline, tmp_path / "run", options=QUICK, stream=io.StringIO())
    holds(
        caplog.text,
        "tensorboard is not installed (pip install tensorboard)",
        tmp_path / "run" / "train" / "scalars.jsonl",
    )
    rows = [json.loads(line) for line in (tmp_path / "run" / "train" / "scalars.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2] and all(np.isfinite(row["Loss/total_loss"]) for row in rows)
    assert (
        json.loads((tmp_path / "run" / "eval" / "metrics.json").read_text())["metrics"]["Loss/total_loss"]
        == metrics["Loss/total_loss"]
    )
    assert not list((tmp_path / "run").rglob("events.*"))


@pytest.fixture(scope="module")
def losses_of(tmp_path_factory):
    """losses_of(kind, groundtruth) -> losses by tag, and the norm of their gradient, of a real detector."""
    made = {}

    def of(kind: str, groundtruth: Groundtruth) -> tuple[dict[str, float], float]:
        if kind not in made:
            path = tmp_path_factory.mktemp(kind) / "pipeline.config"
            extractor = "ssd_mobilenet_v1" if kind == "ssd" else "faster_rcnn_mobilenet_v1"
            path.write_text(
                getattr(detector_configs, kind)(detector_configs.Settings(extractor, 64, 64, depth_multiplier=0.25))
            )
            made[kind] = pipeline_builder.build(prepare(path, check_paths=False)).make_detector()
            made[kind].build_weights()
        detector = made[kind]
        batch = tiny.ImageBatch(tf.random.stateless_uniform([2, 64, 64, 3], [1, 2], 0, 255), tf.fill([2, 2], 64))
        with tf.GradientTape() as tape:
            losses = dict(detector.loss(detector.predict(batch, groundtruth, training=True), groundtruth))
            total = tf.add_n(list(losses.values()))
        variables = [variable.value for variable in detector.trainable_variables]
        gradients = tape.gradient(total, variables, unconnected_gradients="zero")
        return {tag: float(value) for tag, value in losses.items()}, float(tf.linalg.global_norm(gradients))

    return of


def groundtruth(count: int, ignored: bool = False) -> Groundtruth:
    """`count` boxes on each of two images of 64 x 64, of four there is room for; `ignored`: all of them crowds."""
    there = tf.sequence_mask([count, count], 4)
    boxes = tf.where(there[..., tf.newaxis], tf.constant([8.0, 8.0, 40.0, 48.0]), 0.0)
    weights = tf.zeros([2, 4]) if ignored else tf.cast(there, tf.float32)
    crowd = there if ignored else tf.zeros([2, 4], tf.bool)
    return Groundtruth(
        boxes,
        tf.zeros([2, 4], tf.int32),
        weights,
        tf.fill([2], count),
        crowd,
        tf.zeros([2, 4], tf.bool),
        tf.fill([2, 4], 1280.0),
    )


@pytest.mark.parametrize("kind", ["ssd", "faster_rcnn"])
@pytest.mark.parametrize(("count", "ignored"), [(0, False), (2, True)], ids=["no boxes", "only crowds"])
def test_images_with_nothing_to_find_have_no_box_loss_and_finite_gradients(losses_of, kind, count, ignored):
    """Rows 22 and 23: what is there counts as background, except where a crowd lies."""
    losses, norm = losses_of(kind, groundtruth(count, ignored))
    assert np.isfinite(norm) and all(np.isfinite(value) for value in losses.values()), losses
    boxes = [value for tag, value in losses.items() if "localization" in tag]
    classes = [value for tag, value in losses.items() if "classification" in tag or "objectness" in tag]
    assert boxes and not any(boxes), losses
    assert classes and sum(classes) > 0 and norm > 0, "negatives are not learnt"
    learnt, _ = losses_of(kind, groundtruth(2))
    assert sum(value for tag, value in learnt.items() if "localization" in tag) > 0, "boxes that count have a box loss"
