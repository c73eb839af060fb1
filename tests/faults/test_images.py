"""Image files of every unpleasant kind: in conversion by file name and policy, in records by shard and record, in
detection by path."""

from __future__ import annotations

import ast
import io
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import detection
from detection.data.reading.corrections import Corrections
from detection.data.reading.decode import Decoder
from detection.data.reading.labels import LabelLookup
from detection.data.sample import Record
from detection.errors import DataError
from detection.export import image_files

WIDTH, HEIGHT = 40, 60


def pixels(width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """uint8 [height, width, 3] of coarse random colours."""
    blocks = np.random.default_rng(0).integers(0, 255, (-(-height // 10), -(-width // 10), 3)).astype(np.uint8)
    return np.kron(blocks, np.ones((10, 10, 1), np.uint8))[:height, :width]


def save(kind: str, mode: str = "RGB", image: Image.Image | None = None, **options: object) -> bytes:
    stream = io.BytesIO()
    (image or Image.fromarray(pixels())).convert(mode).save(stream, kind, **options)
    return stream.getvalue()


def lying_png(side: int) -> bytes:
    """A PNG whose header states another width than its data have."""
    data = bytearray(save("PNG"))
    data[16:20] = struct.pack(">I", side)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    return bytes(data)


def exif(orientation: int) -> Image.Exif:
    made = Image.Exif()
    made[0x0112] = orientation
    return made


JPEG = save("JPEG", quality=95)
# Row -> bytes of a file called bad.jpg, and what every message about it must show.
UNUSABLE = {
    "1-cut at 60 percent": (JPEG[: len(JPEG) * 6 // 10], ()),
    "2-last two bytes missing": (JPEG[:-2], ()),
    "3-empty": (b"", ("empty",)),
    "4-text": (b"hello, this is no image at all", ()),
    "4-html": (b"<!DOCTYPE html><html>404</html>", ()),
    "15-lying header": (lying_png(2**30), ()),
}


def voc(folder: Path, data: bytes, name: str = "bad.jpg") -> Path:
    """A VOC folder of two good images and one file with these bytes."""
    root = folder / "voc"
    (root / "JPEGImages").mkdir(parents=True)
    (root / "Annotations").mkdir()
    for file, content in {"good.jpg": JPEG, "other.jpg": JPEG, name: data}.items():
        (root / "JPEGImages" / file).write_bytes(content)
        box = "<bndbox><xmin>5</xmin><ymin>5</ymin><xmax>20</xmax><ymax>30</ymax></bndbox>"
        text = f"<annotation><filename>{file}</filename><object><name>cat</name>{box}</object></annotation>"
        (root / "Annotations" / file).with_suffix(".xml").write_text(text)
    return root


@pytest.mark.parametrize("case", UNUSABLE)
def test_conversion_skips_and_counts_or_refuses(command, tmp_path, holds, case):
    data, parts = UNUSABLE[case]
    root, output = voc(tmp_path, data), tmp_path / "out" / "all.record"
    done = command("create_tf_record.py", f"--voc_dir={root}", f"--output={output}", "--on_bad=fail")
    assert done.code == 3 and not list((tmp_path / "out").glob("*.record-*"))
    holds(done.error, root / "JPEGImages" / "bad.jpg", "--on_bad=skip", *parts)
    done = command("create_tf_record.py", f"--voc_dir={root}", f"--output={output}")
    assert done.code == 0, done.err
    holds(done.out, "bad.jpg", "2 images", "left out: 1 of 3 images", *parts)
    saved = json.loads((tmp_path / "out" / "all.record.report.json").read_text())
    assert saved["images"]["found"] == 3 and saved["images"]["written"] == 2


def test_a_jpeg_without_its_last_bytes_is_repaired_on_request_only(command, tmp_path, holds):
    """Row 2."""
    root = voc(tmp_path, save("JPEG", image=Image.fromarray(pixels(400, 600)))[:-2])
    done = command(
        "create_tf_record.py", f"--voc_dir={root}", f"--output={tmp_path / 'out' / 'a.record'}", "--on_bad=fix"
    )
    assert done.code == 0
    holds(done.out, "3 images", "bad.jpg", "repaired")


# Row -> bytes of a file that is taken, and the note that says what training sees of it.
TAKEN = {
    "5-cmyk": (save("JPEG", "CMYK", quality=95), "CMYK images"),
    "6-grey": (save("JPEG", "L"), ""),
    "7-16 bits": (
        save("PNG", image=Image.fromarray(np.full((HEIGHT, WIDTH), 40000, np.uint16)), mode="I;16"),
        "16 bits",
    ),
    "8-transparent": (save("PNG", "RGBA"), "transparency"),
    "8-palette": (save("PNG", "P"), ""),
    "9-rotated": (save("JPEG", exif=exif(3)), "EXIF"),
    "11-animated": (save("GIF", save_all=True, append_images=[Image.new("RGB", (WIDTH, HEIGHT))]), "first frame"),
    "12-tiff": (save("TIFF"), "stored as PNG"),
    "12-avif": (save("AVIF"), "stored as PNG"),
    "13-one pixel": (save("PNG", image=Image.new("RGB", (1, 1), (200, 100, 50))), ""),
}


@pytest.mark.parametrize("case", TAKEN)
def test_conversion_takes_it_and_says_what_is_peculiar(command, tmp_path, holds, case):
    data, note = TAKEN[case]
    root, output = voc(tmp_path, data), tmp_path / "out" / "all.record"
    done = command("create_tf_record.py", f"--voc_dir={root}", f"--output={output}")
    assert done.code == 0, done.err
    holds(done.out, "3 images", *(["bad.jpg", note] if note else []))


@pytest.fixture(scope="module")
def decode() -> Callable[[bytes], np.ndarray]:
    """decode(record) -> what training sees of its image, all through one graph."""
    decoder = Decoder(LabelLookup((), (), 3), Corrections(), "model.ssd.num_classes")

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([], tf.string)])
    def run(serialized):
        return decoder(Record(tf.constant("a.record"), tf.constant(0, tf.int64), serialized))[0].image

    return lambda record: run(record).numpy()


def record(example: Callable[..., bytes], data: bytes) -> bytes:
    return example(image__encoded=data, image__height=None, image__width=None)


def test_training_sees_three_channels_of_the_stored_pixels(decode, example):
    """Rows 5 to 11: no rotation, no transparency, the upper 8 bits, the first frame."""
    seen = {case: decode(record(example, data)) for case, (data, _) in TAKEN.items() if not case.startswith("12")}
    seen["10-webp"] = decode(record(example, save("WEBP", lossless=True)))
    assert {case: image.shape for case, image in seen.items()} == {
        case: (1, 1, 3) if case.startswith("13") else (HEIGHT, WIDTH, 3) for case in seen
    }
    with Image.open(io.BytesIO(TAKEN["5-cmyk"][0])) as image:
        expected = np.asarray(image.convert("RGB"), int)
    assert np.abs(seen["5-cmyk"] - expected).mean() < 3
    assert (seen["7-16 bits"] == 40000 >> 8).all()
    for case in ("8-transparent", "10-webp"):
        np.testing.assert_array_equal(seen[case], pixels())
    np.testing.assert_array_equal(seen["9-rotated"], decode(record(example, save("JPEG"))))
    assert np.abs(seen["11-animated"].astype(int) - pixels()).mean() < 30, "not the first frame"


def test_every_image_is_decoded_to_three_dimensions():
    """Row 10: decode_jpeg makes four dimensions of a WebP file, decode_image does of an animation unless it is told not
    to."""
    calls = []
    for path in Path(detection.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr.startswith("decode_")
            ):
                calls.append(
                    (
                        f"{path.name}:{node.lineno}",
                        node.func.attr,
                        {word.arg: ast.unparse(word.value) for word in node.keywords},
                    )
                )
    decoded = [(where, words) for where, name, words in calls if name == "decode_image"]
    assert decoded and all(words.get("expand_animations") == "False" for _, words in decoded), decoded
    others = [
        (where, name)
        for where, name, words in calls
        if name in ("decode_png", "decode_gif", "decode_webp", "decode_bmp")
    ]
    assert not others, others
    jpegs = {where.split(":")[0] for where, name, _ in calls if name == "decode_jpeg"}
    assert jpegs <= {"scale.py"}, jpegs  # the augmentation, which decodes what it has just encoded


def bomb() -> bytes:
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 50_000, 50_000) + b"\x08\x02\0\0\0"


def test_a_decompression_bomb_is_refused_by_its_header(command, tmp_path, decode, example, holds):
    """Row 14: by conversion, validation, training, and detection."""
    root = voc(tmp_path, JPEG)
    large = save("PNG", image=Image.new("RGB", (200, 100)))
    (root / "JPEGImages" / "bad.jpg").write_bytes(large)
    arguments = (
        f"--voc_dir={root}",
        f"--output={tmp_path / 'out' / 'a.record'}",
        "--on_bad=fail",
        "--max_image_pixels=19999",
    )
    done = command("create_tf_record.py", *arguments)
    assert done.code == 3
    holds(done.error, "bad.jpg", "200x100 pixels, more than 19999", "--max_image_pixels")
    shard = tmp_path / "data.record"
    with tf.io.TFRecordWriter(str(shard)) as writer:
        writer.write(record(example, large))
    done = command("validate_records.py", f"--input_path={shard}", "--max_image_pixels=19999")
    assert done.code == 3
    holds(done.error, shard, "record 0 (7), image/encoded", "200x100", "19999")
    with pytest.raises(tf.errors.InvalidArgumentError, match="2500000000 pixels by its header"):
        decode(record(example, bomb()))
    path = tmp_path / "large.png"
    path.write_bytes(large)
    with pytest.raises(DataError) as raised:
        image_files.read(path, 19_999)
    assert raised.value.exit_code == 3
    holds(str(raised.value), path, "20,000 pixels, more than the 19,999", "--max_image_pixels")


@pytest.mark.parametrize("case", [*UNUSABLE, "12-tiff"])
def test_detection_names_the_file(tmp_path, holds, case):
    data, parts = UNUSABLE[case] if case in UNUSABLE else (TAKEN[case][0], ("is TIFF; use JPEG, PNG",))
    path = tmp_path / "bad.jpg"
    path.write_bytes(data)
    with pytest.raises(DataError) as raised:
        image_files.read(path)
    assert raised.value.exit_code == 3
    holds(str(raised.value), path, "; ", *parts)


@pytest.mark.parametrize("case", [*UNUSABLE, "12-tiff"])
def test_validation_names_shard_record_and_field(command, tmp_path, example, holds, case):
    data = UNUSABLE[case][0] if case in UNUSABLE else TAKEN[case][0]
    shard = tmp_path / "data.record"
    with tf.io.TFRecordWriter(str(shard)) as writer:
        for number, content in enumerate((JPEG, data)):
            writer.write(
                example(image__encoded=content, image__height=HEIGHT, image__width=WIDTH, image__source_id=str(number))
            )
    done = command("validate_records.py", f"--input_path={shard}")
    assert done.code == 3
    holds(done.error, shard, "record 1", "image/encoded")
