"""A two-stage detector filled by the rule of the reference data, and what its training graph gives."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import tensorflow as tf

from detection import config
from detection.builders import pipeline
from detection.types import Groundtruth, ImageBatch
from tests.helpers import stored_cases
from tests.helpers.modules import load


class Reference:
    """The stored cases of a model, and a detector filled by the same rule."""

    def __init__(self, folder: Path, name: str, overrides: tuple[str, ...] = ()) -> None:
        self.folder = folder / "parity"
        self.manifest = json.loads((self.folder / "manifest.json").read_text())
        self.model = self.manifest["models"][name]
        self.losses = json.loads((self.folder / f"{name}.losses.json").read_text())
        self.rules, self.compare = load(self.folder / "deterministic.py"), load(self.folder / "compare.py")
        message = config.override(config.load(folder / self.model["config"]), list(overrides))
        built = pipeline.build(message, read_label_maps=False)
        self.resizer, self.detector = built.resizer, built.make_detector()
        self.detector.build_weights()
        for variable in self.detector.variables:
            variable.assign(self.rules.weight(variable.path, variable.shape))

    def batch(self, case: dict) -> ImageBatch:
        images = [self.rules.image(seed, case["height"], case["width"]) for seed in case["seeds"]]
        return self.resizer.batch(tf.constant(np.stack(images)))

    def groundtruth(self, case: dict, batch: ImageBatch) -> Groundtruth:
        rows = [self.manifest["groundtruth"][str(seed)] for seed in case["seeds"]]
        return stored_cases.groundtruth(rows, batch.true_shapes, kind=np.float32)


# As the manifest says of the stored losses: the samplers keep everything.
KEEP_ALL = (
    "model.faster_rcnn.first_stage_minibatch_size=1000000",
    "model.faster_rcnn.second_stage_batch_size=300",
    "model.faster_rcnn.second_stage_balance_fraction=1.0",
)


def _away_from_the_border(boxes: tf.Tensor, image_shape: tuple[int, int]) -> tf.Tensor:
    """Boxes of which those that touch the bottom or the right border of the image end two thousandths of a pixel before
    it.

    The last sample of a crop of such a box lies on the last cell, or just beyond, where it counts as 0. Which of the
    two hangs on the last bit of the box's other edge, and that on the order in which threads add. Up to 49 of the 300
    proposals of a case may so lose a row each; if all did, gradients would move by 5e-2. The data's README has border
    rows judged apart; here they are kept where the reference has nearly all, inside.
    """
    border = tf.cast(tf.stack(image_shape), tf.float32) - 2e-3
    return tf.concat([boxes[..., :2], tf.minimum(boxes[..., 2:], border)], axis=-1)


def losses_and_norms(reference: Reference, case: str) -> dict:
    """Of the training graph: losses by tag, and gradient norms by variable, None where there is no gradient."""
    entry = reference.model["cases"][case]
    batch = reference.batch(entry)
    groundtruth = reference.groundtruth(entry, batch)
    variables = reference.detector.trainable_variables
    regions = reference.detector.second_stage.regions
    classify = regions.run
    regions.run = lambda maps, boxes, shape, training: classify(
        maps, _away_from_the_border(boxes, shape), shape, training
    )
    try:
        with tf.GradientTape() as tape:
            losses = reference.detector.loss(reference.detector.predict(batch, groundtruth, training=True), groundtruth)
            total = tf.add_n(list(losses.values()))
    finally:
        del regions.run
    gradients = tape.gradient(total, [variable.value for variable in variables])
    norms = {
        v.path: None if gradient is None else float(tf.norm(gradient))
        for v, gradient in zip(variables, gradients, strict=True)
    }
    return {"losses": {tag: float(loss) for tag, loss in losses.items()}, "norms": norms}
