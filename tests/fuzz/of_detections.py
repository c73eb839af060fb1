"""Proposals and stored detections: .npz, .mat and JSON."""

from __future__ import annotations

import io
import json
import struct
import zlib

import numpy as np

from tests.fuzz.mutate import Material
from tests.fuzz.reading import BRACES, TEXT, Reader, reading


def _npz_material(**arrays: object) -> Material:
    corpus = []
    for save in (np.savez, np.savez_compressed):
        stream = io.BytesIO()
        save(stream, **arrays)
        corpus.append(stream.getvalue())
    tokens = [
        b"\x93NUMPY\x01\x00",
        b"'descr'",
        b"'<f4'",
        b"'|O'",
        b"'<U9'",
        b"True",
        b"(3, 4)",
        b"(99999999999, 4)",
        b"PK\x03\x04",
        b"PK\x01\x02",
        b"PK\x05\x06",
    ]
    return Material(corpus, tokens, [(b"(", b")"), (b"{", b"}")])


_ARRAYS = {
    "ids": np.array(["a.jpg", "b", "c"]),
    "offsets": np.array([0, 2, 2, 3]),
    "boxes": np.arange(12, dtype=np.float32).reshape(3, 4),
    "scores": np.array([0.5, 0.25, 1], np.float32),
    "sizes": np.array([[9, 9], [8, 8], [7, 9]], np.int32),
}


def _read_proposals(path: str) -> None:
    from detection.proposals import proposal_files

    found = proposal_files.read(path)
    proposal_files.index([found])
    for number in range(min(len(found.ids), 20)):
        found.of(number)


def _mats() -> Material:
    def element(kind: int, data: bytes) -> bytes:
        return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)

    def matrix(kind: int, shape: tuple[int, int], name: bytes, *parts: bytes) -> bytes:
        return element(
            14,
            element(6, struct.pack("<II", kind, 0))
            + element(5, struct.pack("<ii", *shape))
            + element(1, name)
            + b"".join(parts),
        )

    names = [matrix(4, (1, 1), b"", element(4, b"a\0")), matrix(4, (1, 2), b"", element(16, b"bc"))]
    boxes = [
        matrix(6, (1, 4), b"", element(9, struct.pack("<4d", 1, 2, 3, 4))),
        matrix(9, (2, 4), b"", element(2, bytes(range(1, 9)))),
    ]
    variables = [
        matrix(1, (1, 2), b"images", *names),
        matrix(1, (2, 1), b"boxes", *boxes),
        matrix(6, (1, 1), b"other", element(2, b"\x05")),
    ]
    head = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    packed = b"".join(struct.pack("<II", 15, len(data)) + data for data in map(zlib.compress, variables))
    tokens = [struct.pack("<I", kind) for kind in range(1, 19)] + [
        struct.pack("<HH", 1, 4),
        struct.pack("<II", 15, 8),
        b"images\0\0",
        b"boxes\0\0\0",
        *names,
        *boxes,
    ]
    return Material([head + b"".join(variables), head + packed, head + variables[1] + variables[0]], tokens)


def _json_proposals() -> Material:
    entries = [
        {"image_id": 7, "bbox": [1, 2, 3.5, 4], "score": 0.5},
        {"image_id": "b.jpg", "bbox": [0, 0, 1, 1], "score": 1, "category_id": 1},
    ]
    lists = {"a": [[1, 2, 3, 4], [1, 2, 3, 4, 0.5]], "b": [], "c": [{"bbox": [1, 2, 3, 4], "score": 0.1}]}
    tokens = [
        b'"image_id"',
        b'"bbox"',
        b'"score"',
        b'"category_id"',
        b"null",
        b"true",
        b"NaN",
        b'"\\ud800"',
        b"[]",
        b"{}",
        b",",
        b":",
        b'"a":',
        b"\xef\xbb\xbf",
    ]
    return Material(
        [json.dumps(entries).encode(), json.dumps(lists).encode(), json.dumps(entries, indent=1).encode("utf-16")],
        tokens,
        BRACES,
    )


def _json_detections() -> Material:
    entries = [
        {"image_id": number, "category_id": number + 1, "bbox": [1, 2, 3.5, 4], "score": 0.5} for number in (1, 7)
    ]
    return _json_proposals()._replace(
        corpus=[
            json.dumps([*entries, {**entries[0], "image_id": "b.jpg"}]).encode(),
            json.dumps(entries, indent=1).encode(),
        ]
    )


def _read_detections(path: str) -> None:
    from detection.evaluate import stored

    found = stored.read(path)
    for number in range(min(len(found.ids), 20)):
        found.of(number)


def _stored_detections() -> Material:
    categories = {
        "category_ids": np.array([1, 2]),
        "category_names": np.array(["a", "b"]),
        "notes": np.array('{"a": 1}'),
    }
    return _npz_material(**_ARRAYS, classes=np.array([0, 1, 1], np.int32), **categories)


READERS = {
    "proposals_npz": Reader(lambda: _npz_material(**_ARRAYS), reading("p.npz", _read_proposals), TEXT),
    "proposals_mat": Reader(_mats, reading("p.mat", _read_proposals), TEXT),
    "proposals_json": Reader(_json_proposals, reading("p.json", _read_proposals), TEXT),
    "detections_npz": Reader(_stored_detections, reading("d.npz", _read_detections), TEXT),
    "detections_json": Reader(_json_detections, reading("d.json", _read_detections), TEXT),
}
