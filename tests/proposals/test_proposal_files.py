"""Files of proposals: three formats, one meaning; what cannot be read says which file and what to do."""

from __future__ import annotations

import json
import os
import struct
import sys
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest

from detection import npz_files
from detection.errors import ConfigError, DataError
from detection.proposals import mat_files, proposal_files
from detection.proposals.proposal_files import ProposalFile, index, names, read, read_all, write

BOXES = np.array([[1, 2, 3, 4], [0, 0, 5, 5.5], [2, 2, 4, 8]], np.float32)
SCORES = np.array([0.5, 0.25, 0.75], np.float32)


def proposals(
    path="p.npz", ids=("a.jpg", "b.jpg", "c"), offsets=(0, 2, 2, 3), boxes=BOXES, scores=SCORES, sizes=None
) -> ProposalFile:
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
    assert (
        raw[found.starts[0] :][: BOXES.nbytes] == BOXES.tobytes()
        and raw[found.starts[1] :][: SCORES.nbytes] == SCORES.tobytes()
    )
    assert (
        found.of(0)[0].tolist() == BOXES[:2].tolist()
        and found.of(1)[0].shape == (0, 4)
        and found.of(2)[1].tolist() == [0.75]
    )
    with np.load(path) as archive:  # numpy itself reads it too
        assert str(archive["settings"]) == "{}" and archive["ids"].tolist() == ["a.jpg", "b.jpg", "c"]
    assert [path.name for path in tmp_path.iterdir()] == ["p.npz"]


def test_parts_are_joined_to_the_same_bytes(tmp_path):
    one = proposals(sizes=np.ones([3, 2], np.int32))
    parts = [
        proposals(ids=("a.jpg",), offsets=(0, 2), boxes=BOXES[:2], scores=SCORES[:2], sizes=np.ones([1, 2], np.int32)),
        proposals(
            ids=("b.jpg", "c"), offsets=(0, 0, 1), boxes=BOXES[2:], scores=SCORES[2:], sizes=np.ones([2, 2], np.int32)
        ),
    ]
    write(tmp_path / "one.npz", [one])
    write(tmp_path / "parts.npz", parts)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "parts.npz").read_bytes()


def test_npz_of_others_is_read_into_memory(tmp_path):
    arrays = {
        "ids": np.array(["1"]),
        "offsets": np.array([0, 1]),
        "boxes": np.array([[0.0, 1, 2, 3]]),
        "scores": np.array([1.0]),
    }
    np.savez_compressed(tmp_path / "c.npz", **arrays)
    found = read(tmp_path / "c.npz")
    assert found.starts is None and found.boxes.tolist() == [[0, 1, 2, 3]] and found.boxes.dtype == np.float32
    np.savez(tmp_path / "d.npz", **arrays)  # float64 lies otherwise in the file than in memory
    assert read(tmp_path / "d.npz").starts is None
    np.savez(
        tmp_path / "e.npz",
        ids=np.array(["1", "2"]),
        offsets=[0, 0, 0],
        boxes=np.zeros([0, 4], np.float32),
        scores=np.zeros([0], np.float32),
    )
    assert read(tmp_path / "e.npz").of(1)[0].shape == (0, 4)


def test_json_of_coco_results(tmp_path):
    path = tmp_path / "r.json"
    entries = [(7, [2, 1, 2, 2], 0.5), (139, [2, 2, 6, 2], 0.75), (7, [0, 0, 5.5, 5], 0.25)]
    path.write_text(json.dumps([{"image_id": image, "bbox": box, "score": score} for image, box, score in entries]))
    assert same(read(path), proposals(ids=("7", "139"), offsets=(0, 2, 3)))


def test_json_of_lists(tmp_path):
    path = tmp_path / "r.json"
    path.write_text(
        json.dumps(
            {
                "a": [[2, 1, 2, 2, 0.5], {"bbox": [0, 0, 5.5, 5], "score": 0.25}],
                "b": [],
                "c": [[2, 2, 6, 2], [1, 1, 1, 1]],
            }
        )
    )
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
        "other": "contains rois",
        "wide": r"'000005' has float64 boxes of shape \(2, 5\)",
        "uneven": "2 images and 1 cells",
        "text": "not a .mat file",
    }
    for name, part in says.items():
        with pytest.raises(DataError, match=rf"{name}.mat: .*{part}.*cell arrays images"):
            read(tmp_path / f"{name}.mat")


def cells(values: list) -> np.ndarray:
    made = np.empty([len(values), 1], object)
    made[:, 0] = values
    return made


def mat(tmp_path, **options) -> bytes:
    """A file as scipy writes it: two images, of two boxes and of one."""
    io = pytest.importorskip("scipy.io")
    content = {
        "images": cells(["a", "bé"]),
        "boxes": cells([np.array([[1.0, 2, 3, 4], [1, 1, 5, 5]]), np.array([[7, 8, 9, 10]], np.uint8)]),
    }
    io.savemat(tmp_path / "made.mat", {"other": np.zeros([3, 3]), **content}, **options)
    return (tmp_path / "made.mat").read_bytes()


@pytest.mark.parametrize("compressed", [False, True])
def test_mat_is_read_as_scipy_reads_it(tmp_path, compressed):
    io = pytest.importorskip("scipy.io")
    kinds = ["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"]
    boxes = [np.arange(1, 9).reshape(2, 4).astype(kind) for kind in kinds] + [np.zeros([0, 4]), np.zeros([0, 0])]
    names = [f"{number:06d}" for number in range(len(boxes))]
    names[0] = "with blanks and ünïcode"
    io.savemat(
        tmp_path / "kinds.mat",
        {"images": cells(names), "boxes": cells(boxes), "text": "x", "s": {"a": 1}},
        do_compression=compressed,
    )
    found, held = mat_files.read((tmp_path / "kinds.mat").read_bytes(), ("images", "boxes"))
    theirs = io.loadmat(tmp_path / "kinds.mat")
    assert held == ("images", "boxes", "text", "s")
    assert (
        [cell.text for cell in found["images"].cells]
        == [str(cell[0, 0][0]) for cell in theirs["images"][:, np.newaxis]]
        == names
    )
    for cell, other in zip(found["boxes"].cells, theirs["boxes"][:, 0], strict=True):
        assert cell.numbers.shape == other.shape and cell.numbers.tolist() == other.tolist()


def test_mat_of_the_other_byte_order(tmp_path):
    """By hand, after the format's description: a cell array of one name and one of one matrix."""

    def element(kind: int, data: bytes) -> bytes:
        return struct.pack(">II", kind, len(data)) + data + bytes(-len(data) % 8)

    def matrix(kind: int, shape: tuple[int, int], name: bytes, *parts: bytes) -> bytes:
        return element(
            14,
            element(6, struct.pack(">II", kind, 0))
            + element(5, struct.pack(">ii", *shape))
            + element(1, name)
            + b"".join(parts),
        )

    name = matrix(4, (1, 3), b"", element(4, "7é9".encode("utf-16-be")))
    box = matrix(6, (1, 4), b"", element(3, struct.pack(">4h", 1, 2, 30, 400)))
    head = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x01\x00MI"
    (tmp_path / "big.mat").write_bytes(head + matrix(1, (1, 1), b"images", name) + matrix(1, (1, 1), b"boxes", box))
    found = read(tmp_path / "big.mat")
    assert found.ids == ("7é9",) and found.boxes.tolist() == [[0, 1, 30, 400]]


def test_mat_needs_no_scipy(tmp_path, monkeypatch):
    (tmp_path / "voc.mat").write_bytes(mat(tmp_path))
    monkeypatch.setitem(sys.modules, "scipy", None)
    assert read(tmp_path / "voc.mat").ids == ("a", "bé")


@pytest.mark.parametrize("compressed", [False, True])
def test_damaged_mat_is_refused_or_read(tmp_path, compressed):
    """Any byte changed to any of four others, and the file cut anywhere: an error that names the file, or proposals."""
    whole = mat(tmp_path, do_compression=compressed)
    path, refused = tmp_path / "p.mat", 0
    damaged = [
        whole[:place] + bytes([value]) + whole[place + 1 :]
        for place in range(120, len(whole), 3)
        for value in (0, 1, 14, 255)
    ]
    for data in [*damaged, *(whole[:end] for end in range(0, len(whole), 7))]:
        path.write_bytes(data)
        try:
            assert len(read(path).ids) == 2
        except DataError as error:
            refused += 1
            assert str(error).startswith(f"{path}: ")
    assert refused > 200


def test_mat_of_another_kind_is_named(tmp_path):
    io = pytest.importorskip("scipy.io")
    path = tmp_path / "p.mat"
    images, boxes = cells(["a"]), cells([np.ones([1, 4])])
    wrong = {
        "boxes is of class double, not a cell array": {"images": images, "boxes": np.ones([1, 4])},
        r"images\{1\} is of class double and shape": {"images": cells([np.ones([1, 1])]), "boxes": boxes},
        "image 'a' has complex boxes of shape": {"images": images, "boxes": cells([np.ones([1, 4]) * 1j])},
        "image 'a' has logical boxes of shape": {"images": images, "boxes": cells([np.ones([1, 4], bool)])},
        "image 'a' has cell boxes|class cell": {"images": images, "boxes": cells([cells([np.ones([1, 4])])])},
        "contains images;": {"images": images},
    }
    for part, content in wrong.items():
        io.savemat(path, content)
        with pytest.raises(DataError, match=part):
            read(path)
    path.write_bytes(mat(tmp_path) + mat(tmp_path)[128:])
    with pytest.raises(DataError, match="variable 'other' appears twice"):
        read(path)
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(200))
    with pytest.raises(DataError, match="MATLAB 7.3 file.*'-v7'"):
        read(path)


def test_packed_bombs_are_not_unpacked(tmp_path, monkeypatch):
    """A .mat and an .npz that would take 64 times what is allowed, in memory that is not much more than that."""
    for module in (mat_files, npz_files):
        monkeypatch.setattr(module, "_ALWAYS", 1 << 20)
    matrix = struct.pack("<II", 14, 1 << 26) + struct.pack("<IIIIII", 6, 8, 1, 0, 5, 8) + struct.pack("<ii", 1, 1 << 24)
    packed = zlib.compress(matrix + struct.pack("<II", 1, 5) + b"boxes\0\0\0" + bytes(1 << 26))
    head = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    (tmp_path / "bomb.mat").write_bytes(head + struct.pack("<II", 15, len(packed)) + packed)
    np.savez_compressed(
        tmp_path / "bomb.npz", ids=["a"], offsets=[0, 1 << 21], boxes=np.zeros([1 << 21, 4]), scores=np.zeros(1 << 21)
    )
    for name, part in (("bomb.mat", "takes more than"), ("bomb.npz", "would take 80 MiB")):
        tracemalloc.start()
        with pytest.raises(DataError, match=part):
            read(tmp_path / name)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
        tracemalloc.stop()


def npy(header: str | dict, data: bytes = b"", magic: bytes = b"\x93NUMPY\x01\x00") -> bytes:
    text = str(header).encode()
    return magic + struct.pack("<H", len(text)) + text + data


def plain(descr: str, shape: tuple, fortran: bool = False) -> dict:
    return {"descr": descr, "fortran_order": fortran, "shape": shape}


NPZ = {
    "ids": npy(plain("<U1", (1,)), "a".encode("utf-32-le")),
    "offsets": npy(plain("<i8", (2,)), struct.pack("<qq", 0, 1)),
    "boxes": npy(plain("<f4", (1, 4)), struct.pack("<4f", 0, 0, 1, 1)),
    "scores": npy(plain("<f4", (1,)), struct.pack("<f", 1)),
}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({}, ""),
        ({"boxes": npy(plain("<f4", (1 << 40, 4)))}, "shape (1099511627776, 4) needs"),
        ({"boxes": npy(plain("<f4", (1 << 62, 4)))}, "'boxes' has 0 bytes of data"),
        ({"boxes": npy(plain("<f4", (-1, -4)), bytes(16))}, "does not have the header of a plain array"),
        ({"boxes": npy(plain("<f4", (2, 4)), bytes(16))}, "has 16 bytes of data, but its shape (2, 4) needs 32"),
        ({"boxes": npy(plain("|O", (1, 4)), bytes(32))}, "values of type '|O'"),
        ({"boxes": npy(plain("<M8", (1, 4)), bytes(32))}, "values of type '<M8'"),
        ({"boxes": npy(plain("<c8", (1, 4)), bytes(32))}, "values of type '<c8'"),
        ({"boxes": npy(plain("<U4", (1,)), bytes(16))}, "'boxes' has <U4 values; expected numbers"),
        (
            {"boxes": npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (4,), }", bytes(16))},
            "does not have the header of a plain array",
        ),
        ({"boxes": npy("(" * 3000)}, "does not have the header of a plain array"),
        (
            {"boxes": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 4), \x00\n\t'", bytes(16))},
            "does not have the header of a plain array",
        ),
        ({"boxes": b"\x93NUMPY"}, "'boxes' is not a numpy array"),
        ({"boxes": b"GIF89a" + bytes(20)}, "'boxes' is not a numpy array"),
        ({"ids": npy(plain("<U0", (1,)))}, "values of type '<U0'"),
        ({"ids": npy(plain("<U1", (1,)), b"\xff" * 4)}, "'ids' has values that are not Unicode characters"),
        ({"ids": npy(plain("<U1", (1,)), struct.pack("<I", 0xD800))}, "which is not text"),
        ({"ids": npy(plain("|S1", (1,)), b"\xff")}, "can't decode byte"),
        ({"ids": npy(plain("<f4", (1,)), bytes(4))}, "expected a list of names"),
        ({"offsets": npy(plain("<f8", (2,)), struct.pack("<dd", 0, float("nan")))}, "no integers of 64 bits"),
        ({"offsets": npy(plain("<u8", (2,)), struct.pack("<QQ", 0, (1 << 64) - 1))}, "no integers of 64 bits"),
        ({"sizes": npy(plain("<i8", (1, 2)), struct.pack("<qq", 1 << 40, 1))}, "no integers of 32 bits"),
        ({"sizes": npy(plain("<i4", (1, 2)), struct.pack("<ii", -1, 1))}, "a size is negative"),
    ],
)
def test_npz_that_lies(tmp_path, changes, part, method):
    path = tmp_path / "p.npz"
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in {**NPZ, **changes}.items():
            archive.writestr(f"{name}.npy", data)
    if not changes:
        assert read(path).ids == ("a",)
        return
    with pytest.raises(DataError) as raised:
        read(path)
    assert str(raised.value).startswith(f"{path}: ") and part in str(raised.value)


def test_npz_with_a_member_twice_or_packed_otherwise(tmp_path):
    path = tmp_path / "p.npz"
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "w") as archive:
        for name, data in [*NPZ.items(), ("boxes", NPZ["boxes"])]:
            archive.writestr(f"{name}.npy", data)
    with pytest.raises(DataError, match="has two members 'boxes'"):
        read(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        for name, data in NPZ.items():
            archive.writestr(f"{name}.npy", data)
    with pytest.raises(DataError, match="compressed with method 14"):
        read(path)


def test_npz_with_other_arrays_is_read_without_them(tmp_path):
    with zipfile.ZipFile(tmp_path / "p.npz", "w") as archive:
        for name, data in {**NPZ, "more": b"whatever", "objects": npy(plain("|O", (1,)), b"cos\nsystem")}.items():
            archive.writestr(f"{name}.npy", data)
    assert read(tmp_path / "p.npz").ids == ("a",)


@pytest.mark.parametrize("compressed", [False, True])
def test_damaged_npz_is_refused_or_read(tmp_path, compressed):
    np.savez(tmp_path / "made.npz", ids=["a", "b"], offsets=[0, 1, 3], boxes=BOXES, scores=SCORES)
    if compressed:
        np.savez_compressed(tmp_path / "made.npz", ids=["a", "b"], offsets=[0, 1, 3], boxes=BOXES, scores=SCORES)
    whole, path, refused = (tmp_path / "made.npz").read_bytes(), tmp_path / "p.npz", 0
    damaged = [
        whole[:place] + bytes([value]) + whole[place + 1 :] for place in range(0, len(whole), 3) for value in (0, 255)
    ]
    for data in [*damaged, *(whole[:end] for end in range(0, len(whole), 7))]:
        path.write_bytes(data)
        try:
            assert len(read(path).ids) == 2
        except DataError as error:
            refused += 1
            assert str(error).startswith(f"{path}: ")
    assert refused > 200


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("nonsense", "not JSON"),
        ("3", "neither a list"),
        ('{"a": 3}', "neither a list"),
        ('[{"bbox": [1, 2, 3, 4]}]', "entry 0 is"),
        ('[{"image_id": 1, "score": 3}]', "image '1', box 0"),
        ('{"a": [[1, 2, 3]]}', "image 'a', box 0 is [1, 2, 3]"),
        ('{"a": [[1, 2, 3, "4"]]}', "image 'a', box 0"),
        ('[{"image_id": 1, "bbox": 5, "score": 1}]', "bbox is 5, not four finite numbers"),
        ('[{"image_id": 1, "bbox": null, "score": 1}]', "bbox is null"),
        ('[{"image_id": 1, "bbox": "1234", "score": 1}]', 'bbox is "1234"'),
        ('[{"image_id": 1, "bbox": [1, 2, 3, true], "score": 1}]', "bbox is [1, 2, 3, true]"),
        ('[{"image_id": 1, "bbox": [1, 2, 3, 4], "score": null}]', "score is not a finite number"),
        ('[{"image_id": 1, "bbox": [1, 2, 3, 4], "score": 1e999}]', "score is not a finite number"),
        ('[{"image_id": [1], "bbox": [1, 2, 3, 4], "score": 1}]', "entry 0: image_id is [1]"),
        ('[{"image_id": true, "bbox": [1, 2, 3, 4], "score": 1}]', "entry 0: image_id is true"),
        ('[{"image_id": 1.5, "bbox": [1, 2, 3, 4], "score": 1}]', "entry 0: image_id is 1.5"),
        ("[5, null]", "entry 0 is 5; entry 1 is null"),
        ('{"1": [[1, 2, 3, ' + "9" * 400 + "]]}", "image '1', box 0 is [1, 2, 3, 999"),
        ('{"1": [[1, 2, 3, ' + "9" * 5000 + "]]}", "thousands of digits"),
        ('{"1": [[1, 2, 3, NaN]]}', "NaN is not a JSON number"),
        ('{"1": [[1, 2, 3, -Infinity]]}', "-Infinity is not a JSON number"),
        ('{"1": [], "1": [[1, 2, 3, 4]]}', 'key "1" appears twice'),
        ('{"\\ud800": []}', "which is not text"),
        ("[" * 100000, "nested too deeply"),
        ('{"a":' * 100000, "nested too deeply"),
        ('{"a": [' + "[" * 900 + "]" * 900 + "]}", "image 'a', box 0"),
        ("[]", "contains no image"),
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
        ({"ids": ("a", "b", "a")}, "image 'a' appears twice"),
        ({"offsets": (0, 2, 2)}, "3 offsets for 3 ids"),
        ({"offsets": (0, 2, 1, 3)}, "offsets do not increase"),
        ({"offsets": (0, 2, 2, 2)}, "offsets do not increase"),
        ({"scores": SCORES[:2]}, "(2,) scores for 3 boxes"),
        ({"boxes": BOXES[:, :3]}, "boxes are not n x 4"),
        ({"sizes": np.zeros([2, 2], np.int32)}, "(2, 2) sizes for 3 ids"),
        ({"ids": (), "offsets": (0,), "boxes": BOXES[:0], "scores": SCORES[:0]}, "it contains no image"),
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
        with pytest.raises(DataError, match=f"{name}.npz: not an .npz file, or damaged"):
            read(tmp_path / f"{name}.npz")
    with pytest.raises(DataError, match="contains weights, but no boxes, ids, offsets, scores"):
        read(tmp_path / "other.npz")
    with pytest.raises(DataError, match="p.txt: proposals are read from .npz, .json, .mat files"):
        read(tmp_path / "p.txt")
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "folder.npz").mkdir()
    for name in ("pipe.json", "folder.npz"):
        with pytest.raises(DataError, match=f"{name}: cannot be read: not a regular file"):
            read(tmp_path / name)
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
