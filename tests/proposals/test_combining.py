"""Files of proposals made of others, and what the command shows of them."""

from __future__ import annotations

import numpy as np
import pytest

from detection.commands import call
from detection.errors import DataError
from detection.proposals import combining, proposal_files, recall
from detection.proposals.proposal_files import ProposalFile


def file_of(images: dict[str, tuple[list, list]], path: str = "a.npz", size=(100, 200)) -> ProposalFile:
    boxes = [np.array(rows, np.float32).reshape(-1, 4) for rows, _ in images.values()]
    scores = [np.array(values, np.float32) for _, values in images.values()]
    sizes = None if size is None else np.array([size] * len(images), np.int32)
    return ProposalFile(
        path, tuple(images), np.cumsum([0, *map(len, boxes)]), np.concatenate(boxes), np.concatenate(scores), sizes
    )


SEARCH = {
    "1.jpg": ([[0, 0, 10, 10], [50, 50, 90, 90], [0, 0, 20, 20]], [0.1, 0.9, 0.5]),
    "2.jpg": ([[10, 10, 30, 30]], [0.7]),
    "3.jpg": ([], []),
}
GRID = {
    "3": ([[0, 0, 9, 9]], [1]),
    "1": ([[1, 1, 11, 11], [48, 48, 88, 88], [0, 0, 20, 20], [150, 0, 160, 9]], [0.4, 0.3, 0.2, 0.1]),
    "2": ([[60, 60, 80, 80]], [1]),
}


def boxes_of(file: ProposalFile) -> dict[str, list[list[float]]]:
    for number in range(len(file.ids)):
        _, scores = file.of(number)
        assert (np.diff(scores) < 0).all(), "ranked"
    return {identity: file.of(number)[0].tolist() for number, identity in enumerate(file.ids)}


def test_merged_takes_the_best_of_each_file_by_file_and_equal_boxes_once():
    merged = combining.merged([file_of(SEARCH), file_of(GRID)], [2, 3])
    assert boxes_of(merged) == {
        "1.jpg": [[50, 50, 90, 90], [0, 0, 20, 20], [1, 1, 11, 11], [48, 48, 88, 88]],
        "2.jpg": [[10, 10, 30, 30], [60, 60, 80, 80]],
        "3.jpg": [[0, 0, 9, 9]],
    }


def test_nearest_replaces_each_box_by_the_one_that_overlaps_it_most():
    moved = combining.nearest(file_of(SEARCH), file_of(GRID))
    assert boxes_of(moved) == {
        # By score: 50..90 overlaps 48..88 most; 0..20 is in the grid; 0..10 overlaps 1..11 (IoU 81/119).
        "1.jpg": [[48, 48, 88, 88], [0, 0, 20, 20], [1, 1, 11, 11]],
        "2.jpg": [],  # nothing of the grid overlaps its box
        "3.jpg": [],
    }


def test_many_boxes_are_compared_in_blocks_with_the_same_result(monkeypatch):
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 80, (90, 2))
    rows = np.concatenate([corners, corners + rng.uniform(5, 40, (90, 2))], axis=1)
    first, second = ({"1": (part.tolist(), np.arange(len(part))[::-1] / 100)} for part in (rows[:40], rows[40:]))
    whole = boxes_of(combining.nearest(file_of(first), file_of(second)))
    monkeypatch.setattr(combining, "_ROWS", 7)
    assert boxes_of(combining.nearest(file_of(first), file_of(second))) == whole
    best = recall.best_ious(rows[:40], rows[40:])[:, -1]
    replaced = [recall.best_ious(np.array([box]), np.array(whole["1"]))[0, -1] for box in rows[:40]]
    np.testing.assert_allclose(replaced, best, rtol=1e-5)


@pytest.mark.parametrize(
    ("other", "size", "message"),
    [
        ({key: GRID[key] for key in ("1", "2")}, (100, 200), "b.npz has no proposals for image '3.jpg'"),
        (GRID, (100, 201), r"image '1.jpg' has another size in b.npz \(and 2 more like it\)"),
    ],
)
def test_files_of_other_images_are_refused(other, size, message):
    with pytest.raises(DataError, match=message):
        combining.merged([file_of(SEARCH), file_of(other, "b.npz", size)])


def test_average_recall_is_the_mean_recall_over_thresholds():
    """Hosang et al. 2015: the area under recall over IoU thresholds from 0.5 to 1, twice."""
    objects = np.array([[0, 0, 10, 10], [0, 0, 10, 8], [0, 0, 10, 5], [0, 0, 10, 2]], np.float32)
    report = recall.report(file_of({"1": ([[0, 0, 10, 10]], [1])}), {"1": objects})
    ious = np.array([1, 0.8, 0.5, 0.2])
    thresholds = np.linspace(0.5, 1, 100_001)
    area = np.mean([(ious >= threshold).mean() for threshold in thresholds])
    assert report.rows[-1].average_recall == pytest.approx(2 * (0.5 + 0.3) / 4) == pytest.approx(area, abs=1e-4)


@pytest.fixture
def records(example, tmp_path) -> str:
    import tensorflow as tf

    path = tmp_path / "test.record"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for number in (1, 2, 3):
            writer.write(example(boxes=[(0, 0, 0.5, 0.5)], image__source_id=[f"{number}.jpg".encode()]))
    return str(path)


def test_command_measures_merges_and_moves(records, tmp_path, capsys):
    """The images of the records have 20 x 30 pixels; one file knows sizes, the other does not."""
    search, grid = tmp_path / "search.npz", tmp_path / "grid.npz"
    proposal_files.write(search, [file_of(dict.fromkeys(SEARCH, ([[0, 0, 10, 15]], [1])), size=(20, 30))])
    proposal_files.write(grid, [file_of(dict.fromkeys(GRID, ([[0, 0, 10, 12]], [1])), size=None)])
    assert call.call("proposals", *["measure", f"--input_path={records}", str(search), str(grid)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip().startswith("all")]
    # best, recall@0.5, recall@0.7, mean best IoU, average recall: IoU 1 for the first file, 120 / 150 for the second
    assert lines == [["all", "1.000", "1.000", "1.000", "1.000"], ["all", "1.000", "1.000", "0.800", "0.600"]]
    output = tmp_path / "new" / "both.npz"
    for action in ("merge", "nearest"):
        arguments = [action, f"--output={output}", "--overwrite", str(search), str(grid)]
        assert call.call("proposals", *arguments) == 0
        assert proposal_files.read(output).of(0)[0].tolist() == [[0, 0, 10, 15], [0, 0, 10, 12]][action == "nearest" :]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "say what to do with which files"),
        (["measure", "a.npz"], "measure needs --input_path"),
        (["merge", "a.npz", "b.npz"], "--output is what merge and nearest write; give it"),
        (["merge", "--output=c.txt", "a.npz", "b.npz"], "proposals are written as .npz"),
        (["nearest", "--output=c.npz", "--best=3", "a.npz", "b.npz"], "--best belongs to merge"),
        (["merge", "--output=c.npz", "--best=x", "a.npz", "b.npz"], "'x' is no whole number"),
        (["merge", "--output=c.npz", "a.npz"], "matches no file"),
    ],
)
def test_command_says_what_is_wrong(arguments, message, capsys):
    assert call.call("proposals", *arguments) == 2
    assert message in capsys.readouterr().err
