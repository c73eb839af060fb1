"""The stored outputs of a TF2 model of the reference implementation, and our detector filled by the same rule (the
data's own README says how)."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from detection import config
from detection.builders import pipeline
from detection.networks import efficientnet
from detection.networks.layers import every_layer
from detection.types import CenterPredictions, DensePredictions, Groundtruth, ImageBatch, RegionPredictions
from tests.helpers import near_ties, stored_cases
from tests.helpers.modules import load


class Step(NamedTuple):
    """What one step on stored images gave: losses by tag, their total with regularisation, gradient norms and moving
    statistics by object key, and the regularisation loss alone."""

    losses: dict[str, float]
    total: float
    norms: dict[str, float]
    moved: dict[str, np.ndarray]
    regularization: float


# As the manifest says of the stored losses: the samplers of two-stage models keep everything.
KEEP_ALL = {
    "faster_rcnn": (
        "model.faster_rcnn.first_stage_minibatch_size=1000000",
        "model.faster_rcnn.second_stage_batch_size=300",
        "model.faster_rcnn.second_stage_balance_fraction=1.0",
    )
}


class Reference:
    """One model of `parity_tf2`.

    Attributes:
        model: its entry in the manifest.
        detector: ours, with the stored weights.
        keys: object key -> its variable.
    """

    def __init__(self, shared: Path, name: str) -> None:
        self.name, self.folder = name, shared / "parity_tf2"
        self.manifest = json.loads((self.folder / "manifest_tf2.json").read_text())
        self.model = self.manifest["models"][name]
        self.losses = json.loads((self.folder / f"{name}.losses.json").read_text())
        self.images = load(shared / "parity" / "deterministic.py")
        self.comparison = load(shared / "parity" / "compare.py")
        message = config.load(shared / "odapi_configs" / "tf2" / self.model["config"])
        message = config.override(message, list(KEEP_ALL.get(self.model["meta_architecture"], ())))
        built = pipeline.build(message, read_label_maps=False)
        self.resizer, self.detector = built.resizer, built.make_detector()
        self.detector.build_weights()
        self.keys = self.detector.object_keys()
        for layer in every_layer(self.detector):
            if isinstance(layer, efficientnet.InvertedResidual):
                layer.drop_rate = 0.0  # as the stored losses were computed
        self.values = stored_variables(self.folder, name)
        self.fill()

    def fill(self) -> None:
        """Every variable as the reference had it."""
        for key, variable in self.keys.items():
            variable.assign(self.values[key])

    def stored_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes by key, as the reference lists them."""
        lines = (self.folder / f"{self.name}.keys.tsv").read_text().splitlines()[1:]
        return {
            key: tuple(map(int, filter(None, shape.split(",")))) for key, shape, *_ in (s.split("\t") for s in lines)
        }

    def batch(self, seeds: list[int]) -> ImageBatch:
        """The images, each resized alone."""
        singles = []
        for seed in seeds:
            size = self.manifest["images"][str(seed)]
            image = self.images.image(seed, size["height"], size["width"])
            singles.append(self.resizer.batch(tf.constant(image[np.newaxis])))
        return ImageBatch(
            *(tf.concat([getattr(single, part) for single in singles], 0) for part in ImageBatch._fields[:2])
        )

    def groundtruth(self, seeds: list[int], batch: ImageBatch) -> Groundtruth:
        rows = [self.manifest["groundtruth"][str(seed)] for seed in seeds]
        return stored_cases.groundtruth(rows, batch.true_shapes)

    def forward(self, case: str) -> list[tuple]:
        """Rows (array, difference, tolerance, passed) of the inference pass on a case."""
        entry = self.model["cases"][case]
        batch = self.batch(entry["seeds"])
        predictions = self.detector.predict(batch)
        detections = self.detector.postprocess(predictions, batch.true_shapes)
        size = np.array(predictions.images.shape[1:3])
        grid = [np.rint(np.linspace(0, side - 1, 5)).astype(int) for side in size]
        outputs = {
            "preprocessed_grid": predictions.images.numpy()[:, grid[0]][:, :, grid[1]],
            "detection_boxes": detections.boxes,
            "detection_scores": detections.scores,
            "detection_classes": detections.classes,
            "num_detections": detections.counts,
        }
        describe = {"faster_rcnn": self._regions, "center_net": self._points}
        arrays, samples = describe.get(self.model["meta_architecture"], self._maps)(predictions, size)
        outputs |= arrays
        for name, features in samples.items():
            outputs[name] = features.numpy()[tuple(slice(None, None, stride) for stride in entry["samples"][name])]
        return self.comparison.compare(np.load(self.folder / entry["file"]), entry, outputs)

    def _maps(self, predictions: DensePredictions, size: np.ndarray) -> tuple[dict, dict]:
        """(arrays, arrays of which a sample is stored) of a single-stage detector; size: height and width."""
        arrays = {
            "anchors": predictions.anchors.numpy() / np.tile(size, 2),
            "box_encodings": predictions.box_codes,
            "class_logits": predictions.class_logits,
        }
        maps = enumerate(predictions.feature_maps)
        return arrays, {f"feature_map_{number}_sample": features for number, features in maps}

    def _regions(self, predictions: RegionPredictions, size: np.ndarray) -> tuple[dict, dict]:
        """The same of a two-stage detector."""
        proposals, rpn, regions = predictions.proposals, predictions.rpn, self.detector.second_stage.regions
        arrays = {
            "anchors": rpn.anchors,
            "rpn_box_encodings": rpn.box_codes,
            "rpn_objectness_logits": rpn.class_logits,
            "proposal_boxes_normalized": proposals.boxes.numpy() / np.tile(size, 2),
            "proposal_scores": proposals.scores,
            "num_proposals": proposals.counts,
            "refined_box_encodings": predictions.box_codes[0],
            "class_logits": predictions.class_logits[0],
        }
        samples = {
            "rpn_features_to_crop_sample": predictions.feature_maps[0],
            "rpn_box_predictor_features_sample": rpn.feature_maps[0],
            "box_classifier_features_sample": regions.tail(
                regions.crop(predictions.feature_maps, tuple(size))(proposals.boxes)
            ),
        }
        return arrays, samples

    def _points(self, predictions: CenterPredictions, size: np.ndarray) -> tuple[dict, dict]:
        """The same of a CenterNet."""
        logits = predictions.center_logits[-1]
        samples = {
            "head_object_center_sample": logits,
            "head_box_scale_sample": predictions.sizes[-1],
            "head_box_offset_sample": predictions.offsets[-1],
        }
        samples |= {f"feature_{number}_sample": each for number, each in enumerate(predictions.feature_maps)}
        return {"head_object_center_max_over_classes": logits.numpy().max(axis=-1)[:, ::2, ::2]}, samples

    def step(self, seeds: list[int], training: bool) -> Step:
        """One step without an update; the weights are as before afterwards."""
        batch = self.batch(seeds)
        groundtruth = self.groundtruth(seeds, batch)
        trained = {key: variable for key, variable in self.keys.items() if variable.trainable}
        with near_ties.decided(self.name, self.detector, seeds, training), tf.GradientTape() as tape:
            losses = self.detector.loss(self.detector.predict(batch, groundtruth, training=training), groundtruth)
            regularization = self.detector.regularization_loss()
            total = tf.add_n(list(losses.values())) + regularization
        gradients = tape.gradient(total, [variable.value for variable in trained.values()])
        norms = {  # as stored: -1 where there is no gradient
            key: -1.0 if gradient is None else float(tf.norm(gradient))
            for key, gradient in zip(trained, gradients, strict=True)
        }
        moved = {key: variable.numpy() for key, variable in self.keys.items() if not variable.trainable}
        self.fill()
        return Step(
            {tag: float(loss) for tag, loss in losses.items()}, float(total), norms, moved, float(regularization)
        )

    def all_steps(self) -> dict[str, dict[str, Step]]:
        """{"eval" or "train": {case: step}} for every case whose losses are stored."""
        return {
            mode: {case: self.step(self._seeds(case), training=mode == "train") for case in self.losses.get(mode, {})}
            for mode in ("eval", "train")
        }

    def _seeds(self, case: str) -> list[int]:
        """Images of a case; that of several is all of theirs."""
        return [seed for letter in case for seed in self.model["cases"][letter]["seeds"]]


def steps_as_stored(shared: Path, name: str) -> dict[str, dict[str, Step]]:
    """`Reference.all_steps` in a process without oneDNN, which the reference was computed without too.

    oneDNN adds in another order on every kind of processor, and batch statistics multiply that: 1.7e-3 of the
    localisation loss of ResNet-50 on one of them, against 7e-6 without.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "steps"
        command = [sys.executable, "-m", __name__, str(shared), name, str(file)]
        done = subprocess.run(
            command,
            cwd=Path(__file__).resolve().parents[2],
            env=os.environ | {"TF_ENABLE_ONEDNN_OPTS": "0"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return pickle.loads(file.read_bytes())


def stored_variables(folder: Path, name: str) -> dict[str, np.ndarray]:
    """{object key: value} of a model, by the rule and the module that lie beside the data."""
    with module_beside(folder) as stored:
        return stored.variables(name, str(folder))


def write_checkpoint(folder: Path, name: str, target: Path) -> str:
    """Writes the object-based checkpoint of a model, with the object graph of the code that it is of; returns its
    prefix."""
    with module_beside(folder) as stored:
        return stored.write(name, str(target), str(folder))


@contextlib.contextmanager
def module_beside(folder: Path) -> Iterator[ModuleType]:
    """The module that lies beside the data and knows the weights and the object graph of each model."""
    sys.path.insert(0, str(folder))
    try:
        yield load(folder / "write_checkpoint.py")
    finally:
        sys.path.remove(str(folder))


def gradient_gaps(norms: dict[str, float], stored: dict[str, float], whole: float) -> np.ndarray:
    """Relative differences of the gradient norms that count: those above a hundred thousandth of the whole."""
    counted = [key for key, norm in stored.items() if norm > 1e-5 * whole]
    return np.array([abs(norms[key] - stored[key]) / stored[key] for key in counted])


if __name__ == "__main__":
    from tests.helpers import tf2_parity  # by its name, by which what is written here is read

    found = tf2_parity.Reference(Path(sys.argv[1]), sys.argv[2]).all_steps()
    Path(sys.argv[3]).write_bytes(pickle.dumps(found))
