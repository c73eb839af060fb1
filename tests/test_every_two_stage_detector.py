"""Every two-stage detector with every feature extractor: trained for 5 steps, evaluated, exported, loaded again with
equal output.

By default a few combinations with thin networks. `pytest -m long tests/test_every_two_stage_detector.py` does all of
them with whole networks, prints a row a combination and, where `DETECTOR_MATRIX` names a file, adds it there as a line
of JSON; what the file holds already is not done again. The largest need up to ten gigabytes of memory for a moment,
when the fully connected layers of VGG16 are exported.
"""

from __future__ import annotations

import gc
import io
import json
import math
import os
import time
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf

import detection
from detection.checkpoints import loading
from detection.data import synthetic_set
from detection.export import image_files
from detection.proposals import proposal_files
from detection.train.options import RunOptions
from detection.types import Detections, Proposals
from tests.helpers import detector_configs

RESULTS = "DETECTOR_MATRIX"  # environment variable
STEPS, IMAGES = 5, 2
HEIGHT, WIDTH, CELL = 96, 128, 48  # CELL: side of the proposals that are given
MEAN_AP = "DetectionBoxes_Precision/mAP"
PLAIN = ("vgg", "caffenet")  # networks without batch norm
# of batch norm's averages, which know the images well after 5 steps: else whatever is seen vanishes before the last
# layer
DECAY = 0.3
# Of normalised coordinates and of probabilities. Export folds batch norm into kernels and so sums in another order;
# behind up to 500 layers that may move the outputs by more, but not by much more than what changing the last bits of
# the image's pixels does.
TOLERANCE, LAST_BITS, AMPLIFIED = 1e-4, 1e-7, 3.0
# ... and of probabilities at most this part of what another picture changes: a network that sees nothing would agree
# with anything
DISTINCT = 0.02
# of a detector's own proposals: where two neighbours score the same but for the last bits, suppression may keep either
STRAYS = 0.1

_TRAINING = """
train_config {{
  batch_size: {images}
  optimizer {{ {optimizer} {{ learning_rate {{ constant_learning_rate {{ learning_rate: {rate} }} }} }}
    use_moving_average: false }}
  gradient_clipping_by_norm: 5.0
}}
train_input_reader {{ tf_record_input_reader {{ input_path: "{data}/train.record-*" }} label_map_path:
  "{data}/label_map.pbtxt" {proposals} }}
eval_config {{ metrics_set: "coco_detection_metrics" batch_size: {images} num_visualizations: 0 }}
eval_input_reader {{ tf_record_input_reader {{ input_path: "{data}/val.record-*" }} label_map_path:
  "{data}/label_map.pbtxt" {proposals} }}
"""


class DataSet(NamedTuple):
    """Records, proposals for their images, and a picture that none of them holds."""

    folder: Path
    proposals: Path
    picture: Path


class Case(NamedTuple):
    """One combination."""

    meta: str
    type: str
    depth_multiplier: float = 1.0

    @property
    def name(self) -> str:
        return f"{self.meta}-{self.type.removeprefix('faster_rcnn_')}"


class Row(NamedTuple):
    """What one combination did."""

    name: str
    losses: list[float]  # of every step
    step_ms: float  # the median, of those after the first
    mean_ap: float
    # the largest between the served and the detector's own raw boxes (normalised) and scores, strays left out
    gap: float
    score_gap: float  # of scores alone
    rounding: float  # as `gap`, between the detector's own of a picture and of the same with other last bits
    moves: float  # the same between the detector's own scores of two pictures
    proposals: int  # that were compared
    cpu_seconds: dict[str, float]  # of each part
    seconds: float  # in all, on a clock
    peak_mib: float  # of host memory, TensorFlow's own included

    def __str__(self) -> str:
        parts = " + ".join(f"{name} {value:.0f}" for name, value in self.cpu_seconds.items())
        return (
            f"{self.name:32} loss {self.losses[0]:8.3f} -> {self.losses[-1]:8.3f}  {self.step_ms:6.0f} ms/step  served"
            f" - own {self.gap:.1e}, last bits {self.rounding:.1e}, scores {self.score_gap:.1e} of {self.moves:.1e} "
            f" {self.seconds:4.0f} s, CPU {parts}  {self.peak_mib:6.0f} MiB"
        )


def _grid() -> np.ndarray:
    """float32 [P, 4], pixels: squares that cover an image."""
    corners = [(y, x) for y in range(0, HEIGHT - CELL + 1, 16) for x in range(0, WIDTH - CELL + 1, 16)]
    return np.array([(y, x, y + CELL, x + CELL) for y, x in corners], np.float32)


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """As many images as a batch holds, so that every step sees the same ones; of the size that networks see, so that
    proposals need no scaling."""
    folder = tmp_path_factory.mktemp("shapes")
    synthetic_set.make(folder, {"train": IMAGES, "val": IMAGES}, 1, sizes=((WIDTH, HEIGHT),))
    names = sorted(path.name for path in (folder / "voc" / "JPEGImages").iterdir())
    grid, count = _grid(), len(_grid())
    given = proposal_files.ProposalFile(
        path="",
        ids=tuple(names),
        offsets=np.arange(len(names) + 1) * count,
        boxes=np.tile(grid, [len(names), 1]),
        scores=np.tile(np.linspace(1.0, 0.1, count, dtype=np.float32), len(names)),
    )
    proposal_files.write(folder / "proposals.npz", [given])
    return DataSet(folder, folder / "proposals.npz", next((folder / "test_images").iterdir()))


@pytest.fixture(autouse=True)
def _memory_is_given_back():
    """Graphs of one combination do not lie beside the next one's."""
    yield
    keras.backend.clear_session()
    gc.collect()


def _config(case: Case, data: DataSet) -> str:
    """Batch norm from the config: by the networks' own, its averages know nothing after 5 steps, and what is detected
    means nothing."""
    normalized = not any(word in case.type for word in PLAIN)
    settings = detector_configs.Settings(
        case.type, HEIGHT, WIDTH, depth_multiplier=case.depth_multiplier, override_base=normalized, decay=DECAY
    )
    template, _ = detector_configs.TWO_STAGE[case.meta]
    given = (
        f'proposals_path: "{data.proposals}" max_number_of_proposals: {len(_grid())}'
        if case.meta == "fast_rcnn"
        else ""
    )
    words = {
        "images": IMAGES,
        "optimizer": "adam_optimizer",
        "rate": 0.0005 if normalized else 0.00003,
        "data": data.folder,
        "proposals": given,
    }
    return template(settings) + _TRAINING.format(**words)


def _live(case: Case, data: DataSet, folder: Path) -> Row:
    """The whole life of a detector, through the functions that the scripts call."""
    path, model_dir, exported = folder / "my.config", folder / "run", folder / "exported"
    path.write_text(_config(case, data), encoding="utf-8")
    _forget_peak()
    begun, watch = time.monotonic(), _Watch()
    options, told = RunOptions(log_every=1, seed=1), io.StringIO()
    metrics = detection.run_training(
        detection.load_pipeline(path), model_dir, num_steps=STEPS, options=options, stream=told
    )
    watch.lap("train and evaluate")
    detection.export_saved_model(str(model_dir / "pipeline.config"), str(model_dir), str(exported))
    watch.lap("export")
    image = image_files.read(data.picture)
    served = _served(case, exported, image)
    watch.lap("serve")
    own, shaken, other = _own(case, model_dir, image)
    watch.lap("own")
    losses, times = detector_configs.loss_history(model_dir / "train")
    strays = 0.0 if case.meta == "fast_rcnn" else STRAYS
    assert all(map(math.isfinite, metrics.values())) and 0 <= metrics[MEAN_AP] <= 1
    return Row(
        name=case.name,
        losses=losses,
        step_ms=1e3 * float(np.median(np.diff(times))),
        mean_ap=metrics[MEAN_AP],
        gap=_gap(
            _rows(own.raw_boxes, own.raw_scores),
            _rows(served["raw_detection_boxes"], served["raw_detection_scores"]),
            strays,
        ),
        score_gap=_gap(own.raw_scores[0].numpy(), served["raw_detection_scores"][0], strays),
        rounding=_gap(_rows(own.raw_boxes, own.raw_scores), _rows(shaken.raw_boxes, shaken.raw_scores), strays),
        moves=_gap(own.raw_scores[0].numpy(), other.raw_scores[0].numpy()),
        proposals=int(own.raw_scores.numpy().any(axis=-1).sum()),
        cpu_seconds=watch.cpu_seconds,
        seconds=round(time.monotonic() - begun, 1),
        peak_mib=_peak_mib(),
    )


class _Watch:
    """CPU seconds of each part: they say what a clock does, and say it on a busy machine too."""

    def __init__(self) -> None:
        self.cpu_seconds: dict[str, float] = {}
        self._begun = time.process_time()

    def lap(self, name: str) -> None:
        now = time.process_time()
        self.cpu_seconds[name], self._begun = round(now - self._begun, 1), now


def _served(case: Case, exported: Path, image: np.ndarray) -> dict[str, np.ndarray]:
    """What the exported model answers, as its signature gives it; what `detect` makes of it must be the same."""
    predictor, height, width = detection.load_model(exported), *image.shape[:2]
    assert predictor.takes_proposals == (case.meta == "fast_rcnn")
    (result,) = predictor.detect(image, proposals=_grid() if predictor.takes_proposals else None)
    regions = [_grid() / np.array([height, width, height, width], np.float32)] if predictor.takes_proposals else None
    served = predictor._run(image[np.newaxis], "the picture", regions)
    assert len(result.boxes) == served["num_detections"][0] > 0
    np.testing.assert_allclose(
        result.boxes, served["detection_boxes"][0, : len(result.boxes)] * [height, width, height, width], atol=1e-2
    )
    return served


def _own(case: Case, model_dir: Path, image: np.ndarray) -> list[Detections]:
    """What the detector finds by its checkpoint, batch norm as trained: in the picture, in it with other last bits, in
    it upside down."""
    pipeline = detection.load_pipeline(model_dir / "pipeline.config")
    detector = pipeline.detector()
    assert loading.load_into(detector, model_dir) == STEPS
    upright, turned = (pipeline.resizer.batch(tf.constant(picture[np.newaxis])) for picture in (image, image[::-1]))
    shake = 1 + tf.random.stateless_uniform(tf.shape(upright.images), [1, 2], -LAST_BITS, LAST_BITS)
    found = []
    for batch in (upright, upright._replace(images=upright.images * shake), turned):
        if case.meta == "fast_rcnn":
            grid = tf.constant(_grid()[np.newaxis])
            batch = batch._replace(proposals=Proposals(grid, tf.ones(grid.shape[:2]), tf.constant([grid.shape[1]])))
        found.append(detector.postprocess(detector.predict(batch, training=False), batch.true_shapes))
    return found


def _rows(boxes: tf.Tensor | np.ndarray, scores: tf.Tensor | np.ndarray) -> np.ndarray:
    """Raw rows of the one image, float32 [R, 4 + K + 1]."""
    return np.concatenate([boxes[0], scores[0]], axis=1)


def _gap(ours: np.ndarray, theirs: np.ndarray, strays: float = 0.0) -> float:
    """The largest distance of a row from the nearest one of the other side, whatever their order, which hangs on the
    last bits of proposals' scores.

    `strays`: the part of all rows that may have no counterpart.
    """
    assert ours.shape == theirs.shape
    distances = np.abs(ours[:, np.newaxis] - theirs[np.newaxis]).max(axis=-1)
    return float(np.quantile(np.concatenate([distances.min(axis=0), distances.min(axis=1)]), 1 - strays))


def _forget_peak() -> None:
    """Linux counts the most memory since the process began, unless it is told otherwise."""
    counters = Path("/proc/self/clear_refs")
    if counters.exists():
        counters.write_text("5", encoding="ascii")


def _peak_mib() -> float:
    """The most since `_forget_peak`; nan where the system does not say."""
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="ascii").splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 2**10 for line in lines if line.startswith("VmHWM")), math.nan)


def _check(row: Row) -> None:
    assert len(row.losses) == STEPS and all(map(math.isfinite, row.losses))
    assert row.losses[-1] < row.losses[0], row.losses
    assert row.proposals > 0 and row.gap <= max(TOLERANCE, AMPLIFIED * row.rounding), row
    assert row.score_gap <= DISTINCT * row.moves, row


def _cases() -> list[Case]:
    return [
        Case(meta, type_)
        for meta, (_, registry) in detector_configs.TWO_STAGE.items()
        for type_ in detector_configs.distinct(registry)
        if meta != "rfcn" or not detector_configs.has_pyramid(type_)
    ]


# Every meta-architecture, given and own proposals, networks with batch norm and with fully connected layers.
_THIN = (
    ("faster_rcnn", "mobilenet_v2"),
    ("faster_rcnn", "mobilenet_v1_fpn_keras"),
    ("rfcn", "mobilenet_v1"),
    ("fast_rcnn", "mobilenet_v1"),
    ("fast_rcnn", "caffenet"),
)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            case := Case(meta, f"faster_rcnn_{type_}", 0.25),
            marks=pytest.mark.slow if detector_configs.has_pyramid(case.type) else (),
        )
        for meta, type_ in _THIN
    ],
    ids=lambda case: case.name,
)
def test_thin_networks(case: Case, shapes: DataSet, tmp_path: Path) -> None:
    row = _live(case, shapes, tmp_path)
    print(row)
    _check(row)


def _known() -> dict[str, str]:
    """Lines of the file of results, by name of the combination."""
    path = Path(os.environ.get(RESULTS, ""))
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return {json.loads(line)["name"]: line for line in lines}


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("case", _cases(), ids=lambda case: case.name)
def test_whole_networks(case: Case, shapes: DataSet, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    if case.name in _known():
        pytest.skip(f"{os.environ[RESULTS]} has it already")
    row = _live(case, shapes, tmp_path)
    with capsys.disabled():
        print(f"\n{row}", flush=True)
    _check(row)
    if path := os.environ.get(RESULTS):
        with open(path, "a", encoding="utf-8") as results:
            results.write(json.dumps(row._asdict()) + "\n")
