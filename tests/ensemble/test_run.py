"""The whole way with two exported detectors; and its numbers with stored detections whose quality is known."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from detection.data.reading.options import InputOptions
from detection.ensemble import merge, report, run, views
from detection.ensemble.collect import Collector
from detection.ensemble.evaluation_input import EvaluationInput
from detection.ensemble.models import Model
from detection.errors import ConfigError, DataError
from detection.evaluate import stored
from detection.evaluate.evaluator import ImageDetections
from detection.evaluate.loop import evaluate
from detection.settings import EvalSettings
from detection.types import Category
from tests.helpers import commands

AP = "DetectionBoxes_Precision/mAP"
ROOT = Path(__file__).resolve().parents[2]
CATEGORIES = (Category(1, "circle"),)
LABELS = 'item { id: 1 name: "circle" }\n'


def options_of(path: str, **more) -> InputOptions:
    return InputOptions(paths=(path,), categories=CATEGORIES, text_ids=(("circle", 1),), num_classes=1, **more)


def invented(images: EvaluationInput, seed: int, miss: float) -> stored.StoredDetections:
    """Every object, moved a little, or missed; and one box that is none, of a lower score, in every image."""
    random = np.random.default_rng(seed)
    rows = []
    for (id_, size), truth in zip(images.sizes.items(), images.groundtruth, strict=True):
        there = truth.boxes[random.random(len(truth.boxes)) >= miss]
        boxes = np.concatenate([there + random.normal(0, 1.5, there.shape), [[1, 1, 1 + random.integers(8, 20), 15]]])
        scores = np.append(random.uniform(0.6, 0.9, len(there)), 0.02)
        rows.append((id_, size, ImageDetections(np.maximum(boxes, 0), scores, np.zeros(len(boxes), np.int64))))
    return stored.collect(rows, CATEGORIES)


@pytest.fixture(scope="module")
def inputs(records) -> dict[str, EvaluationInput]:
    """By split, read once: opening an input takes longer than everything that is done with it."""
    return {split: EvaluationInput(split, options_of(path)) for split, path in records.items()}


@pytest.fixture
def known(records, inputs, tmp_path) -> dict:
    """Options for four models of which detections are known on both inputs: the first is perfect but for jitter, the
    others miss more and more."""
    (tmp_path / "label_map.pbtxt").write_text(LABELS)
    arguments = []
    for number, miss in enumerate((0.0, 0.2, 0.4, 0.6)):
        files = {split: str(tmp_path / f"{number}-{split}.npz") for split in ("val", "test")}
        for split, path in files.items():
            stored.write(path, invented(inputs[split], 10 * number + (split == "test"), miss))
        arguments.append(f"m{number}={files['val']},{files['test']}")
    return {
        "stored": arguments,
        "label_map_path": str(tmp_path / "label_map.pbtxt"),
        "select_input": [records["val"]],
        "input": [records["test"]],
        "output_dir": str(tmp_path / "out"),
        "draws": 20,
    }


@pytest.fixture
def opened(monkeypatch, inputs) -> None:
    """Runs find their inputs open already."""
    monkeypatch.setattr(
        run, "_inputs", lambda first, last: tuple(inputs[Path(one.paths[0]).stem] for one in (first, last))
    )


def test_the_evaluation_input_is_what_evaluation_sees(records, inputs):
    images = inputs["val"]
    assert images.sizes == {"val_0": (50, 70), "val_1": (60, 80), "val_2": (60, 80)}
    for pixels, truth, size in zip(images.images(), images.groundtruth, images.sizes.values(), strict=True):
        assert pixels.dtype == np.uint8 and pixels.shape == (*size, 3)
        ymin, xmin, ymax, xmax = np.rint(truth.boxes[0]).astype(int).tolist()
        np.testing.assert_allclose(truth.boxes[0], [ymin, xmin, ymax, xmax], atol=1e-4)  # float32 in the records
        white = (pixels == 255).all(axis=2)
        assert white[ymin:ymax, xmin:xmax].all() and white.sum() == 24 * 30
    assert images.fingerprint() == EvaluationInput("again", options_of(records["val"])).fingerprint()
    assert images.fingerprint() != inputs["test"].fingerprint()


def test_rows_and_choices(known):
    done = run.run(run.EnsembleOptions(**known, k=2, hand_selected=["m3", "m0"]), io.StringIO())
    content = json.loads((Path(known["output_dir"]) / "ensemble.json").read_text())
    assert (Path(known["output_dir"]) / "ensemble.md").read_text() == done.markdown()
    selection = {model["name"]: model["selection"]["metrics"][AP] for model in content["models"]}
    best = sorted(selection, key=lambda name: -selection[name])
    rows = {row["name"]: row for row in content["rows"]}
    assert rows["best single model"]["members"] == best[:1] and rows["most accurate"]["members"] == best[:2]
    assert rows["hand selected"]["members"] == ["m3", "m0"]
    alone = next(model for model in content["models"] if model["name"] == best[0])
    assert rows["best single model"]["metrics"] == alone["evaluation"]["metrics"]
    assert "diverse" not in rows, "with one category all models are parallel"
    assert content["inputs"][0]["images"] == 3 and content["inputs"][1]["paths"] == known["input"]
    (question,) = content["comparisons"]
    assert question["difference"] == pytest.approx(
        rows["most accurate"]["metrics"][AP] - rows["best single model"]["metrics"][AP]
    )
    assert question["low"] <= question["high"]


def test_an_ensemble_is_measured_as_its_detections_are(known, opened):
    """What is written for a set, given back as the detections of one model, has the same metrics."""
    done = run.run(run.EnsembleOptions(**known, k=3), io.StringIO())
    row = next(row for row in done.rows if row.name == report.MOST_ACCURATE)
    path = Path(known["output_dir"]) / "ensembles" / "most_accurate.npz"
    again = run.run(run.EnsembleOptions(**{**known, "stored": [f"merged={path}"], "select_input": []}), io.StringIO())
    assert again.models[0].evaluation.metrics == pytest.approx(row.measured.metrics)
    assert len(again.rows) == 1 and not again.comparisons
    assert stored.read(path).notes["members"] == [done.models[member].name for member in row.members]


def test_the_way_of_merging_that_selects_best_is_taken(known, opened):
    ways = merge.grid([0.3, 0.6], [0.0, 0.6], ["mean", "max"], 100)
    done = run.run(run.EnsembleOptions(**known, k=3, merging=ways), io.StringIO())
    tried = {one.what: one.precision for one in done.tried}
    assert len(tried) == len(ways) and tried[f"ensemble: {done.merging['ensemble']}"] == max(tried.values())


def test_stored_detections_of_other_images_are_refused(known, opened):
    name, files = known["stored"][0].split("=")
    swapped = f"{name}={','.join(reversed(files.split(',')))}"
    with pytest.raises(DataError, match="0-test.npz: image 'test_0' is not in the evaluation input"):
        run.run(run.EnsembleOptions(**{**known, "stored": [swapped]}), io.StringIO())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label_map_path": ""}, "no evaluation input is given"),
        ({"hand_selected": ["m7"]}, "--hand_selected=m7: no model has this name; the models are m0, m1"),
        ({"multicrop": "crops"}, "--multicrop=crops"),
        ({"select_input": ["absent"]}, "--select_input 'absent' matches no file"),
    ],
)
def test_mistakes_are_named(known, change, message):
    with pytest.raises(ConfigError, match=message):
        run.run(run.EnsembleOptions(**{**known, **change}), io.StringIO())


def test_models_of_another_label_map_are_refused(known, opened, inputs, tmp_path, monkeypatch):
    """A class has two names, one for people, and a model may know it by either, or by none."""
    path = tmp_path / "2-val.npz"
    found = stored.read(path)

    def choose(name: str) -> None:
        stored.write(path, found._replace(categories=(Category(1, name),)))
        run.run(run.EnsembleOptions(**{**known, "draws": 0}), io.StringIO())

    monkeypatch.setitem(inputs["val"].names, 1, {"circle", "disc"})
    for name in ("circle", "disc", "category_1"):
        choose(name)
    with pytest.raises(
        ConfigError,
        match="--stored=m2=.*2-val.npz: its class 1 is 'square', but 'circle' or 'disc' in the evaluation input; use",
    ):
        choose("square")


def test_a_threshold_of_ones_own(known, opened):
    """One category makes all models parallel: any threshold of 1 or less leaves one model, and none above leaves any
    out."""
    done = run.run(run.EnsembleOptions(**known, k=2, max_similarity=0.9), io.StringIO())
    assert [(one.name, len(one.members)) for one in done.sets] == [
        ("best single model", 1),
        ("most accurate", 2),
        ("diverse", 1),
    ]
    assert [one.name for one in run.run(run.EnsembleOptions(**known, k=2, max_similarity=1.1), io.StringIO()).sets] == [
        "best single model",
        "most accurate",
    ]


def test_detections_of_an_export_are_kept_and_equal_evaluation(exported, trained, records, tmp_path, monkeypatch):
    """Through the SavedModel as in evaluation; the second time from the file; anew when the file is damaged or of
    something else."""
    from detection.data.reading.input import eval_dataset

    options = InputOptions(paths=(records["val"],), categories=trained.pipeline.categories, num_classes=3)
    images, model = EvaluationInput("val", options), Model("tiny", str(exported / "saved_model"))
    collector = Collector(tmp_path, stream=io.StringIO())
    collector.prepare([model])
    found = collector.detections(model, images)[views.FULL]

    path = str(tmp_path / "evaluated.npz")
    settings = EvalSettings(losses=False, export_path=path)
    evaluate(
        trained.detector,
        eval_dataset(options, trained.pipeline.resizer, 1),
        (),
        (),
        settings=settings,
        stream=io.StringIO(),
    )
    for ours, theirs in zip(found, stored.read(path).aligned(images.sizes), strict=True):
        assert len(ours.scores) == len(theirs.scores) > 0
        # The served graph has batch norm folded, so last bits differ, and with them the order of near ties: compared by
        # score.
        np.testing.assert_allclose(np.sort(ours.scores), np.sort(theirs.scores), atol=1e-4)

    kept = tmp_path / "detections" / "tiny" / "val-full.npz"
    made = kept.stat().st_mtime_ns
    monkeypatch.setattr(Collector, "_detect", None)  # Nothing may be detected any more.
    for one, other in zip(found, collector.detections(model, images)[views.FULL], strict=True):
        np.testing.assert_array_equal(one.boxes, other.boxes)
    assert kept.stat().st_mtime_ns == made
    monkeypatch.undo()
    kept.write_bytes(b"damaged")
    for one, other in zip(found, collector.detections(model, images)[views.FULL], strict=True):
        np.testing.assert_array_equal(one.boxes, other.boxes)
    assert kept.stat().st_mtime_ns != made


@pytest.mark.slow
def test_the_script_merges_two_detectors_with_crops(command, exported, other_run, trained, records, tmp_path):
    """As people run it: an export and a training run; again, it runs no model."""
    arguments = [
        f"--models=first={exported},second={other_run}",
        f"--label_map_path={trained.folder / 'label_map.pbtxt'}",
    ]
    arguments += [f"--select_input={records['val']}", f"--input={records['test']}", f"--output_dir={tmp_path / 'out'}"]
    command = ["ensemble.py", *arguments, "--k=2", "--multicrop=full,flip", "--draws=5"]
    done = commands.run(*command)
    assert done.code == 0, done.err
    content = json.loads((tmp_path / "out" / "ensemble.json").read_text())
    assert [(row["name"], row["evaluations_per_image"]) for row in content["rows"]] == [
        ("best single model", 1),
        ("best single model, multi-crop", 2),
        ("most accurate", 2),
        ("most accurate, multi-crop", 4),
    ]
    assert {tuple(row["metrics"]) for row in content["rows"]} == {tuple(content["models"][0]["evaluation"]["metrics"])}
    assert "PascalBoxes_Precision/mAP@0.5IOU" in content["rows"][0]["metrics"]
    assert content["models"][1]["facts"]["feature_extractor"] == "mobilenet_v1"
    assert done.out == (tmp_path / "out" / "ensemble.md").read_text()

    again = commands.run(*command, "--nms_iou=0.5")
    assert again.code == 0 and "first on" not in again.err and "first on" in done.err
