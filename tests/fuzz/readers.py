"""Every reader of files of others, each with a corpus made here, the words of its format, and the errors that are documented of it.

A reader's `prepare` runs in a process of its own and returns a function from bytes to the name of what came out. Whatever else that function
raises than the project's own errors is a failure.
"""

from __future__ import annotations

import io
import json
import re
import struct
import warnings
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from mutate import Material

from detection.errors import ConfigError, DataError, DetectionError

ROOT = Path(__file__).resolve().parents[2]
_LONGEST = 12_000  # characters of a message
_BRACES = ((b"[", b"]"), (b'{"a":', b"}"), (b'{"', b'"}'))


class Reader(NamedTuple):
    """One reader."""

    material: Callable[[], Material]
    prepare: Callable[[Path], Callable[[bytes], str]]
    inputs: int  # of a full run


def _reading(
    name: str, read: Callable[[str], object], errors: tuple[type[DetectionError], ...] = (DataError,)
) -> Callable[[Path], Callable[[bytes], str]]:
    """A reader of one file: written to `name`, read, and every error must name it."""

    def prepare(folder: Path) -> Callable[[bytes], str]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)

        def run(data: bytes) -> str:
            path.write_bytes(data)
            try:
                read(str(path))
            except errors as error:
                if path.name not in str(error) or len(str(error)) > _LONGEST:
                    raise AssertionError(
                        f"an error that does not name its file, or is of {len(str(error))} characters: {str(error)[:500]}"
                    ) from error
                return type(error).__name__
            return "read"

        return run

    return prepare


# Configs, overrides and label maps.


def _configs() -> list[bytes]:
    """Without comments, which take longer to read than they are worth here."""
    return [re.sub(rb"(?m)^\s*#.*\n|^ +", b"", path.read_bytes()) for path in sorted((ROOT / "configs").glob("*.config"))] + [
        b"# a\nmodel { ssd { num_classes: 3 } }\n"
    ]


def _field_names() -> list[bytes]:
    words = {word for text in _configs() for word in text.replace(b"{", b" ").replace(b":", b" ").split() if word.isascii() and len(word) < 40}
    return [*sorted(words), b"{", b"}", b":", b'"', b"<", b">", b"#", b"[", b"]", b"\n", b"model { ssd { } }", b"\\377", b"'"]


def _check(path: str) -> None:
    from detection import config

    config.check(config.load(path), path, check_paths=False)


def _binary_configs() -> Material:
    from detection import config

    messages = [config.load(path) for path in sorted((ROOT / "configs").glob("*.config"))]
    return Material([message.SerializeToString() for message in messages], [b"\n\x00", b"\x1a\x00", b"\xc2\x3e\x02\x08\x01", b"ssd_mobilenet_v1"])


def _overrides() -> Material:
    texts = ["train_config.num_steps=100", "model.ssd.num_classes=3", 'train_input_reader.label_map_path="a b"', "eval_config.batch_size=2"]
    texts += [
        "train_config.optimizer={adam_optimizer{}}",
        "model.ssd.anchor_generator.ssd_anchor_generator.scales=[0.1,0.2]",
        "eval_input_reader[0].shuffle=true",
    ]
    texts += ["train_config.data_augmentation_options={random_horizontal_flip{}}", "num_classes=4", "model.ssd.feature_extractor.type=x y"]
    tokens = [b".", b"=", b"[", b"]", b"{", b"}", b"[0]", b"[-1]", b"[99999999999]", b"+=", b'"', b" ", b"model", b"train_config", b"  " * 500]
    return Material([text.encode() for text in texts], [*tokens, *_field_names()[::5]], [(b"{", b"}"), (b"[", b"]"), (b"a.", b""), (b" ", b"")])


def _prepare_overrides(folder: Path) -> Callable[[bytes], str]:
    from detection import config

    message = config.load(ROOT / "configs" / "ssd_mobilenet_v1_050_synthetic.config")

    def run(data: bytes) -> str:
        try:
            config.override(message, [data.decode("utf-8", "surrogateescape")])
        except ConfigError as error:
            assert len(str(error)) <= _LONGEST, str(error)[:500]
            return "ConfigError"
        return "read"

    return run


def _label_maps() -> Material:
    items = b'item { id: 1 name: "cat" display_name: "Katze" }\nitem {\n  id: 2\n  name: \'dog\'\n}\n'
    more = b'item { name: "a" id: 3 keypoints { id: 1 label: "x" } } item { id: 90 name: "/m/0bt9lr" display_name: "Dog" }'
    tokens = [b"item", b"{", b"}", b"id:", b"name:", b"display_name:", b"keypoints", b"#", b"item { id: 0 name: 'background' }", b"\\u0041", b"\\xff"]
    return Material([items, more, items + more, b""], tokens, [(b"item {", b"}"), (b"{", b"}")])


def _load_label_map(path: str) -> None:
    from detection.config import label_map

    label_map.load(path)


# Images.


def _picture(kind: str, mode: str = "RGB", size: tuple[int, int] = (24, 17), **options: object) -> bytes:
    from PIL import Image

    pixels = np.random.default_rng(1).integers(0, 255, (size[1], size[0], 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, kind, **options)
    return stream.getvalue()


def _jpegs() -> Material:
    from PIL import Image

    exif = Image.Exif()
    exif[0x112] = 6
    corpus = [_picture("JPEG", exif=exif), _picture("JPEG", "L"), _picture("JPEG", "CMYK"), _picture("JPEG", progressive=True, quality=40)]
    corpus += [_picture("JPEG", size=(64, 64), restart_marker_blocks=1), _picture("JPEG", subsampling=0, comment=b"x" * 40)]
    markers = [
        b"\xff" + bytes([code]) for code in (0xC0, 0xC1, 0xC2, 0xC4, 0xD0, 0xD7, 0xD8, 0xD9, 0xDA, 0xDB, 0xDD, 0xE0, 0xE1, 0xEE, 0xFE, 0xFF, 0)
    ]
    return Material(corpus, [*markers, b"JFIF\0", b"Exif\0\0", b"Adobe", b"\0\x02", b"\xff\xff", b"\xff\xd9\xff\xd8"])


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _pngs() -> Material:
    corpus = [_picture("PNG"), _picture("PNG", "L"), _picture("PNG", "P"), _picture("PNG", "RGBA"), _picture("PNG", "1"), _picture("PNG", "I;16")]
    # The last is just allowed: decoding so much takes a second, so that it is a token, and not a part of every fourth input.
    sizes = ((1 << 30, 1), (30_000, 30_000), (0, 5), (2**31 - 1, 2**31 - 1), (9999, 9999))
    heads = [_chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)) for size in sizes]
    corpus += [b"\x89PNG\r\n\x1a\n" + head + _chunk(b"IDAT", zlib.compress(bytes(1000))) + _chunk(b"IEND", b"") for head in heads[:-1]]
    text = _chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(1 << 20)))
    tokens = [*heads, text, _chunk(b"tRNS", b"\0" * 3), _chunk(b"PLTE", bytes(9)), _chunk(b"IEND", b""), b"IDAT", b"iCCP", b"acTL", b"eXIf"]
    return Material([*corpus, corpus[0][:33] + text + corpus[0][33:]], tokens)


def _gifs() -> Material:
    from PIL import Image

    frames = [Image.new("P", (9, 7), color) for color in (1, 2, 3)]
    stream = io.BytesIO()
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    return Material([_picture("GIF"), stream.getvalue()], [b"GIF87a", b"GIF89a", b"!\xf9\x04", b"!\xff\x0b", b",", b";", b"\xff\xff\xff\xff"])


def _bmps() -> Material:
    return Material(
        [_picture("BMP"), _picture("BMP", "L"), _picture("BMP", "P"), _picture("BMP", "1")],
        [b"BM", b"\x28\0\0\0", b"\xff\xff\xff\x7f", b"\0\0\0\x80"],
    )


def _webps() -> Material:
    from PIL import features

    corpus = [_picture("WEBP"), _picture("WEBP", lossless=True), _picture("WEBP", "RGBA")] if features.check("webp") else [b"RIFF\x1a\0\0\0WEBPVP8L"]
    return Material(corpus, [b"RIFF", b"WEBP", b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"EXIF", b"\xff\xff\xff", b"\x9d\x01\x2a"])


def _prepare_image(folder: Path) -> Callable[[bytes], str]:
    """As detection decodes a file, and as conversion checks one: both must refuse by their own errors."""
    from detection.data.convert import images
    from detection.export import image_files

    path = folder / "picture"
    warnings.simplefilter("ignore")  # as commands set it

    def run(data: bytes) -> str:
        path.write_bytes(data)
        outcomes = []
        try:
            outcomes.append(f"read {image_files.read(path).ndim}")
        except DataError as error:
            assert "picture" in str(error), str(error)
            outcomes.append("DataError")
        try:
            images.check(data, "picture")
            outcomes.append("converted")
        except images.BadImage as error:
            outcomes.append(f"left out: {error.fault.kind}")
        return ", ".join(outcomes)

    return run


# Records.


def _example(**more: object) -> bytes:
    """A record of two boxes; `more` are floats of image/object/..."""
    import tensorflow as tf

    def floats(*values: float) -> tf.train.Feature:
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))

    def ints(*values: int) -> tf.train.Feature:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    def texts(*values: bytes) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))

    features = {
        "image/encoded": texts(_picture("JPEG", size=(16, 12))),
        "image/format": texts(b"jpeg"),
        "image/filename": texts(b"a.jpg"),
        "image/source_id": texts(b"7"),
        "image/height": ints(12),
        "image/width": ints(16),
        "image/object/bbox/ymin": floats(0.1, 0.0),
        "image/object/bbox/xmin": floats(0.2, 0.0),
        "image/object/bbox/ymax": floats(0.5, 1.0),
        "image/object/bbox/xmax": floats(0.6, 1.0),
        "image/object/class/label": ints(1, 2),
        "image/object/class/text": texts(b"cat", b"dog"),
        "image/object/is_crowd": ints(0, 1),
        "image/object/difficult": ints(0, 0),
        **{f"image/object/{key}": floats(*values) for key, values in more.items()},
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString(deterministic=True)


def _examples() -> Material:
    corpus = [_example(), _example(area=(1.0, 2.0)), _example(weight=(1.0, 0.5)), _example()[:-5]]
    keys = [b"bbox/ymin", b"bbox/xmin", b"bbox/ymax", b"bbox/xmax", b"class/text", b"class/label", b"is_crowd", b"difficult", b"area", b"weight"]
    tokens = [b"image/object/" + key for key in keys] + [b"image/encoded", b"image/height", b"image/width", b"image/source_id", b"image/filename"]
    return Material(
        corpus, [*tokens, b"\x12\x0a\x0a\x08", b"\x1a\x03\x0a\x01\x02", b"\x0a\x00", struct.pack("<4f", 2, float("nan"), -1, float("inf"))]
    )


def _prepare_validation(folder: Path) -> Callable[[bytes], str]:
    from detection.config.label_map import load
    from detection.data.record_check import Classes, check_record
    from detection.types import MAX_PIXELS

    (folder / "map.pbtxt").write_text('item { id: 1 name: "cat" }\nitem { id: 2 name: "dog" }\n')
    classes = Classes(load(folder / "map.pbtxt"))

    def run(data: bytes) -> str:
        checked = check_record("a.record", 3, data, classes, MAX_PIXELS)
        return "read" if not checked.faults else "left out" if checked.image is None else "faults"

    return run


def _prepare_training(folder: Path) -> Callable[[bytes], str]:
    import tensorflow as tf

    from detection.data import reading
    from detection.data.decode import Decoder
    from detection.data.input import InputOptions
    from detection.data.labels import LabelLookup
    from detection.data.remarks import Remarks
    from detection.data.sample import Record

    decoder = Decoder(LabelLookup((("cat", 1), ("dog", 2)), (1, 2), 2), Remarks(), "map.pbtxt")
    path = folder / "a.record"

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
    def decode(serialized: tf.Tensor) -> tf.Tensor:
        sample, _ = decoder(Record(tf.constant(str(path)), tf.constant(3, tf.int64), serialized))
        return tf.shape(sample.boxes)[0]

    def run(data: bytes) -> str:
        try:
            decode(tf.constant(data))
        except (tf.errors.OpError, UnicodeDecodeError) as error:
            known = reading.translate(error)
            if known is None and isinstance(error, reading._DATA_FAULTS) and zlib.crc32(data) % 50:
                return "DataError, not looked for"
            if known is None:  # Only the file says which record it is, and looking for it takes fifty times as long.
                path.write_bytes(_framed([data]))
                known = reading.translate(error, InputOptions(paths=(str(path),)))
            if known is None:
                raise
            assert "a.record" in str(known), str(known)
            return type(known).__name__
        return "read"

    return run


def _framed(records: Sequence[bytes]) -> bytes:
    """A record file."""
    parts = []
    for record in records:
        length = struct.pack("<Q", len(record))
        parts += [length, _masked(length), record, _masked(record)]
    return b"".join(parts)


def _crc_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _crc_table()


def _masked(data: bytes) -> bytes:
    """The checksum of a record file: CRC-32C, rotated, plus a constant."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _record_files() -> Material:
    import gzip

    small = [b"\n\x00", b"", b"abc" * 30]
    corpus = [_framed(small), _framed([_example()]), _framed(small[:1] * 20), gzip.compress(_framed(small), mtime=0)]
    return Material(corpus, [_framed([b""]), _framed(small[:1]), struct.pack("<Q", 2**63), struct.pack("<Q", 2**62), _framed([b""])[:12]])


def _prepare_records(folder: Path) -> Callable[[bytes], str]:
    """The checks before a training, its reading, and, of some inputs, the search for what is wrong, which takes thirty times as long."""
    import tensorflow as tf

    from detection.data import shards

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
    def count(path: tf.Tensor) -> tf.Tensor:
        return tf.data.TFRecordDataset(path).reduce(tf.constant(0, tf.int64), lambda number, record: number + 1)

    def read(path: str) -> None:
        (found,) = shards.list_shards([path], "input_path")
        shards.count_records(found)
        try:
            count(tf.constant(found))
        except (tf.errors.DataLossError, tf.errors.OutOfRangeError, tf.errors.InvalidArgumentError) as error:
            known = shards.find_corruption([found]) if zlib.crc32(Path(path).read_bytes()) % 50 == 0 else DataError(f"{path}: {error.message}")
            raise known from error

    return _reading("a.record", read)(folder)


# Data sets of others.


def _voc() -> Material:
    box = b"<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>12</xmax><ymax>15.5</ymax></bndbox>"
    thing = b"<object><name>cat</name><pose>Left</pose><truncated>0</truncated><difficult>1</difficult>" + box + b"</object>"
    whole = b"<annotation><folder>x</folder><filename>a.jpg</filename><size><width>24</width><height>17</height><depth>3</depth></size>" + thing
    corpus = [whole + thing + b"</annotation>", b'<?xml version="1.0" encoding="utf-8"?>\n' + whole + b"</annotation>"]
    tokens = [b"<object>", b"</object>", b"<name>", b"</name>", b"<bndbox>", b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"&b;", b"<![CDATA[", b"]]>", b"&#0;"]
    tokens += [
        b'<?xml version="1.0" encoding="utf-16"?>',
        b'<?xml version="1.0" encoding="nope"?>',
        b"<!--",
        b"-->",
        b"xmlns:a='b'",
        b"../../a",
        b"C:\\a.jpg",
        thing,
    ]
    return Material(corpus, tokens, [(b"<object>", b"</object>"), (b"<a>", b"</a>"), (b"<name>", b"</name>")])


def _prepare_converter(annotated: Callable[[Path, bytes], object]) -> Callable[[Path], Callable[[bytes], str]]:
    """Reading the annotations; of some inputs also the whole conversion, which takes fifty times as long."""

    def prepare(folder: Path) -> Callable[[bytes], str]:
        from detection.data.convert import run as converter

        pictures = folder / "images"
        pictures.mkdir()
        for name in ("a.jpg", "b.png"):
            (pictures / name).write_bytes(_picture("JPEG" if name.endswith("jpg") else "PNG"))

        def run(data: bytes) -> str:
            try:
                found = annotated(folder, data)
                if zlib.crc32(data) % 50 == 0:
                    converter.convert(found, converter.Options(output=str(folder / "out" / "x.record"), overwrite=True, workers=1))
                    return "converted"
                images = list(found.images)
            except (DataError, ConfigError) as error:
                return type(error).__name__
            return "faults" if any(image.faults for image in images) else "read"

        return run

    return prepare


def _annotated_voc(folder: Path, data: bytes) -> object:
    from detection.data.convert import voc
    from detection.data.convert.source import Source

    (folder / "annotations").mkdir(exist_ok=True)
    (folder / "annotations" / "a.xml").write_bytes(data)
    return voc.read(Source(image_dir=str(folder / "images"), annotations=str(folder / "annotations")))


def _coco() -> Material:
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 10, 12], "area": 120, "iscrowd": 0, "segmentation": [[1, 2, 11, 2, 11, 14]]}
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 24, "height": 17}, {"id": "2", "file_name": "b.png", "width": 24, "height": 17}],
        "categories": [{"id": 1, "name": "cat", "supercategory": "animal"}, {"id": 90, "name": "dog"}],
        "annotations": [box, {**box, "id": 2, "image_id": "2", "category_id": 90, "iscrowd": 1}],
    }
    keys = [
        json.dumps(key).encode() for key in ("images", "annotations", "categories", "bbox", "id", "image_id", "file_name", "segmentation", "area")
    ]
    tokens = [
        *keys,
        b"null",
        b"true",
        b'"\\ud800"',
        b'"../../etc/passwd"',
        b'"/etc/passwd"',
        b'"' + b"x" * 300 + b'.jpg"',
        b"[[[]]]",
        b"{}",
        b",",
        b'"a\\u0000"',
    ]
    return Material([json.dumps(content).encode(), json.dumps(content, indent=1).encode()], tokens, _BRACES)


def _annotated_coco(folder: Path, data: bytes) -> object:
    from detection.data.convert import coco
    from detection.data.convert.source import Source

    (folder / "coco.json").write_bytes(data)
    return coco.read(Source(image_dir=str(folder / "images"), annotations=str(folder / "coco.json")))


# Proposals and detections.


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
    from detection.data import proposal_files

    found = proposal_files.read(path)
    proposal_files.index([found])
    for number in range(min(len(found.ids), 20)):
        found.of(number)


def _mats() -> Material:
    def element(kind: int, data: bytes) -> bytes:
        return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)

    def matrix(kind: int, shape: tuple[int, int], name: bytes, *parts: bytes) -> bytes:
        return element(14, element(6, struct.pack("<II", kind, 0)) + element(5, struct.pack("<ii", *shape)) + element(1, name) + b"".join(parts))

    names = [matrix(4, (1, 1), b"", element(4, b"a\0")), matrix(4, (1, 2), b"", element(16, b"bc"))]
    boxes = [matrix(6, (1, 4), b"", element(9, struct.pack("<4d", 1, 2, 3, 4))), matrix(9, (2, 4), b"", element(2, bytes(range(1, 9))))]
    variables = [matrix(1, (1, 2), b"images", *names), matrix(1, (2, 1), b"boxes", *boxes), matrix(6, (1, 1), b"other", element(2, b"\x05"))]
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
    entries = [{"image_id": 7, "bbox": [1, 2, 3.5, 4], "score": 0.5}, {"image_id": "b.jpg", "bbox": [0, 0, 1, 1], "score": 1, "category_id": 1}]
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
    return Material([json.dumps(entries).encode(), json.dumps(lists).encode(), json.dumps(entries, indent=1).encode("utf-16")], tokens, _BRACES)


def _json_detections() -> Material:
    entries = [{"image_id": number, "category_id": number + 1, "bbox": [1, 2, 3.5, 4], "score": 0.5} for number in (1, 7)]
    return _json_proposals()._replace(
        corpus=[json.dumps([*entries, {**entries[0], "image_id": "b.jpg"}]).encode(), json.dumps(entries, indent=1).encode()]
    )


def _read_detections(path: str) -> None:
    from detection.evaluate import stored

    found = stored.read(path)
    for number in range(min(len(found.ids), 20)):
        found.of(number)


def _stored_detections() -> Material:
    categories = {"category_ids": np.array([1, 2]), "category_names": np.array(["a", "b"]), "notes": np.array('{"a": 1}')}
    return _npz_material(**_ARRAYS, classes=np.array([0, 1, 1], np.int32), **categories)


# What sweeps and trainings leave.


def _rows() -> Material:
    times = {part: {"median": 5.0, "low": 4.5, "high": 6.0} for part in ("end_to_end", "preprocess", "first_stage")} | {"second_stage": None}
    timed = {
        "device": "a CPU",
        "milliseconds": times,
        "host_mib": 800.5,
        "gflops": 2.5,
        "parameters": 5000,
        "batch": 1,
        "images": 20,
        "tensorflow": "2.21.0",
    }
    row = {"id": "ssd-a-300", "key": "k1", "status": "done", "reason": "", "config": "configs/a.config", "command": "model_main.py --x=1"}
    row |= {
        "meta_architecture": "ssd",
        "feature_extractor": "resnet50",
        "resolution": 300,
        "stride": 0,
        "proposals": None,
        "axes": {"extractor": "resnet50"},
    }
    row |= {
        "train": {"steps": 5, "seconds": 1.5, "weights_of": None, "model_dir": "models/a"},
        "metrics": {"DetectionBoxes_Precision/mAP": 0.5, "Loss/x": 1.5},
    }
    row |= {"benchmark": timed, "images_evaluated": 72, "exporting": {"seconds": 1}}
    other = {**row, "id": "b", "key": "k2", "meta_architecture": "faster_rcnn", "feature_extractor": "inception_v2", "proposals": 50, "stride": 16}
    failed = {**row, "id": "c", "key": "k3", "status": "failed", "reason": "out of memory", "benchmark": None, "metrics": {}, "train": None}
    lines = [json.dumps(one).encode() for one in (row, other, failed)]
    tokens = [json.dumps(name).encode() for name in (*row, *timed, "end_to_end", "median")]
    tokens += [
        b"null",
        b"NaN",
        b"[]",
        b"{}",
        b"\n",
        b'"/etc/passwd"',
        b'"../x"',
        b'"</script><script>"',
        b'"\\u001b[2J"',
        b'"\\ud800"',
        b'"$\\\\frac{a}"',
    ]
    return Material([b"\n".join(lines) + b"\n", lines[0], b"\n".join(lines[::-1])], tokens, _BRACES)


def _read_rows(path: str) -> None:
    """Rows, the page and the tables of them."""
    from detection.sweep import config_texts, page, report, results

    rows = results.read(path)
    rows = config_texts.with_widths(rows, config_texts.read(rows, [path]))
    text = page.page(rows, {}, "fuzz")
    assert text.count("<script") == text.count("</script>") == 2, "a row got out of its script element"
    for table in (report.frontier_table, report.relations_table, report.savings_table, report.shares_table, report.times_table):
        table(rows)
    for row in rows:
        results.Row.from_json(row.to_json())


def _benchmarks() -> Material:
    times = {"median": 5.0, "low": 4.5, "high": 6.0, "mean": 5.0, "std": 0.5}
    parts = {part: times for part in ("end_to_end", "preprocess", "first_stage", "postprocess", "network")} | {"second_stage": None}
    row = {"saved_model": "", "config": "a.config", "checkpoint": None, "overrides": ["a.b=1"], "batch": 1, "size": 300, "images": 20}
    row |= {"distinct_images": 1, "noise": True, "warmup": 3, "input": "uint8 [1]", "network_input": [1, 300, 300, 3], "proposals_given": None}
    row |= {"milliseconds": parts, "outside_network": 0.1, "images_per_second": 200.0, "parameters": 5000, "gflops": 2.5, "not_counted": "crops"}
    row |= {"host_mib": 500.5, "model_host_mib": 100.0, "held_host_mib": 300.0, "device_mib": None, "file_mib": 12.5, "device": "a CPU", "cpus": 2}
    row |= {"load_average": 0.5, "tensorflow": "2.21.0", "precision": "float32", "detections": 20.0}
    line = json.dumps(row).encode()
    return Material([line + b"\n", line + b"\n" + line], [json.dumps(name).encode() for name in row] + [b"null", b"NaN", b"[]", b"{}"], _BRACES)


def _read_benchmarks(path: str) -> None:
    from detection.benchmark import report

    rows = report.read(path)
    if rows:
        report.text(rows)


def _metrics() -> Material:
    lines = [json.dumps({"step": step, "metrics": {"a": 0.5, "Loss/x": None}}).encode() for step in (1, 20, 300)]
    return Material([b"\n".join(lines) + b"\n"], [b'"step"', b'"metrics"', b"null", b"NaN", b"[]", b"{}", b"\n"], _BRACES)


def _read_metrics(path: str) -> None:
    from detection.evaluate import results

    folder = Path(path).parents[1]
    for entry in results.read_history(folder):
        json.dumps(entry, allow_nan=False)
    if zlib.crc32(Path(path).read_bytes()) % 50 == 0:
        results.write_metrics(folder, 5, {"a": 1.0})
        for copy in Path(path).parent.glob("*.damaged*"):
            copy.unlink()


def _manifests() -> Material:
    content = {"version": 1, "records": 3, "boxes": 2, "classes": [{"id": 1, "name": "cat", "boxes": 2}]}
    content["shards"] = [{"name": "x.record-00000-of-00001", "records": 3, "bytes": 20, "sha256": "ab"}]
    keys = [b'"shards"', b'"name"', b'"records"', b'"sha256"', b'"../x"', b'"/etc/passwd"', b"null", b"[]", b"{}"]
    return Material([json.dumps(content).encode()], keys, _BRACES)


def _read_manifest(path: str) -> None:
    from detection.data import records

    records.read_manifest(path.removesuffix(".manifest.json") + "-00000-of-00001")


# SavedModels.


def make_saved_model(folder: Path) -> None:
    """The smallest with a detector's signature. Runs TensorFlow: call it in a process of its own."""
    import tensorflow as tf

    from detection.config import label_map

    class Detector(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = tf.Variable([1.0, 2.0])

        @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="input_tensor")])
        def serve(self, input_tensor: tf.Tensor) -> dict[str, tf.Tensor]:
            count = tf.shape(input_tensor)[0]
            ones = tf.ones([count, 2]) * self.scale
            boxes = tf.tile(tf.reshape(tf.stack([ones, ones, ones, ones], axis=2), [count, 2, 4]), [1, 1, 1])
            return {"detection_boxes": boxes, "detection_scores": ones, "detection_classes": ones, "num_detections": tf.fill([count], 2.0)}

    made = Detector()
    tf.saved_model.save(made, str(folder), signatures={"serving_default": made.serve})
    (folder / "assets").mkdir(exist_ok=True)
    label_map.save(folder / "assets" / "label_map.pbtxt", ["cat", "dog"])


def _saved_models() -> Material:
    import multiprocessing
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        process = multiprocessing.get_context("fork").Process(target=make_saved_model, args=(Path(folder),))
        process.start()
        process.join()
        if process.exitcode:
            raise RuntimeError("the SavedModel of the corpus could not be made")
        files = {str(path.relative_to(folder)): path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()}
    names = [name for name in files if name != "fingerprint.pb"]
    corpus = [name.encode() + b"\n" + files[name] for name in names] + [b"saved_model.pb\n" + files["saved_model.pb"]] * 2
    tokens = [
        b"serving_default",
        b"detection_boxes",
        b"num_detections",
        b"Identity",
        b"StatefulPartitionedCall",
        b"ReadVariableOp",
        b"Const",
        b"dtype",
    ]
    return Material([b"ALL\n" + json.dumps({name: data.hex() for name, data in files.items()}).encode(), *corpus], tokens)


def _prepare_saved_model(folder: Path) -> Callable[[bytes], str]:
    from detection.export.predictor import Predictor

    whole = json.loads(_SAVED_MODEL[0].partition(b"\n")[2])
    files = {name: bytes.fromhex(text) for name, text in whole.items()}
    target = folder / "exported" / "saved_model"
    picture = np.zeros([8, 8, 3], np.uint8)

    def run(data: bytes) -> str:
        name, _, content = data.partition(b"\n")
        damaged = name.decode("latin-1") if name.decode("latin-1") in files else "saved_model.pb"
        for path, original in files.items():
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            (target / path).write_bytes(content if path == damaged else original)
        try:
            Predictor.load(target).detect(picture)
        except (ConfigError, DataError) as error:
            assert len(str(error)) <= _LONGEST, str(error)[:500]
            return type(error).__name__
        return "read"

    return run


_SAVED_MODEL: list[bytes] = []


def _saved_model_material() -> Material:
    material = _saved_models()
    _SAVED_MODEL[:] = material.corpus[:1]
    return material._replace(corpus=material.corpus[1:])


_TEXT, _IMAGE = 100_000, 10_000
READERS: dict[str, Reader] = {
    "config_text": Reader(
        lambda: Material(_configs(), _field_names(), [(b"model {", b"}"), (b"{", b"}"), (b"<", b">")]),
        _reading("a.config", _check, (ConfigError,)),
        _TEXT,
    ),
    "config_binary": Reader(_binary_configs, _reading("a.config", _check, (ConfigError,)), _TEXT),
    "overrides": Reader(_overrides, _prepare_overrides, _TEXT),
    "label_map": Reader(_label_maps, _reading("map.pbtxt", _load_label_map, (DataError, ConfigError)), _TEXT),
    "example_validation": Reader(_examples, _prepare_validation, _TEXT),
    "example_training": Reader(_examples, _prepare_training, _TEXT),
    # Where one is damaged, TensorFlow makes a pipeline to find the place, which takes as long as decoding many images.
    "record_file": Reader(_record_files, _prepare_records, _IMAGE),
    "voc": Reader(_voc, _prepare_converter(_annotated_voc), _TEXT),
    "coco": Reader(_coco, _prepare_converter(_annotated_coco), _TEXT),
    "proposals_npz": Reader(lambda: _npz_material(**_ARRAYS), _reading("p.npz", _read_proposals), _TEXT),
    "proposals_mat": Reader(_mats, _reading("p.mat", _read_proposals), _TEXT),
    "proposals_json": Reader(_json_proposals, _reading("p.json", _read_proposals), _TEXT),
    "detections_npz": Reader(_stored_detections, _reading("d.npz", _read_detections), _TEXT),
    "detections_json": Reader(_json_detections, _reading("d.json", _read_detections), _TEXT),
    "results_jsonl": Reader(_rows, _reading("results.jsonl", _read_rows), _TEXT),
    "benchmark_jsonl": Reader(_benchmarks, _reading("rows.jsonl", _read_benchmarks), _TEXT),
    "metrics_jsonl": Reader(_metrics, _reading("eval/metrics.jsonl", _read_metrics), _TEXT),
    "manifest": Reader(_manifests, _reading("x.record.manifest.json", _read_manifest), _TEXT),
    "jpeg": Reader(_jpegs, _prepare_image, _IMAGE),
    "png": Reader(_pngs, _prepare_image, _IMAGE),
    "gif": Reader(_gifs, _prepare_image, _IMAGE),
    "bmp": Reader(_bmps, _prepare_image, _IMAGE),
    "webp": Reader(_webps, _prepare_image, _IMAGE),
    "saved_model": Reader(_saved_model_material, _prepare_saved_model, _IMAGE),
}
