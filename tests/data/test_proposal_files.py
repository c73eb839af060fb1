"""Files of proposals: three formats, one meaning; what cannot be read says which file and what to do."""

from __future__ import annotations

import json
import sys
import zipfile

import numpy as np
import pytest

from detection.data import proposal_files
from detection.data.proposal_files import ProposalFile, index, names, read, read_all, write
from detection.errors import ConfigError, DataError

BOXES = np.array([[1, 2, 3, 4], [0, 0, 5, 5.5], [2, 2, 4, 8]], np.float32)
SCORES = np.array([0.5, 0.25, 0.75], np.float32)


def proposals(path="p.npz", ids=("a.jpg", "b.jpg", "c"), offsets=(0, 2, 2, 3), boxes=BOXES, scores=SCORES, sizes=None) -> ProposalFile:
    return ProposalFile(str(path), ids, np.array(offsets, np.int64), boxes, scores, sizes)


def same(found: ProposalFile, expected: ProposalFile) -> bool:
    arrays = zip(found[2:5], expected[2:5], strict=True)
    sizes = np.array_equal(found.sizes, expected.sizes) if expected.sizes is not None else found.sizes is None
    return found.ids == expected.ids and sizes and all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in arrays)


@pytest.mark.parametrize("sizes", [None, np.array([[9, 9], [8, 8], [7, 9]], np.int32)])
def test_npz_comes_back_and_is_mapped(tmp_path, sizes):
    path = tmp_path / "p.npz"
    write(path, [proposals(sizes=sizes)], settings="{}")
    found = read(path)
    assert same(found, proposals(sizes=sizes)) and isinstance(found.boxes, np.memmap) and found.starts is not None
    raw = path.read_bytes()
    assert raw[found.starts[0] :][: BOXES.nbytes] == BOXES.tobytes() and raw[found.starts[1] :][: SCORES.nbytes] == SCORES.tobytes()
    assert found.of(0)[0].tolist() == BOXES[:2].tolist() and found.of(1)[0].shape == (0, 4) and found.of(2)[1].tolist() == [0.75]
    with np.load(path) as archive:  # numpy itself reads it too
        assert str(archive["settings"]) == "{}" and archive["ids"].tolist() == ["a.jpg", "b.jpg", "c"]
    assert [path.name for path in tmp_path.iterdir()] == ["p.npz"]


def test_parts_are_joined_to_the_same_bytes(tmp_path):
    one = proposals(sizes=np.ones([3, 2], np.int32))
    parts = [
        proposals(ids=("a.jpg",), offsets=(0, 2), boxes=BOXES[:2], scores=SCORES[:2], sizes=np.ones([1, 2], np.int32)),
        proposals(ids=("b.jpg", "c"), offsets=(0, 0, 1), boxes=BOXES[2:], scores=SCORES[2:], sizes=np.ones([2, 2], np.int32)),
    ]
    write(tmp_path / "one.npz", [one])
    write(tmp_path / "parts.npz", parts)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "parts.npz").read_bytes()


def test_npz_of_others_is_read_into_memory(tmp_path):
    arrays = {"ids": np.array(["1"]), "offsets": np.array([0, 1]), "boxes": np.array([[0.0, 1, 2, 3]]), "scores": np.array([1.0])}
    np.savez_compressed(tmp_path / "c.npz", **arrays)
    found = read(tmp_path / "c.npz")
    assert found.starts is None and found.boxes.tolist() == [[0, 1, 2, 3]] and found.boxes.dtype == np.float32
    np.savez(tmp_path / "d.npz", **arrays)  # float64 lies otherwise in the file than in memory
    assert read(tmp_path / "d.npz").starts is None
    np.savez(tmp_path / "e.npz", ids=np.array(["1", "2"]), offsets=[0, 0, 0], boxes=np.zeros([0, 4], np.float32), scores=np.zeros([0], np.float32))
    assert read(tmp_path / "e.npz").of(1)[0].shape == (0, 4)


def test_json_of_coco_results(tmp_path):
    path = tmp_path / "r.json"
    entries = [(7, [2, 1, 2, 2], 0.5), (139, [2, 2, 6, 2], 0.75), (7, [0, 0, 5.5, 5], 0.25)]
    path.write_text(json.dumps([{"image_id": image, "bbox": box, "score": score} for image, box, score in entries]))
    assert same(read(path), proposals(ids=("7", "139"), offsets=(0, 2, 3)))


def test_json_of_lists(tmp_path):
    path = tmp_path / "r.json"
    path.write_text(json.dumps({"a": [[2, 1, 2, 2, 0.5], {"bbox": [0, 0, 5.5, 5], "score": 0.25}], "b": [], "c": [[2, 2, 6, 2], [1, 1, 1, 1]]}))
    found = read(path)
    assert found.ids == ("a", "b", "c") and found.offsets.tolist() == [0, 2, 2, 4]
    np.testing.assert_array_equal(found.boxes[:3], BOXES)
    np.testing.assert_array_equal(found.scores, [0.5, 0.25, 1.0, 0.5])  # where none is given, by rank


def test_mat_of_published_selective_search(tmp_path):
    io = pytest.importorskip("scipy.io")
    images, boxes = np.empty([3, 1], object), np.empty([1, 3], object)
    images[:, 0] = ["000005", "000007", "000009"]
    # As published: y before x, counted from 1, the last pixel included, here as MATLAB's small integers and doubles.
    boxes[0, 0] = np.array([[2, 3, 3, 4], [1, 1, 5, 5]], np.uint16)
    boxes[0, 1] = np.zeros([0, 0])
    boxes[0, 2] = np.array([[3.0, 3.0, 4.0, 8.0]])
    io.savemat(tmp_path / "voc.mat", {"images": images, "boxes": boxes}, do_compression=True)
    found = read(tmp_path / "voc.mat")
    assert found.ids == ("000005", "000007", "000009") and found.offsets.tolist() == [0, 2, 2, 3]
    np.testing.assert_array_equal(found.boxes, [[1, 2, 3, 4], [0, 0, 5, 5], [2, 2, 4, 8]])
    np.testing.assert_array_equal(found.scores, [1, 0.5, 1])
    io.savemat(tmp_path / "other.mat", {"rois": np.zeros([2, 2])})
    cells = np.empty([1, 1], object)
    cells[0, 0] = np.zeros([2, 5])
    io.savemat(tmp_path / "wide.mat", {"images": images[:1], "boxes": cells})
    io.savemat(tmp_path / "uneven.mat", {"images": images[:2], "boxes": cells})
    (tmp_path / "text.mat").write_text("hello")
    says = {
        "other": "holds rois",
        "wide": r"'000005' has float64 boxes of shape \(2, 5\)",
        "uneven": "2 images and 1 cells",
        "text": "is no .mat file",
    }
    for name, part in says.items():
        with pytest.raises(DataError, match=rf"{name}.mat: .*{part}.*cell arrays images"):
            read(tmp_path / f"{name}.mat")


def test_mat_without_scipy_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(ConfigError, match=r"voc.mat: .* pip install 'detection\[proposals\]'"):
        read(tmp_path / "voc.mat")


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("nonsense", "is no JSON"),
        ("3", "is neither"),
        ('{"a": 3}', "is neither"),
        ('[{"bbox": [1, 2, 3, 4]}]', "entry 0 is"),
        ('[{"image_id": 1, "score": 3}]', "image '1', box 0"),
        ('{"a": [[1, 2, 3]]}', "image 'a', box 0 is [1, 2, 3]"),
        ('{"a": [[1, 2, 3, "4"]]}', "image 'a', box 0"),
        ("[]", "holds no image"),
        ('{"": []}', "empty id"),
    ],
)
def test_faults_of_json(tmp_path, content, part):
    path = tmp_path / "r.json"
    path.write_text(content)
    with pytest.raises(DataError) as raised:
        read(path)
    assert str(raised.value).startswith(f"{path}: ") and part in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"ids": ("a", "b", "a")}, "image 'a' is there twice"),
        ({"offsets": (0, 2, 2)}, "3 offsets for 3 ids"),
        ({"offsets": (0, 2, 1, 3)}, "offsets do not rise"),
        ({"offsets": (0, 2, 2, 2)}, "offsets do not rise"),
        ({"scores": SCORES[:2]}, "(2,) scores for 3 boxes"),
        ({"boxes": BOXES[:, :3]}, "boxes are not n x 4"),
        ({"sizes": np.zeros([2, 2], np.int32)}, "(2, 2) sizes for 3 ids"),
        ({"ids": (), "offsets": (0,), "boxes": BOXES[:0], "scores": SCORES[:0]}, "it holds no image"),
    ],
)
def test_faults_of_npz(tmp_path, changes, part):
    path = tmp_path / "p.npz"
    made = proposals(**changes)
    sizes = {} if made.sizes is None else {"sizes": made.sizes}
    np.savez(path, ids=np.array(made.ids, np.str_), offsets=made.offsets, boxes=made.boxes, scores=made.scores, **sizes)
    with pytest.raises(DataError) as raised:
        read(path)
    assert str(raised.value).startswith(f"{path}: ") and part in str(raised.value)


def test_damaged_and_foreign_files(tmp_path):
    write(tmp_path / "p.npz", [proposals()])
    whole = (tmp_path / "p.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.npz").write_text("hello")
    (tmp_path / "empty.npz").write_bytes(b"")
    np.savez(tmp_path / "other.npz", weights=np.zeros(3))
    for name in ("cut", "text", "empty"):
        with pytest.raises(DataError, match=f"{name}.npz: is no .npz file, or a damaged one"):
            read(tmp_path / f"{name}.npz")
    with pytest.raises(DataError, match="holds weights, but no boxes, ids, offsets, scores"):
        read(tmp_path / "other.npz")
    with pytest.raises(DataError, match="p.txt: proposals are read from .npz, .json, .mat files"):
        read(tmp_path / "p.txt")
    with pytest.raises(DataError, match="absent.json: cannot be read"):
        read(tmp_path / "absent.json")


def test_member_shorter_than_its_header_says(tmp_path):
    """A map beyond the end of the file would end the process, not raise."""
    path = tmp_path / "lie.npz"
    write(path, [proposals()])
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["scores.npy"] = members["scores.npy"].replace(b"(3,)", b"(9,)").ljust(len(members["scores.npy"]))
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in sorted(members.items(), key=lambda member: member[0] == "scores.npy"):
            archive.writestr(name, data)
    with pytest.raises(DataError, match="lie.npz: "):
        read(path)


def test_globs(tmp_path):
    for name in ("b", "a"):
        write(tmp_path / f"{name}.npz", [proposals(ids=(name,), offsets=(0, 3))])
    (tmp_path / "a.npz.report.json").write_text("{}")  # what make_proposals.py leaves
    (tmp_path / "b.npz.parts").mkdir()
    found = read_all([str(tmp_path / "*"), str(tmp_path / "a.npz")], "reader.proposals_path")
    assert [file.ids[0] for file in found] == ["a", "b"]
    with pytest.raises(ConfigError, match="reader.proposals_path 'nowhere-.*' matches no file"):
        read_all(["nowhere-*"], "reader.proposals_path")


def test_images_are_found_by_id_and_by_name_without_suffix():
    keys = index([proposals(ids=("a.jpg", "b.v2", "2.png", "2.JPG")), proposals("q.npz", ids=("c", "d", "b"))])
    assert keys == {"a.jpg": 0, "a": 0, "b.v2": 1, "2.png": 2, "2.JPG": 3, "c": 4, "d": 5, "b": 6}
    assert names("7", "VOC2007/a.b.JPEG") == ("7", "VOC2007/a.b.JPEG", "7", "VOC2007/a.b", "a.b")
    assert index([proposals(ids=("x", "x.jpg", "y"))]) == {"x": 0, "x.jpg": 1, "y": 2}
    with pytest.raises(DataError, match="q.npz: image 'c' has proposals in p.npz too"):
        index([proposals(), proposals("q.npz", ids=("z", "c", "w"))])


def test_write_leaves_nothing_half(tmp_path, monkeypatch):
    path = tmp_path / "p.npz"
    write(path, [proposals()])
    before = path.read_bytes()

    def fail(*_):
        raise OSError("no space")

    monkeypatch.setattr(proposal_files, "_store", fail)
    with pytest.raises(OSError, match="no space"):
        write(path, [proposals(ids=("z", "y", "x"))])
    assert path.read_bytes() == before and [entry.name for entry in tmp_path.iterdir()] == ["p.npz"]
