"""A served Fast R-CNN, whose proposals come with the images: against the detector it was made of, for every input, in
Python and from files."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from detection.errors import ConfigError, DataError
from detection.export import annotate, exporter
from detection.export.predictor import Predictor
from detection.export.serving import NETWORK_OUTPUT, PROPOSALS, ServingInput, outputs, serving_graph
from detection.proposals import proposal_files
from detection.proposals.prediction_sources import ProposalRequest
from detection.proposals.proposal_files import ProposalFile
from detection.types import Proposals

# As for the other served detectors: folding rounds kernels once more, and what follows are contractions of logits in
# the tens.
TOLERANCE = 1e-4


def _image(height: int, width: int, seed: int = 3) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 10 + 1, width // 10 + 1, 3), dtype=np.uint8)
    return coarse.repeat(10, axis=0).repeat(10, axis=1)[:height, :width]


def _normalised(count: int, seed: int = 4) -> np.ndarray:
    random = np.random.default_rng(seed)
    corners = random.uniform(0, 0.6, (count, 2))
    return np.concatenate([corners, corners + random.uniform(0.15, 0.4, (count, 2))], axis=1).astype(np.float32)


def _pixels(image: np.ndarray, count: int, seed: int = 4) -> np.ndarray:
    return _normalised(count, seed) * np.array([*image.shape[:2]] * 2, np.float32)


def _direct(made, images: np.ndarray, normalised: list[np.ndarray]) -> dict[str, np.ndarray]:
    """The detector without folding, freezing or files; its proposals put into pixels by hand."""
    batch = made.pipeline.resizer.batch(tf.constant(images))
    most = max(map(len, normalised))
    boxes = np.zeros([len(images), most, 4], np.float32)
    for row, given, (height, width) in zip(boxes, normalised, batch.true_shapes.numpy(), strict=True):
        row[: len(given)] = given * [height, width, height, width]
    counts = np.array([len(given) for given in normalised], np.int32)
    given = Proposals(tf.constant(boxes), tf.zeros(boxes.shape[:2]), tf.constant(counts))
    predictions = made.detector.predict(batch._replace(proposals=given))
    return {
        key: value.numpy() for key, value in outputs(made.detector.postprocess(predictions, batch.true_shapes)).items()
    }


def _serve(exported, **inputs) -> dict[str, np.ndarray]:
    loaded = tf.saved_model.load(str(exported / "saved_model"))
    return {key: value.numpy() for key, value in loaded.signatures["serving_default"](**inputs).items()}


def _assert_same(served: dict[str, np.ndarray], direct: dict[str, np.ndarray], rows: int) -> None:
    """Raw rows one by one; detections as sets, since equal scores have no order."""
    for key in ("raw_detection_boxes", "raw_detection_scores"):
        np.testing.assert_allclose(served[key][:, :rows], direct[key], atol=TOLERANCE, err_msg=key)
        assert not served["raw_detection_scores"][:, rows:].any()
    np.testing.assert_allclose(served["detection_scores"], direct["detection_scores"], atol=TOLERANCE)
    np.testing.assert_array_equal(served["num_detections"], direct["num_detections"])
    assert (served["num_detections"] > 5).all()


def test_the_signature_has_a_second_input(exported_fast_rcnn):
    loaded = tf.saved_model.load(str(exported_fast_rcnn / "saved_model"))
    inputs = loaded.signatures["serving_default"].structured_input_signature[1]
    assert {name: (spec.dtype, spec.shape.as_list()) for name, spec in inputs.items()} == {
        "input_tensor": (tf.uint8, [None, None, None, 3]),
        "proposals": (tf.float32, [None, None, 4]),
    }
    image, boxes = _image(50, 70)[np.newaxis], _normalised(3)[np.newaxis]
    called = loaded(tf.constant(image), tf.constant(boxes))  # in the order of the signature
    np.testing.assert_array_equal(
        called["detection_scores"], _serve(exported_fast_rcnn, input_tensor=image, proposals=boxes)["detection_scores"]
    )


def test_served_equals_the_detector(exported_fast_rcnn, fast_rcnn):
    """Padded to a square, so boxes that were taken for parts of the padded image would be far off."""
    images = np.stack([_image(50, 90, seed) for seed in (1, 2)])
    regions = [_normalised(12, 1), _normalised(9, 2)]
    sent = np.zeros([2, 16, 4], np.float32)
    sent[0, 2:14] = regions[0]  # padding before, behind and between
    sent[1, [0, 3, 4, 5, 6, 9, 10, 12, 15]] = regions[1]
    served = _serve(exported_fast_rcnn, input_tensor=images, proposals=sent)
    assert served["raw_detection_scores"].shape == (2, 16, 4) and served["detection_boxes"].shape == (2, 50, 4)
    _assert_same(served, _direct(fast_rcnn, images, regions), 12)
    assert (
        served["raw_detection_scores"][:, :9].std(axis=1).max() > 100 * TOLERANCE
    )  # the regions differ by more than what is allowed


def test_other_regions_give_other_detections_and_none_give_none(exported_fast_rcnn):
    image = _image(50, 90)[np.newaxis]
    one, other, nothing = (
        _serve(exported_fast_rcnn, input_tensor=image, proposals=boxes)
        for boxes in (_normalised(4, 1)[np.newaxis], _normalised(4, 2)[np.newaxis], np.zeros([1, 0, 4], np.float32))
    )
    assert np.abs(one["raw_detection_scores"] - other["raw_detection_scores"]).max() > 100 * TOLERANCE
    assert nothing["num_detections"] == 0 and not nothing["detection_scores"].any()


def test_every_kind_of_input_takes_proposals(fast_rcnn, exported_fast_rcnn, tmp_path):
    shape = ServingInput("float_image_tensor", "inputs", (2, 50, 90, 3), num_proposals=8)
    exporter.export(fast_rcnn.config, fast_rcnn.checkpoint, str(tmp_path / "fixed"), shape)
    exporter.export(
        fast_rcnn.config, fast_rcnn.checkpoint, str(tmp_path / "strings"), ServingInput("encoded_image_string_tensor")
    )
    images, regions = [_image(50, 90, seed) for seed in (1, 2)], np.stack([_normalised(8, seed) for seed in (1, 2)])
    expected = _serve(exported_fast_rcnn, input_tensor=np.stack(images), proposals=regions)["raw_detection_scores"]
    fixed = _serve(tmp_path / "fixed", inputs=tf.cast(images, tf.float32), proposals=regions)["raw_detection_scores"]
    np.testing.assert_allclose(fixed, expected, atol=TOLERANCE)

    images[1] = _image(
        120, 40
    )  # strings may be of any sizes: each image has its own proportions, and proposals in them
    strings = tf.stack([tf.io.encode_png(image) for image in images])
    found = _serve(tmp_path / "strings", input_tensor=strings, proposals=regions)["raw_detection_scores"]
    np.testing.assert_allclose(found[0], expected[0], atol=TOLERANCE)
    alone = _serve(exported_fast_rcnn, input_tensor=images[1][np.newaxis], proposals=regions[1:])[
        "raw_detection_scores"
    ]
    np.testing.assert_allclose(found[1:], alone, atol=TOLERANCE)

    # In Python all of them are used alike: more than a fixed number are cut to the best, fewer images than a fixed
    # batch are filled up.
    boxes = [_pixels(images[0], 8, 1)]
    reference = Predictor.load(exported_fast_rcnn).detect(images[:1], proposals=boxes)[0]
    for folder in ("fixed", "strings"):
        predictor = Predictor.load(tmp_path / folder)
        for more in (boxes, [np.concatenate([boxes[0], _pixels(images[0], 5, 9)])] if folder == "fixed" else boxes):
            np.testing.assert_allclose(
                predictor.detect(images[:1], proposals=more)[0].scores, reference.scores, atol=TOLERANCE
            )


def test_all_that_enters_the_network_is_marked(fast_rcnn):
    """Cut at its marks the network needs nothing else: what postprocessing takes follows from images and boxes."""
    frozen = serving_graph(fast_rcnn.detector, fast_rcnn.pipeline.resizer, ServingInput())
    imported = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(frozen.graph, name=""), [])
    tensor = imported.graph.get_tensor_by_name
    marks = [f"{node.name}:0" for node in frozen.graph.node if node.name.startswith(NETWORK_OUTPUT)]
    assert f"{NETWORK_OUTPUT}/proposal_boxes:0" in marks and f"{NETWORK_OUTPUT}/proposal_counts:0" in marks
    enter = imported.prune([tensor(fed.name) for fed in frozen.inputs], tensor(f"{PROPOSALS}:0"))
    boxes = enter(tf.zeros([1, 50, 90, 3], tf.uint8), tf.constant([[[0, 0, 0, 0], [0.5, 0.5, 1, 1]]], tf.float32))
    np.testing.assert_array_equal(boxes, [[[26.5, 48, 53, 96], [0, 0, 0, 0]]])  # 50 x 90 becomes 53 x 96 of 96 x 96
    network = imported.prune(
        [tensor("served/network_input:0"), tensor(f"{PROPOSALS}:0")], {name: tensor(name) for name in marks}
    )
    made = network(tf.zeros([1, 96, 96, 3]), boxes)
    np.testing.assert_array_equal(made[f"{NETWORK_OUTPUT}/proposal_counts:0"], [1])
    np.testing.assert_array_equal(made[f"{NETWORK_OUTPUT}/proposal_boxes:0"], boxes)


def test_a_number_of_proposals_is_for_detectors_that_are_given_them(trained, fast_rcnn):
    with pytest.raises(ConfigError, match="--num_proposals=5: this detector does not take proposals"):
        ServingInput(num_proposals=5).specs(trained.detector)
    with pytest.raises(ConfigError, match="--num_proposals=0: must be at least 1"):
        ServingInput(num_proposals=0).specs(fast_rcnn.detector)


# In Python


@pytest.fixture(scope="module")
def predictor(exported_fast_rcnn) -> Predictor:
    return Predictor.load(exported_fast_rcnn)


def test_images_of_any_sizes_with_any_numbers_of_proposals(predictor, fast_rcnn):
    images = [_image(60, 80, 1), _image(90, 50, 2), _image(60, 80, 3), _image(60, 80, 4)]
    counts = (7, 11, 20, 0)
    results = predictor.detect(
        images, proposals=[_pixels(image, count, count) for image, count in zip(images, counts, strict=True)]
    )
    for image, count, result in zip(images[:3], counts, results, strict=False):
        direct = _direct(fast_rcnn, image[np.newaxis], [_normalised(count, count)])
        number = int(direct["num_detections"][0])
        np.testing.assert_allclose(result.scores, direct["detection_scores"][0, :number], atol=TOLERANCE)
        pixels = direct["detection_boxes"][0, 0] * [*image.shape[:2], *image.shape[:2]]
        np.testing.assert_allclose(result.boxes[0], pixels, atol=2e-2)
    assert len(results[3].scores) == 0 and results[3].boxes.shape == (0, 4)


def test_one_image_with_its_proposals(predictor):
    image = _image(60, 80)
    boxes = _pixels(image, 6)
    expected = predictor.detect([image], proposals=[boxes])[0].scores
    for given in (boxes, boxes.tolist(), [boxes.tolist()], boxes[np.newaxis]):
        np.testing.assert_array_equal(predictor.detect(image, proposals=given)[0].scores, expected)
    assert len(predictor.detect(image, proposals=[])[0].scores) == 0
    assert len(predictor.detect(image, proposals=boxes[:1].tolist())[0].scores) > 0  # one box, as one row


def test_proposals_missing_unwanted_or_too_few_are_told(predictor, exported):
    image = _image(60, 80)
    with pytest.raises(ConfigError, match="this model needs region proposals; pass proposals"):
        predictor.detect(image)
    with pytest.raises(ConfigError, match="proposals: this model does not take proposals; leave them out"):
        Predictor.load(exported).detect(image, proposals=[_pixels(image, 3)])
    with pytest.raises(DataError, match="proposals: 1 arrays for 2 images; pass one array"):
        predictor.detect([image, image], proposals=[_pixels(image, 3)])
    with pytest.raises(DataError, match="image 1: proposal 2 is not finite"):
        boxes = _pixels(image, 3)
        predictor.detect([image, image], proposals=[boxes, boxes * [[1], [1], [np.nan]]])
    assert predictor.takes_proposals and not Predictor.load(exported).takes_proposals


def test_out_of_memory_says_how_many_there_were(exported_fast_rcnn, monkeypatch):
    predictor, image = Predictor.load(exported_fast_rcnn), _image(60, 80)

    def exhausted(**inputs):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")

    monkeypatch.setattr(predictor, "_signature", exhausted)
    with pytest.raises(
        ConfigError, match="60 x 80 pixels and 18 proposals each; lower --batch_size or --max_proposals"
    ):
        predictor.detect(image, proposals=_pixels(image, 17))


# From files


@pytest.fixture
def photos(tmp_path) -> list[str]:
    """a.png and sub/b.jpg, of two sizes."""
    (tmp_path / "photos" / "sub").mkdir(parents=True)
    paths = [str(tmp_path / "photos" / "a.png"), str(tmp_path / "photos" / "sub" / "b.jpg")]
    for path, size in zip(paths, ((60, 80), (90, 50)), strict=True):
        Image.fromarray(_image(*size)).save(path)
    return paths


def _write(path, ids: list[str], boxes: list[np.ndarray], sizes: list[tuple[int, int]] | None = None) -> str:
    """Scores rise with the row, so the file is not in the order in which it is used."""
    scores = np.concatenate([np.linspace(0, 1, len(rows)) for rows in boxes])
    offsets = np.cumsum([0, *map(len, boxes)])
    proposal_files.write(
        path, [ProposalFile("", tuple(ids), offsets, np.concatenate(boxes), scores, np.array(sizes) if sizes else None)]
    )
    return str(path)


def _annotate(predictor, photos, folder, **wanted) -> tuple[annotate.DetectionReport, list[dict]]:
    options = annotate.DetectionOptions(min_score=0.0, max_boxes=4, pictures=False, proposals=ProposalRequest(**wanted))
    report = annotate.annotate(predictor, photos, folder / "out", options)
    return report, json.loads(report.json_path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("ids", [("a.png", "sub/b.jpg"), ("a", "b"), ("photos/a.png", "b.jpg")])
def test_proposals_in_files_are_found_by_name_and_the_best_are_used(predictor, photos, tmp_path, ids):
    boxes = [_pixels(_image(60, 80), 9, 1), _pixels(_image(90, 50), 9, 2)]
    file = _write(tmp_path / "set.npz", list(ids), boxes, [(60, 80), (90, 50)])
    report, rows = _annotate(predictor, photos, tmp_path, paths=(file,), max_proposals=5)
    assert report.bad == () and report.images == 2
    best = predictor.detect(
        photos, max_boxes=4, proposals=[rows[:3:-1] for rows in boxes]
    )  # the last five, the last first
    np.testing.assert_allclose(
        [row["score"] for row in rows], np.concatenate([result.scores for result in best]), atol=1e-5
    )


def test_images_that_a_file_does_not_hold_or_holds_otherwise_are_named_and_the_others_used(predictor, photos, tmp_path):
    boxes = [_pixels(_image(60, 80), 9, 1), _pixels(_image(60, 80), 9, 2)]
    other = _write(tmp_path / "other.npz", ["a.png", "c.jpg"], boxes, [(60, 80), (60, 80)])
    report, rows = _annotate(predictor, photos, tmp_path, paths=(other,))
    assert report.images == 1 and {row["file_name"] for row in rows} == {photos[0]}
    assert report.bad == (
        (
            f"{photos[1]}: --proposals_path: {other} contains 2 images, such as 'a.png', 'c.jpg', but none for this"
            " one; make proposals for it, or use --proposal_method"
        ),
    )
    smaller = _write(tmp_path / "smaller.npz", ["a.png", "b.jpg"], boxes, [(60, 80), (45, 25)])
    report, _ = _annotate(predictor, photos, tmp_path, paths=(smaller,))
    assert report.bad == (
        f"{photos[1]}: has 90 x 50 pixels, but its proposals in {smaller} are of an image of 45 x 25; make them again",
    )
    unsized = _write(tmp_path / "unsized.npz", ["a.png", "b.jpg"], [boxes[0], boxes[1] * 3])
    report, rows = _annotate(predictor, photos, tmp_path, paths=(unsized,))
    assert report.images == 1 and {row["file_name"] for row in rows} == {photos[0]}
    assert "b.jpg: proposal" in report.bad[0] and "lies far outside the image of 90 x 50" in report.bad[0]


def test_a_method_makes_them_image_by_image(predictor, photos, tmp_path):
    report, rows = _annotate(predictor, photos, tmp_path, method="grid", max_proposals=30)
    assert report.bad == () and report.images == 2 and {row["file_name"] for row in rows} == set(photos)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({}, r"this detector classifies given regions; set --proposals_path=FILE, or --proposal_method="),
        (
            {"paths": ("a.npz",), "method": "grid"},
            "--proposals_path=a.npz and --proposal_method=grid: proposals come from only one of them",
        ),
        ({"paths": ("absent.npz",)}, "--proposals_path 'absent.npz' matches no file"),
        ({"method": "edge_boxes"}, "--proposal_method=edge_boxes needs OpenCV"),
        ({"method": "rpn"}, "--proposal_method=rpn is unknown"),
    ],
)
def test_what_is_missing_is_a_flag_and_told_before_anything_is_written(predictor, photos, tmp_path, wanted, message):
    with pytest.raises(ConfigError, match=message) as error:
        _annotate(predictor, photos, tmp_path, **wanted)
    assert "\n" not in str(error.value) and not (tmp_path / "out").exists()


def test_other_detectors_want_none(exported, photos, tmp_path):
    with pytest.raises(
        ConfigError, match="--proposal_method=grid: this detector finds its regions itself; remove the flag"
    ):
        _annotate(Predictor.load(exported), photos, tmp_path, method="grid")
