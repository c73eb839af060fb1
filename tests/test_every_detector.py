"""SSD with every feature extractor as its users meet it: trained for 20 steps, evaluated, exported, loaded, compared.
For detectors of two stages see test_every_two_stage_detector.py.

By default on drawn shapes, thin and short networks and small images. `pytest -m long tests/test_every_detector.py`
does it with whole networks on BCCD's blood cells (about half an hour on two cores) and prints a row a combination.
"""

from __future__ import annotations

import io
import math
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

import detection
from detection.checkpoints import loading
from detection.data import synthetic_set
from detection.data.convert import conversion, voc
from detection.data.convert.source import Source
from detection.export import image_files
from detection.ops.boxes import iou
from detection.train.options import RunOptions
from tests.helpers import detector_configs
from tests.helpers.fewer_repeats import fewer_repeats

STEPS = 20
MEAN_AP = "DetectionBoxes_Precision/mAP"
# Their train step alone takes over ten seconds to trace, whatever the depth.
LARGE = ("resnet", "inception", "bifpn", "hourglass")
LARGE += ("mobiledet", "mobilenet_edgetpu", "mobilenet_v3", "mnasfpn")
# Of the same factories as others, but with layers that those have not: swish and BiFPN in the Keras form, ResNet v2
# with transposed convolutions, MobileNet v2 with top-down layers.
MORE = {"ssd": ("ssd_efficientnet-b0_bifpn_keras",), "center_net": ("resnet_v2_50", "mobilenet_v2_fpn")}
PLAIN = ("vgg", "caffenet")  # networks without batch norm
RATE, WHOLE_RATE = (
    0.002,
    0.0005,
)  # of thin networks and of whole ones; Adam's, whose steps are of one size whatever the network

_TRAINING = """
train_config {{
  batch_size: {batch}
  optimizer {{
    adam_optimizer {{ learning_rate {{ constant_learning_rate {{ learning_rate: {rate} }} }} }}
    use_moving_average: false
  }}
  gradient_clipping_by_norm: 5.0
}}
train_input_reader {{ tf_record_input_reader {{ input_path: "{data}/train.record-*" }} label_map_path:
  "{data}/label_map.pbtxt" }}
eval_config {{ metrics_set: "coco_detection_metrics" batch_size: 4 num_visualizations: 0 }}
eval_input_reader {{ tf_record_input_reader {{ input_path: "{data}/val.record-*" }} label_map_path:
  "{data}/label_map.pbtxt" }}
"""


class DataSet(NamedTuple):
    """Records, and a picture that none of them holds."""

    folder: Path
    num_classes: int
    picture: Path


class Case(NamedTuple):
    """One combination."""

    meta: str
    type: str
    depthwise: bool = False

    @property
    def name(self) -> str:
        return f"{self.meta}-{self.type}{'-lite' * self.depthwise}"


def _cases(once_a_factory: bool) -> list[Case]:
    """All of them; or, of those that differ in their number of layers alone, the smallest."""
    cases = []
    for meta, (_, registry) in detector_configs.TEMPLATES.items():
        types = detector_configs.smallest(registry) if once_a_factory else detector_configs.distinct(registry)
        cases += [Case(meta, type_) for type_ in types]
        cases += [Case(meta, type_) for type_ in MORE.get(meta, ())] if once_a_factory else []
        cases += [Case(meta, type_, depthwise=True) for type_ in types if meta == "ssd" and type_ == "ssd_mobilenet_v2"]
    return cases


def _is_slow(case: Case) -> bool:
    return any(word in case.type for word in LARGE) or case.type in MORE.get(case.meta, ())


def _parameters(cases: list[Case]) -> list:
    return [pytest.param(case, id=case.name, marks=[pytest.mark.slow] if _is_slow(case) else []) for case in cases]


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """Few images, so that 20 steps see each of them often."""
    folder = tmp_path_factory.mktemp("shapes")
    synthetic_set.make(folder, {"train": 16, "val": 4}, 1, sizes=((160, 120),))
    return DataSet(folder, 4, next((folder / "test_images").iterdir()))


@pytest.fixture(scope="session")
def bccd(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """The public data set, converted as a user would."""
    source, folder = shared / "data" / "bccd", tmp_path_factory.mktemp("bccd")
    for split, name in (("trainval", "train"), ("test", "val")):
        conversion.convert(
            voc.read(Source(roots=(str(source),), subset=split)),
            conversion.ConversionOptions(output=str(folder / f"{name}.record")),
        )
    first = (source / "ImageSets" / "Main" / "test.txt").read_text(encoding="utf-8").split()[0]
    return DataSet(folder, 3, source / "JPEGImages" / f"{first}.jpg")


class Outcome(NamedTuple):
    """What one combination did."""

    losses: list[float]
    step_ms: float
    metrics: dict[str, float]
    score_gap: float  # between served and own scores, the median over detections
    detections: int

    def row(self, case: Case) -> str:
        first, last = _ends(self.losses)
        return (
            f"{case.name:40} loss {first:8.3f} -> {last:8.3f}  {self.step_ms:7.0f} ms/step  mAP"
            f" {self.metrics[MEAN_AP]:.4f}  served - own {self.score_gap:.1e} ({self.detections} detections)"
        )


def _ends(losses: list[float]) -> tuple[float, float]:
    """Means of the first and of the last five."""
    return float(np.mean(losses[:5])), float(np.mean(losses[-5:]))


def _live(
    case: Case, data: DataSet, folder: Path, settings: detector_configs.Settings, batch: int, rate: float
) -> Outcome:
    """The whole life of a detector, through the functions that the scripts call."""
    template, _ = detector_configs.TEMPLATES[case.meta]
    path = folder / "my.config"
    path.write_text(template(settings) + _TRAINING.format(batch=batch, rate=rate, data=data.folder), encoding="utf-8")
    pipeline, model_dir = detection.load_pipeline(path), folder / "run"
    options, told = RunOptions(log_every=1, seed=1), io.StringIO()
    metrics = detection.run_training(pipeline, model_dir, num_steps=STEPS, options=options, stream=told)
    losses, seconds = detector_configs.loss_history(model_dir / "train")
    detection.export_saved_model(str(model_dir / "pipeline.config"), str(model_dir), str(folder / "exported"))
    gap, count = _compare(model_dir, folder / "exported", data.picture)
    return Outcome(losses, 1e3 * float(np.median(np.diff(seconds))), metrics, gap, count)


def _compare(model_dir: Path, exported: Path, picture: Path) -> tuple[float, int]:
    """Asserts that the exported model detects what the trained one does; returns the median gap between scores and the
    number of detections."""
    image = image_files.read(
        picture
    )  # as `detect` does: other JPEG decoders differ in last bits, and so do the boxes of a network this young
    own = _own_detections(model_dir, image)
    predictor = detection.load_model(exported)
    served = predictor._run(image[np.newaxis], "the picture", None)
    # Folded batch norm sums in another order; what depends on it smoothly must agree to float32's precision behind so
    # many layers.
    np.testing.assert_allclose(served["raw_detection_scores"], own.raw_scores.numpy(), atol=1e-3)
    np.testing.assert_allclose(served["raw_detection_boxes"], own.raw_boxes.numpy(), atol=2e-3, rtol=1e-3)
    count = int(own.counts[0])
    assert count > 0 and abs(int(served["num_detections"][0]) - count) <= 0.05 * count
    # A young network scores many boxes all but equally, and which of them suppresses which hangs on last bits (the raw
    # ones above do not): the reference, trained, finds 97 % of its own detections again under such noise.
    same = iou(own.boxes[0, :count], tf.constant(served["detection_boxes"][0])).numpy() >= 0.99
    same &= own.classes.numpy()[0, :count, np.newaxis] + 1 == served["detection_classes"][0]
    gaps = np.where(
        same, np.abs(own.scores.numpy()[0, :count, np.newaxis] - served["detection_scores"][0]), np.inf
    ).min(axis=1)
    assert (gaps <= 1e-3).mean() >= 0.9, gaps
    (result,) = predictor.detect(image)
    height, width = image.shape[:2]
    np.testing.assert_allclose(
        result.boxes, served["detection_boxes"][0, : len(result.boxes)] * [height, width, height, width], atol=1e-2
    )
    return float(np.median(gaps)), count


def _own_detections(model_dir: Path, image: np.ndarray):
    """What the detector itself finds, from its checkpoint, batch norm as it was trained."""
    pipeline = detection.load_pipeline(model_dir / "pipeline.config")
    detector = pipeline.detector()
    assert loading.load_into(detector, model_dir) == STEPS
    batch = pipeline.resizer.batch(tf.constant(image[np.newaxis]))
    return detector.postprocess(detector.predict(batch, training=False), batch.true_shapes)


def _settings(case: Case, data: DataSet, height: int, width: int, depth_multiplier: float) -> detector_configs.Settings:
    """Batch norm from the config: by the networks' own, its averages know nothing after 20 steps, and detections mean
    nothing."""
    normalized = not any(word in case.type for word in PLAIN)
    return detector_configs.Settings(
        case.type, height, width, data.num_classes, depth_multiplier, depthwise=case.depthwise, override_base=normalized
    )


def _check(outcome: Outcome) -> None:
    first, last = _ends(outcome.losses)
    assert len(outcome.losses) == STEPS and all(map(math.isfinite, outcome.losses))
    assert last < first, outcome.losses
    assert all(map(math.isfinite, outcome.metrics.values())) and 0 <= outcome.metrics[MEAN_AP] <= 1


@pytest.mark.parametrize("case", _parameters(_cases(once_a_factory=True)))
def test_on_shapes(case: Case, shapes: DataSet, tmp_path: Path) -> None:
    with fewer_repeats():
        outcome = _live(case, shapes, tmp_path, _settings(case, shapes, 96, 128, 0.25), batch=4, rate=RATE)
    print(outcome.row(case))
    _check(outcome)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("case", _parameters(_cases(once_a_factory=False)))
def test_on_blood_cells(case: Case, bccd: DataSet, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    begun = time.monotonic()
    outcome = _live(case, bccd, tmp_path, _settings(case, bccd, 192, 256, 1.0), batch=4, rate=WHOLE_RATE)
    with capsys.disabled():
        print(f"\n{outcome.row(case)}  {time.monotonic() - begun:.0f} s in all")
    _check(outcome)
