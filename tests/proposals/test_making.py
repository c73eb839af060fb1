"""Proposals of whole data sets: kept, gone on with, put together to the same bytes; and what the report says of
them."""

from __future__ import annotations

import io
import json
import threading

import filelock
import numpy as np
import pytest
from PIL import Image

from detection.data.reading.input import eval_dataset
from detection.data.resize import FixedShapeResizer
from detection.errors import ConfigError, DataError
from detection.proposals import making, proposal_files
from detection.proposals.input_sources import FileProposals
from detection.proposals.methods import ProposalSettings, ScoredBoxes, build
from detection.proposals.proposal_files import ProposalFile
from detection.proposals.recall import best_ious, report
from detection.proposals.searched_images import Folder, Records

GRID = ProposalSettings(method="grid", grid_boxes=300)


@pytest.fixture
def records(write, example) -> Records:
    """Five images of 20 x 30 to 24 x 30 in two shards."""
    made = [
        example(height=20 + number, image__source_id=f"id {number}", image__filename=f"{number}.png")
        for number in range(5)
    ]
    write(*made[:3], name="a.record")
    return Records((str(write(*made[3:], name="b.record")).replace("b.record", "*.record"),))


class Counting:
    """The grid, noting which images it sees; stops in the middle of one where told to."""

    def __init__(self, stop_at: int = 99, error: BaseException | None = None) -> None:
        self.heights, self._stop_at, self._error = [], stop_at, error
        self._grid, self._lock = build(GRID), threading.Lock()

    def __call__(self, image: np.ndarray) -> ScoredBoxes:
        with self._lock:
            if len(self.heights) == self._stop_at:
                raise self._error
            self.heights.append(image.shape[0])
        return self._grid(image)


def test_the_file_is_what_a_reader_reads(records, tmp_path, options):
    made = making.make(records, build(GRID), GRID, tmp_path / "out" / "p.npz")
    assert made.new_images == 5 and len(made.report.counts) == 5
    found = proposal_files.read(made.path)
    assert found.ids == tuple(f"id {number}" for number in range(5)) and found.sizes.tolist() == [
        [20 + number, 30] for number in range(5)
    ]
    settings = options(*records.patterns, proposals=FileProposals((made.path,)), max_number_of_proposals=10)
    batch = next(iter(eval_dataset(settings, FixedShapeResizer(height=40, width=60), 5))).batch
    np.testing.assert_allclose(batch.proposals.boxes[0], found.of(0)[0][:10] * 2, rtol=1e-5)
    assert batch.proposals.counts.numpy().tolist() == [10] * 5
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["p.npz", "p.npz.report.json"]


def test_same_bytes_with_any_number_of_threads(records, tmp_path):
    for workers in (1, 4):
        making.make(records, build(GRID), GRID, tmp_path / f"{workers}.npz", workers=workers)
    assert (tmp_path / "1.npz").read_bytes() == (tmp_path / "4.npz").read_bytes()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), DataError("bad pixels")])
def test_goes_on_where_it_stopped(records, tmp_path, error, monkeypatch):
    monkeypatch.setattr(making, "SECONDS_A_PART", 0.0)
    making.make(records, build(GRID), GRID, tmp_path / "whole.npz")
    output = tmp_path / "p.npz"
    with pytest.raises(type(error)):
        making.make(records, Counting(2, error), GRID, output, workers=1)
    assert not output.exists() and (tmp_path / "p.npz.parts").is_dir()
    with pytest.raises(type(error)):
        making.make(records, Counting(1, error), GRID, output, workers=1)
    rest = Counting()
    made = making.make(records, rest, GRID, output, workers=1)
    assert rest.heights == [23, 24] and made.new_images == 2
    assert output.read_bytes() == (tmp_path / "whole.npz").read_bytes() and not (tmp_path / "p.npz.parts").exists()


def test_what_is_there_is_not_made_again(records, tmp_path):
    output = tmp_path / "p.npz"
    first = making.make(records, build(GRID), GRID, output)
    never = Counting(0, AssertionError("not needed"))
    again = making.make(records, never, GRID, output)
    assert again.new_images == 0 and again.report == first.report
    other = ProposalSettings(method="grid", grid_boxes=200)
    with pytest.raises(
        ConfigError, match=r"p.npz: exists already and was made with grid_boxes 300, not 200; pass --overwrite"
    ):
        making.make(records, never, other, output)
    with pytest.raises(ConfigError, match="was made with limit 0, not 2"):
        making.make(records, never, GRID, output, limit=2)
    with pytest.raises(ConfigError, match="was made from other images"):
        making.make(Records((records.patterns[0].replace("*", "a"),)), never, GRID, output)
    with pytest.raises(ConfigError, match="was made with checkpoint None, not 'x'"):
        making.make(records, never, GRID, output, more_settings={"checkpoint": "x"})
    assert making.make(records, build(other), other, output, overwrite=True, limit=2).new_images == 2
    assert proposal_files.read(output).ids == ("id 0", "id 1")


def test_parts_of_another_job_are_not_used(records, tmp_path, monkeypatch):
    monkeypatch.setattr(making, "SECONDS_A_PART", 0.0)
    with pytest.raises(KeyboardInterrupt):
        making.make(records, Counting(2, KeyboardInterrupt()), GRID, tmp_path / "p.npz", workers=1)
    other = ProposalSettings(method="grid", grid_boxes=300, seed=4)
    made = making.make(records, build(other), other, tmp_path / "p.npz")
    assert made.new_images == 5


def test_one_process_at_a_time(records, tmp_path):
    with (
        filelock.FileLock(tmp_path / ".p.npz.lock"),
        pytest.raises(ConfigError, match="p.npz: another process is making it"),
    ):
        making.make(records, build(GRID), GRID, tmp_path / "p.npz")


def test_folder_of_images(tmp_path):
    folder = tmp_path / "pictures"
    (folder / "sub").mkdir(parents=True)
    for number, name in enumerate(("b.png", "sub/a.webp", "c.jpg")):
        Image.fromarray(np.full([20 + number, 30, 3], 90, np.uint8)).save(folder / name)
    (folder / "notes.txt").write_text("no image")
    made = making.make(Folder(str(folder)), build(GRID), GRID, tmp_path / "p.npz")
    found = proposal_files.read(made.path)
    assert found.ids == ("b.png", "c.jpg", "sub/a.webp") and found.sizes[:, 0].tolist() == [20, 22, 21]
    assert made.report.objects == 0 and not made.report.rows
    with pytest.raises(ConfigError, match="--image_dir=.*nowhere: no such folder"):
        making.make(Folder(str(tmp_path / "nowhere")), build(GRID), GRID, tmp_path / "q.npz")


def faulty(number: int) -> dict:
    buffer = io.BytesIO()
    Image.new("RGB", (30, 20)).save(buffer, "JPEG")
    return [
        {"image__encoded": buffer.getvalue()[:200]},
        {"image__encoded": b"hello"},
        {"image__source_id": "", "image__filename": ""},
        {"image__source_id": "6"},
    ][number]


@pytest.mark.parametrize(
    ("number", "part"),
    [
        (0, "record 1 (7): "),
        (1, "record 1 (7): not an image of a known type"),
        (2, "record 1: has neither image/source_id nor image/filename"),
        (3, "record 1 (6): {folder}/data.record, record 0 (6) has the same id"),
    ],
)
def test_faults_name_the_record(write, example, tmp_path, number, part):
    path = write(example(image__source_id="6"), example(**faulty(number)))
    with pytest.raises(DataError) as raised:
        making.make(Records((path,)), build(GRID), GRID, tmp_path / "p.npz")
    assert f"{path}, {part.format(folder=tmp_path)}" in str(raised.value) and "\n" not in str(raised.value)


def test_faults_of_files(write, tmp_path, records):
    path = write(b"no example", name="x.record")
    with pytest.raises(DataError, match="x.record, record 0: is not a tf.Example"):
        making.make(Records((path,)), build(GRID), GRID, tmp_path / "p.npz")
    with pytest.raises(ConfigError, match="--input_path 'nowhere' matches no file"):
        making.make(Records(("nowhere",)), build(GRID), GRID, tmp_path / "p.npz")
    with pytest.raises(ConfigError, match=r"--output=.*p.json: proposals are written as .npz; name it .*p.npz"):
        making.make(records, build(GRID), GRID, tmp_path / "p.json")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        making.make(records, build(GRID), GRID, tmp_path / "file" / "p.npz")
    with open(path, "r+b") as stream:
        stream.truncate(15)
    with pytest.raises(DataError, match="x.record, record 0: "):
        making.make(Records((path,)), build(GRID), GRID, tmp_path / "p.npz")


def test_report_by_hand():
    """Two objects: one met by the second proposal with IoU 1, one by the third with IoU 0.6."""
    boxes = np.array([[50, 50, 60, 60], [0, 0, 10, 10], [20, 20, 30, 26]], np.float32)
    found = ProposalFile("p.npz", ("a", "b", "c"), np.array([0, 3, 3, 3]), boxes, np.array([3, 2, 1], np.float32))
    objects = {
        "a": np.array([[0, 0, 10, 10], [20, 20, 30, 30]]),
        "b": np.array([[0, 0, 5, 5]]),
        "elsewhere": np.array([[0, 0, 5, 5]]),
    }
    result = report(found, objects)
    assert result.counts == (3, 0, 0) and result.objects == 3
    assert result.rows[-1].best is None and result.rows[-1].recalls == pytest.approx((2 / 3, 1 / 3))
    assert result.rows[-1].mean_best_iou == pytest.approx(1.6 / 3)
    np.testing.assert_allclose(best_ious(objects["a"], boxes), [[0, 1, 1], [0, 0, 0.6]], rtol=1e-6)
    text = "\n".join(result.lines())
    assert "3 images, 3 proposals; per image: least 0, median 0, mean 1, most 3; 2 images without any" in text
    assert "of 3 objects" in text and f"{'all':>6}       0.667       0.333" in text
    assert json.loads(json.dumps(result.to_dict()))["found"][0] == {
        "best": 100,
        "recall@0.5": pytest.approx(2 / 3),
        "recall@0.7": pytest.approx(1 / 3),
        "mean_best_iou": pytest.approx(1.6 / 3),
        "average_recall": pytest.approx(2 * (0.5 + 0.1) / 3),
    }


def test_crowds_and_difficult_objects_are_not_looked_for(write, example, tmp_path):
    boxes = [(0, 0, 0.5, 0.5), (0, 0, 1, 1), (0.5, 0.5, 1, 1)]
    path = write(example(boxes=boxes, image__object__is_crowd=[0, 1, 0], image__object__difficult=[0, 0, 1]))
    dense = ProposalSettings(method="grid", grid_boxes=5000)
    made = making.make(Records((path,)), build(dense), dense, tmp_path / "p.npz")
    assert made.report.objects == 1 and made.report.rows[-1].recalls[0] == 1.0
