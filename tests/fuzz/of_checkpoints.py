"""Checkpoints: their files, and indexes whose entries are damaged under right checksums."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

from detection.errors import ConfigError
from tests.fuzz.mutate import Material
from tests.fuzz.of_records import masked_checksum
from tests.fuzz.reading import IMAGE, LONGEST, Reader

_NAME = "model.ckpt-5"
_INDEX, _DATA = f"{_NAME}.index", f"{_NAME}.data-00000-of-00001"
_ENTRIES = "entries"  # an input of the entries of an index alone


def make_checkpoint(folder: Path) -> None:
    """Runs TensorFlow: call it in a process of its own."""
    import tensorflow as tf

    tf.raw_ops.SaveV2(
        prefix=str(folder / _NAME),
        tensor_names=["conv/weights", "global_step", "parts", "parts", "words"],
        shape_and_slices=["", "", "4 2 0,2:-", "4 2 2,2:-", ""],
        tensors=[
            tf.ones([3, 4]),
            tf.constant(5, tf.int64),
            tf.ones([2, 2]),
            tf.ones([2, 2]),
            tf.constant(["x", "", "yz"]),
        ],
    )


def _checkpoints() -> Material:
    import multiprocessing
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        process = multiprocessing.get_context("fork").Process(target=make_checkpoint, args=(Path(folder),))
        process.start()
        process.join()
        if process.exitcode:
            raise RuntimeError("the checkpoint of the corpus could not be made")
        index, data = ((Path(folder) / name).read_bytes() for name in (_INDEX, _DATA))
    _FILES.update({_INDEX: index, _DATA: data})
    entries = index[: index.index(bytes(4) + b"\1\0\0\0\0", 20) + 8]
    corpus = [b"%b\n%b" % (name.encode(), content) for name, content in _FILES.items()]
    lengths = [b"\xff\xff\xff\xff\x0f", b"\x80\x80\x80\x80\x08", b"\xff" * 9 + b"\x01", b"\x80" * 8 + b"\x40"]
    tokens = [b"\x12\x02\x08\x03", b"\x12\x0b\x08" + lengths[2], b"\x18\x01", b"\x08\x07", bytes(4) + b"\1\0\0\0"]
    return Material([*corpus, *[_ENTRIES.encode() + b"\n" + entries] * 4], [*lengths, *tokens])


_FILES: dict[str, bytes] = {}


def _table(entries: bytes) -> bytes:
    """An index file of one block of entries, with right checksums."""

    def block(content: bytes) -> bytes:
        return content + b"\0" + masked_checksum(content + b"\0")

    def handle(offset: int, content: bytes) -> bytes:
        return _varint(offset) + _varint(len(content))

    places = struct.pack("<2I", 0, 1)
    where = handle(0, entries)
    first, second = block(entries), block(places)
    last = b"\0\1" + _varint(len(where)) + b"~" + where + places
    footer = handle(len(first), places) + handle(len(first) + len(second), last)
    return first + second + block(last) + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)


def _varint(number: int) -> bytes:
    parts = []
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


def _prepare_checkpoint(folder: Path) -> Callable[[bytes], str]:
    from detection.checkpoints import checkpoint_files

    def run(data: bytes) -> str:
        name, _, content = data.partition(b"\n")
        files = dict(_FILES)
        if name == _ENTRIES.encode():
            files[_INDEX] = _table(content)
        else:
            files[_DATA if name == _DATA.encode() else _INDEX] = content
        for path, content in files.items():
            (folder / path).write_bytes(content)
        try:
            checkpoint_files.read(str(folder / _NAME))
        except ConfigError as error:
            assert _NAME in str(error) and len(str(error)) <= LONGEST, str(error)[:500]
            return type(error).__name__
        return "read"

    return run


READERS = {
    "checkpoint": Reader(_checkpoints, _prepare_checkpoint, IMAGE),
}
