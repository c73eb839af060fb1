"""Proposals through whole pipelines, from records and from files: what arrives, what is put right, what stops with the
record's name."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.data.augment.crop import Crop, random_crop_image
from detection.data.augment.flip import random_horizontal_flip
from detection.data.reading.corrections import Corrections
from detection.data.reading.input import eval_dataset, train_dataset
from detection.data.reading.iteration import iterate
from detection.data.resize import FixedShapeResizer, KeepAspectRatioResizer
from detection.errors import DataError
from detection.proposals import input_sources, proposal_files
from detection.proposals.input_sources import FileProposals, RecordProposals
from detection.proposals.proposal_files import ProposalFile

RESIZER = FixedShapeResizer(height=40, width=60)  # twice the size of the records' images
KEYS = [f"image__proposal__bbox__{side}" for side in ("ymin", "xmin", "ymax", "xmax")]
GOOD = np.array([[0.1, 0.2, 0.5, 0.6], [0, 0, 1, 1], [0.25, 0.5, 0.75, 1]])
PIXELS = GOOD * [40, 60, 40, 60]
SCORES = [0.25, 0.75, 0.5]
BEST_FIRST = [1, 2, 0]


def in_record(boxes=GOOD, scores=SCORES, **changes) -> dict:
    columns = dict(zip(KEYS, np.asarray(boxes, float).reshape(-1, 4).T.tolist(), strict=True))
    return {**columns, "image__proposal__score": scores, **changes}


@pytest.fixture
def source(tmp_path, write, example, options):
    """source(kind, {id: (normalised boxes, scores)}, ...) -> options of a reader that gives them, out of its records or
    beside them."""

    def make(kind: str, entries: dict, names: tuple = (), most: int = 5, **changes):
        identities = list(entries)
        records = []
        for number, identity in enumerate(identities):
            source_id, filename = names[number] if names else (identity, f"{identity}.png")
            keys = in_record(*entries[identity]) if kind == "records" else {}
            records.append(example(image__source_id=source_id, image__filename=filename, **keys))
        path = write(*records, name="set.record")
        beside = {"proposals": RecordProposals()}
        if kind != "records":
            lists = [np.asarray(boxes, float).reshape(-1, 4) * [20, 30, 20, 30] for boxes, _ in entries.values()]
            offsets = np.cumsum([0, *map(len, lists)])
            scores = np.concatenate([np.asarray(scores, float) for _, scores in entries.values()])
            flat = ProposalFile(
                "", tuple(identities), offsets, np.concatenate(lists), scores, np.array([[20, 30]] * len(lists))
            )
            file = tmp_path / f"beside.{kind}"
            if kind == "npz":
                proposal_files.write(file, [flat])
            else:
                file.write_text(
                    json.dumps(
                        {
                            identity: [
                                [b[1], b[0], b[3] - b[1], b[2] - b[0], s] for b, s in zip(*flat.of(number), strict=True)
                            ]
                            for number, identity in enumerate(identities)
                        }
                    )
                )
            beside = {"proposals": FileProposals((str(file),), "train_input_reader.proposals_path")}
        return options(path, max_number_of_proposals=most, **{**beside, **changes})

    return make


def first(settings, corrections=None, resizer=RESIZER, batch_size=1):
    return next(iterate(eval_dataset(settings, resizer, batch_size, corrections=corrections), settings))


KINDS = pytest.mark.parametrize("kind", ["records", "npz", "json"])


@KINDS
def test_sorted_in_pixels_and_padded(source, kind):
    dataset = train_dataset(
        source(kind, {"7": (GOOD, SCORES), "8": (GOOD[:1], [0.5])}, most=5, shuffle=False), (), RESIZER, 2, seed=0
    )
    spec = dataset.element_spec.batch.proposals
    assert (
        spec.boxes.shape.as_list() == [2, 5, 4]
        and spec.scores.shape.as_list() == [2, 5]
        and spec.counts.shape.as_list() == [2]
    )
    batch, _, info = next(iter(dataset))
    assert info.source_ids.numpy().tolist() == [b"7", b"8"] and batch.proposals.counts.numpy().tolist() == [3, 1]
    np.testing.assert_allclose(batch.proposals.boxes[0], [*PIXELS[BEST_FIRST], [0] * 4, [0] * 4], rtol=1e-5)
    np.testing.assert_allclose(batch.proposals.scores[0], [0.75, 0.5, 0.25, 0, 0])
    np.testing.assert_allclose(batch.proposals.boxes[1], [PIXELS[0], *[[0] * 4] * 4], rtol=1e-5)


@KINDS
def test_the_best_are_kept_and_equal_ones_once(source, kind):
    boxes = [*GOOD, GOOD[1], [0, 0, 0.5, 0.5], GOOD[0]]
    scores = [0.25, 0.5, 0.5, 0.75, 0.5, 0.125]
    found = first(source(kind, {"7": (boxes, scores)}, most=5)).batch.proposals
    assert found.counts.numpy().tolist() == [4]
    np.testing.assert_allclose(found.scores[0], [0.75, 0.5, 0.5, 0.25, 0])
    np.testing.assert_allclose(
        found.boxes[0, :4], [PIXELS[1], PIXELS[2], [0, 0, 20, 30], PIXELS[0]], rtol=1e-5
    )  # of equal scores, as given
    fewer = first(source(kind, {"7": (boxes, scores)}, most=2)).batch.proposals
    assert fewer.counts.numpy().tolist() == [2]
    np.testing.assert_allclose(fewer.boxes[0], [PIXELS[1], PIXELS[2]], rtol=1e-5)


def test_without_scores_the_order_is_the_rank(write, example, options):
    settings = options(write(example(**in_record(scores=None))), proposals=RecordProposals(), max_number_of_proposals=4)
    found = first(settings).batch.proposals
    np.testing.assert_allclose(found.boxes[0, :3], PIXELS, rtol=1e-5)
    np.testing.assert_allclose(found.scores[0], [1, 2 / 3, 1 / 3, 0], rtol=1e-6)


def test_none_are_read_unless_asked_for(write, example, options):
    """The elements of a pipeline without proposals are what they were."""
    settings = options(write(example(**in_record(scores=[1.0]))))  # not even looked at: one score for three boxes
    dataset = train_dataset(settings, (random_horizontal_flip,), RESIZER, 1, seed=0)
    assert dataset.element_spec.batch.proposals == () and len(tf.nest.flatten(dataset.element_spec)) == 11
    assert next(iter(dataset)).batch.proposals == ()


@KINDS
def test_clipped_and_empty_ones_are_put_right_and_counted(source, kind):
    corrections = Corrections()
    boxes = [[-0.05, 0.5, 0.5, 1.09], [0.5, 0.5, 0.5, 0.9], [1.01, 0.2, 1.05, 0.4], GOOD[0]]
    found = first(source(kind, {"7": (boxes, [0.9, 0.8, 0.7, 0.6])}), corrections).batch.proposals
    assert found.counts.numpy().tolist() == [2]
    np.testing.assert_allclose(found.boxes[0, :2], [[0, 30, 20, 60], PIXELS[0]], rtol=1e-5)
    totals = {kind: total[:2] for kind, total in corrections.totals().items()}
    assert totals == {"proposal_empty": (2, 1), "proposal_clipped": (1, 1)}
    assert corrections.lines()["proposal_empty"].startswith("2 proposals without area dropped, in 1 record")


@KINDS
def test_image_without_proposals_is_counted(source, kind):
    corrections = Corrections()
    settings = source(kind, {"7": ([], []), "8": (GOOD, SCORES)})
    found = first(settings, corrections, batch_size=2).batch.proposals
    assert (
        found.counts.numpy().tolist() == [0, 3]
        and not found.boxes[0].numpy().any()
        and not found.scores[0].numpy().any()
    )
    assert corrections.totals()["proposal_none"][:2] == (1, 1)
    for element in train_dataset(settings, (random_horizontal_flip, random_crop_image), RESIZER, 2, seed=0).take(4):
        assert np.isfinite(element.batch.proposals.boxes.numpy()).all()


@KINDS
@pytest.mark.parametrize(
    ("box", "score", "part"),
    [
        ([0.1, np.nan, 0.5, 0.6], 0.5, "proposal 1 is not finite (ymin, xmin, ymax, xmax, score = "),
        ([0.1, 0.2, np.inf, 0.6], 0.5, "proposal 1 is not finite"),
        ([0.1, 0.2, 0.5, 0.6], np.nan, "proposal 1 is not finite"),
        ([0.5, 0.2, 0.1, 0.6], 0.5, "proposal 1 has its minimum above its maximum"),
        ([0.1, 0.2, 1.2, 0.6], 0.5, "proposal 1 lies far outside the image"),
    ],
)
def test_what_cannot_be_meant_names_record_and_row(source, kind, box, score, part):
    settings = source(kind, {"6": (GOOD, SCORES), "7": ([GOOD[0], box], [0.5, score])})
    with pytest.raises(DataError) as raised:
        list(iterate(eval_dataset(settings, RESIZER, 1), settings))
    line = str(raised.value)
    if kind == "json" and "finite" in part:  # JSON has no such numbers, so the file is refused before any record is.
        assert line.startswith(f"{settings.proposals.paths[0]}: not JSON (") and "is not a JSON number" in line, line
        return
    field = (
        "image/proposal/bbox"
        if kind == "records"
        else f"train_input_reader.proposals_path ({settings.proposals.paths[0]})"
    )
    assert "set.record, record 1: " in line and f"{field} {part}" in line and "\n" not in line and ";" in line, line


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"image__proposal__score": [0.5]}, "image/proposal/score has 1 values for 3 proposals"),
        ({KEYS[2]: [0.5, 0.6]}, "image/proposal/bbox/ymax has 2 values for 3 proposals"),
        ({KEYS[0]: None}, "image/proposal/bbox/* are absent"),
        (
            dict.fromkeys([*KEYS, "image__proposal__score"]),
            "image/proposal/bbox/* are absent, but max_number_of_proposals asks for them; write them",
        ),
        ({key: [5, 6, 7] for key in KEYS}, "is not a usable tf.Example"),
    ],
)
def test_lists_that_do_not_fit_name_the_key(write, example, options, changes, part):
    settings = options(write(example(**in_record(**changes))), proposals=RecordProposals(), max_number_of_proposals=4)
    with pytest.raises(DataError) as raised:
        first(settings)
    assert "data.record, record 0: " in str(raised.value) and part in str(raised.value)


@pytest.mark.parametrize("kind", ["npz", "json"])
def test_files_are_matched_by_id_or_name_with_and_without_suffix(source, kind):
    names = (("a", "x.jpg"), ("17", "b.png"), ("c.jpg", "17.jpg"), ("18", "VOC2007/d.JPG"))
    entries = {identity: ([GOOD[number % 3]], [0.5]) for number, identity in enumerate(("a", "b.png", "c", "d"))}
    settings = source(kind, entries, names)
    found = [element.batch.proposals.boxes[0, 0].numpy() for element in eval_dataset(settings, RESIZER, 1)]
    np.testing.assert_allclose(found, PIXELS[[0, 1, 2, 0]], rtol=1e-5)


def test_file_of_other_images_is_an_error(source, tmp_path):
    settings = source("npz", {"6": (GOOD, SCORES), "x": (GOOD, SCORES)}, names=(("6", "6.png"), ("7", "seven.png")))
    with pytest.raises(DataError) as raised:
        list(iterate(eval_dataset(settings, RESIZER, 1), settings))
    line = str(raised.value)
    assert (
        "set.record, record 1: train_input_reader.proposals_path contains 2 images, such as '6', 'x', but none for"
        " image '7' (file 'seven.png'); " in line
    )


def test_file_of_images_of_another_size_is_an_error(source, tmp_path):
    settings = source("npz", {"7": (GOOD, SCORES)})
    other = proposal_files.read(settings.proposals.paths[0])
    proposal_files.write(settings.proposals.paths[0], [other._replace(sizes=np.array([[10, 15]]))])
    with pytest.raises(
        DataError,
        match=(
            r"record 0: train_input_reader.proposals_path \(.*beside.npz\) is of an image of \[10 15\], but .* \[20"
            r" 30\]"
        ),
    ):
        first(settings)
    without = tmp_path / "without.npz"  # a file that does not say its sizes is found out by boxes beyond the edges
    proposal_files.write(without, [other._replace(boxes=np.array(other.boxes) * 2, sizes=None)])
    with pytest.raises(
        DataError, match="lies far outside the image .*; the proposals are of another image, or of one of another size"
    ):
        first(source("npz", {"7": (GOOD, SCORES)}, proposals=FileProposals((str(without),))))


def test_several_files_and_formats_together(source, tmp_path):
    settings = source("npz", {"6": (GOOD, SCORES), "7": (GOOD[:1], [0.5])})
    whole = proposal_files.read(settings.proposals.paths[0])
    proposal_files.write(
        tmp_path / "six.npz",
        [
            whole._replace(
                ids=("6",), offsets=np.array([0, 3]), boxes=whole.boxes[:3], scores=whole.scores[:3], sizes=None
            )
        ],
    )
    (tmp_path / "seven.json").write_text(json.dumps([{"image_id": 7, "bbox": [6, 2, 12, 8], "score": 0.5}]))
    settings = source(
        "npz",
        {"6": (GOOD, SCORES), "7": ([], [])},
        proposals=FileProposals((str(tmp_path / "six.npz"), str(tmp_path / "seven.*"))),
    )
    found = first(settings, batch_size=2).batch.proposals
    assert found.counts.numpy().tolist() == [3, 1]
    np.testing.assert_allclose(found.boxes[1, 0], PIXELS[0], rtol=1e-5)


def test_padded_images_keep_proposals_inside_the_true_image(source):
    settings = source("npz", {"7": (GOOD, SCORES)})
    batch = first(
        settings, resizer=KeepAspectRatioResizer(min_dimension=40, max_dimension=60, pad_to_max_dimension=True)
    ).batch
    assert batch.images.shape == (1, 60, 60, 3) and batch.true_shapes.numpy().tolist() == [[40, 60]]
    np.testing.assert_allclose(batch.proposals.boxes[0, :3], PIXELS[BEST_FIRST], rtol=1e-5)


@KINDS
def test_proposals_follow_the_image(source, kind):
    """A proposal that lies on the only box lies on it after every change too; crops drop those of which nothing is
    left."""
    on_box = [[0.1, 0.2, 0.5, 0.6]]
    far = [[0.9, 0.9, 1, 1], [0, 0, 0.05, 0.05]]
    settings = source(kind, {"7": (on_box + far, [0.9, 0.8, 0.7])})
    crop = Crop(min_object_covered=1.0, area_range=(0.1, 0.5))
    lost = 0
    for element in train_dataset(
        settings, (random_horizontal_flip, lambda *given: random_crop_image(*given, crop)), RESIZER, 1, seed=3
    ).take(12):
        found, count = element.batch.proposals, int(element.batch.proposals.counts[0])
        np.testing.assert_allclose(found.boxes[0, 0], element.groundtruth.boxes[0, 0], atol=1e-3)
        inside = found.boxes.numpy()[0, :count]
        assert (inside >= 0).all() and (inside <= [40, 60, 40, 60]).all() and (inside[:, 2:] > inside[:, :2]).all()
        assert not found.boxes.numpy()[0, count:].any()
        lost += count < 3
    assert lost


def test_cached_and_weighted_data_sets_have_them_too(source):
    for changes in ({"cache": True}, {"weights": (1.0,)}):
        settings = source("npz", {"6": (GOOD, SCORES), "7": (GOOD, SCORES)}, **changes)
        for element in train_dataset(settings, (), RESIZER, 2, seed=0).take(3):
            assert element.batch.proposals.counts.numpy().tolist() == [3, 3]


def test_under_a_distribution_strategy(source):
    settings = source("npz", {str(number): (GOOD, SCORES) for number in range(4)})
    strategy = tf.distribute.MirroredStrategy(["/cpu:0"])
    with strategy.scope():
        dataset = train_dataset(settings, (), RESIZER, 2, seed=0)
    element = next(iterate(strategy.experimental_distribute_dataset(dataset), settings))
    np.testing.assert_allclose(element.batch.proposals.boxes[1, :3], PIXELS[BEST_FIRST], rtol=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.sampled_from([0.0, -0.0, 0.25, 0.5, 1.0]), min_size=4, max_size=4), max_size=30))
def test_first_of_equal_is_that_of_numpy(rows):
    boxes = np.array(rows, np.float32).reshape(-1, 4)
    _, expected = np.unique(boxes + 0.0, axis=0, return_index=True)
    np.testing.assert_array_equal(input_sources.first_of_equal(tf.constant(boxes)), np.sort(expected))


@pytest.mark.parametrize("texts", [("7", "a.jpg"), ("", "dir/sub\\b.x.PNG"), ("id.tiff", ""), ("9.gif.bmp", "c")])
def test_names_in_the_graph_are_those_of_the_index(texts):
    found = input_sources._names(*map(tf.constant, texts)).numpy()
    assert tuple(name.decode() for name in found) == proposal_files.names(*texts)
