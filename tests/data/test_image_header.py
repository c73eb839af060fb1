"""Headers: the two readers (Python's and the graph's) say what the decoder will do, and refuse what would cost too much
before it is decoded."""

from __future__ import annotations

import io
import random
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from detection.data import image_decode, image_header
from detection.data.image_decode import UndecodableImage

WIDTH, HEIGHT = 40, 24


def save(image: Image.Image, kind: str, **settings) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **settings)
    return stream.getvalue()


def noise(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


FRAMES = [Image.new("L", (20 + number, 30), 20 * number) for number in range(3)]
IMAGES = {
    "JPEG": save(noise(), "JPEG"),
    "grey JPEG": save(noise().convert("L"), "JPEG"),
    "CMYK JPEG": save(noise().convert("CMYK"), "JPEG"),
    "progressive JPEG": save(noise(), "JPEG", progressive=True),
    "JPEG with restart markers": save(noise(), "JPEG", restart_marker_blocks=1),
    "JPEG with EXIF and a comment": save(
        noise(), "JPEG", exif=b"Exif\0\0" + b"\xff\xc0\0\x11\x08\xff\xff\xff\xff\x03" * 3, comment=b"\xff\xda"
    ),
    "PNG": save(noise(), "PNG"),
    "PNG of 16 bits": save(Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint16)), "PNG"),
    "BMP": save(noise(), "BMP"),
    "GIF": save(noise(), "GIF"),
    "animated GIF": save(FRAMES[0], "GIF", save_all=True, append_images=FRAMES[1:]),
    "WebP": save(noise(), "WEBP"),
    "lossless WebP": save(noise(), "WEBP", lossless=True),
    "extended WebP": save(noise().convert("RGBA"), "WEBP", exif=b"Exif\0\0abc"),
}
measured = tf.function(image_header.measure, input_signature=[tf.TensorSpec([], tf.string)])


def in_graph(data: bytes) -> tuple[float, float] | None:
    """(pixels, effort) as the graph has it; None where it fails."""
    try:
        return tuple(float(number) for number in measured(tf.constant(data)))
    except tf.errors.InvalidArgumentError:
        return None


def in_python(data: bytes) -> tuple[float, float]:
    header = image_header.read(data)
    return (header.pixels, header.effort) if header else (0.0, 0.0)


def jpeg_of(width: int, height: int, data: bytes = IMAGES["JPEG"]) -> bytes:
    """A JPEG whose frame header states another size."""
    place = max(data.find(b"\xff\xc0\0"), data.find(b"\xff\xc2\0"))
    return data[: place + 5] + struct.pack(">HH", height, width) + data[place + 9 :]


@pytest.mark.parametrize("name", IMAGES)
def test_both_readers_say_the_size_that_is_decoded(name):
    data = IMAGES[name]
    header = image_header.read(data)
    assert tf.io.decode_image(data, channels=3, expand_animations=False).shape == (header.height, header.width, 3)
    assert header.kind == image_header.kind_of(data) in name and in_graph(data) == (header.pixels, header.effort)
    assert header.pixels >= header.width * header.height and image_header.refusal(header) is None


# What libjpeg reads though it is odd; a reader that gives up at it, or finds another frame header, would let a bomb
# pass.
BODY = IMAGES["JPEG"][20:]  # behind SOI and the 18 bytes of APP0
ODD = {
    "APP0 of length 0": b"\xff\xd8\xff\xe0\0\0" + BODY,
    "APP0 of length 1": b"\xff\xd8\xff\xe0\0\1" + BODY,
    "APP0 without contents": b"\xff\xd8\xff\xe0\0\2" + BODY,
    "APP0 cut short": b"\xff\xd8\xff\xe0\0\7JFIF\0" + BODY,
    "APP0 without a name": b"\xff\xd8\xff\xe0\0\4ab" + BODY,
    "APP14 of length 1": b"\xff\xd8\xff\xee\0\1" + BODY,
    "no APP0": b"\xff\xd8" + BODY,
    "fill bytes": b"\xff\xd8" + b"\xff" * 50 + BODY,
    "rubbish between segments": b"\xff\xd8\xff\xe0\0\2rubbish\0\xff\0more" + BODY,
    "markers without a length": b"\xff\xd8\xff\x01\xff\xd3" + BODY,
    "another frame header inside a comment": (
        b"\xff\xd8\xff\xfe\0\x15\xff\xc0\0\x11\x08\0\x01\0\x01\x03" + b"\0" * 9 + BODY
    ),
    "a frame header inside EXIF": b"\xff\xd8\xff\xe1\0\x15\xff\xc0\0\x11\x08\xff\xff\xff\xff\x03" + b"\0" * 9 + BODY,
    "number of lines defined before": b"\xff\xd8\xff\xdc\0\4\0\1" + BODY,
}


@pytest.mark.parametrize("name", ODD)
def test_odd_jpegs_are_read_as_the_decoder_reads_them(name):
    assert image_header.read(ODD[name])[1:3] == (WIDTH, HEIGHT) and in_graph(ODD[name])[0] == WIDTH * HEIGHT
    assert image_decode.decode(ODD[name]).shape == (HEIGHT, WIDTH, 3)
    bomb = (
        jpeg_of(20_000, 20_000, ODD[name])
        if "inside" not in name
        else b"\xff\xd8" + ODD[name][2 : -len(BODY)] + jpeg_of(20_000, 20_000)[20:]
    )
    with pytest.raises(UndecodableImage, match="20000x20000") as caught:
        image_decode.decode(bomb)
    assert caught.value.too_large and in_graph(bomb)[0] == 4e8


UNCERTAIN = {
    "height 0, which a later segment would define": jpeg_of(WIDTH, 0),
    "width 0": jpeg_of(0, HEIGHT),
    "scan before the frame": b"\xff\xd8" + IMAGES["JPEG"][IMAGES["JPEG"].find(b"\xff\xda") :],
    "nothing but the start": b"\xff\xd8\xff",
    "end before the frame": b"\xff\xd8\xff\xd9" + BODY,
    "a second start": b"\xff\xd8\xff\xd8" + BODY,
    "frame header cut": IMAGES["JPEG"][: IMAGES["JPEG"].find(b"\xff\xc0") + 6],
    "lossless JPEG": IMAGES["JPEG"].replace(b"\xff\xc0\0\x11", b"\xff\xc3\0\x11"),
    "PNG without IHDR first": IMAGES["PNG"][:8] + b"\0\0\0\2tEXtab\0\0\0\0" + IMAGES["PNG"][8:],
    "PNG cut": IMAGES["PNG"][:20],
    "GIF cut": IMAGES["GIF"][:8],
    "BMP cut": IMAGES["BMP"][:20],
    "WebP without an image": IMAGES["WebP"][:12] + b"ABCD" + IMAGES["WebP"][16:],
    "WebP cut": IMAGES["WebP"][:22],
    "RIFF of another kind": b"RIFF\0\0\0\0WAVE" + b"\0" * 40,
    "text": b"hello, I am text",
    "nothing": b"",
}


@pytest.mark.parametrize("name", UNCERTAIN)
def test_what_gives_no_certain_size_is_not_decoded(name):
    assert image_header.read(UNCERTAIN[name]) is None and in_graph(UNCERTAIN[name]) in (None, (0.0, 0.0))
    with pytest.raises(UndecodableImage) as caught:
        image_decode.decode(UNCERTAIN[name])
    assert not caught.value.too_large


def gif(canvas: tuple[int, int], *frames: tuple[int, int]) -> bytes:
    """A GIF whose frames have a size and next to no data."""
    blocks = (b"\x2c\0\0\0\0" + struct.pack("<HH", *frame) + b"\0\x02\x02\x4c\x01\0" for frame in frames)
    return b"GIF89a" + struct.pack("<HH", *canvas) + b"\0\0\0" + b"".join(blocks) + b"\x3b"


def webp(chunk: bytes, body: bytes) -> bytes:
    return (
        b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + chunk + struct.pack("<I", len(body)) + body + b"\0" * 20
    )


SCAN = IMAGES["progressive JPEG"][IMAGES["progressive JPEG"].rfind(b"\xff\xda") : -2]
BOMBS = {
    "PNG": (IMAGES["PNG"][:16] + struct.pack(">II", 50_000, 50_000) + IMAGES["PNG"][24:], "50000x50000"),
    "BMP from the top": (IMAGES["BMP"][:18] + struct.pack("<ii", 50_000, -50_000) + IMAGES["BMP"][26:], "50000x50000"),
    "GIF whose frame is larger than its canvas": (gif((1, 1), (50_000, 50_000)), "50000x50000"),
    "GIF whose canvas is larger than its frame": (gif((50_000, 50_000), (1, 1)), "1x1: 2,500,000,000 pixels"),
    "GIF of many large frames": (gif((9_000, 9_000), *[(9_000, 9_000)] * 10), "9000x9000"),
    "GIF of very many frames": (gif((1_000, 1_000), *[(1_000, 1_000)] * 299), "so many frames of 1000x1000"),
    "WebP": (webp(b"VP8 ", b"\x10\0\0\x9d\x01\x2a" + struct.pack("<HH", 16_000, 16_000)), "16000x16000"),
    "lossless WebP": (webp(b"VP8L", b"\x2f" + struct.pack("<I", 15_999 | 15_999 << 14)), "16000x16000"),
    "extended WebP": (webp(b"VP8X", b"\0\0\0\0" + (49_999).to_bytes(3, "little") * 2), "50000x50000"),
    "progressive JPEG": (jpeg_of(30_000, 30_000, IMAGES["progressive JPEG"]), "30000x30000"),
    "JPEG of many scans": (
        jpeg_of(10_000, 9_999, IMAGES["progressive JPEG"][:-2]) + SCAN * 15 + b"\xff\xd9",
        "so many scans of 10000x9999",
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_by_their_header(name):
    data, says = BOMBS[name]
    assert len(data) < 20_000 and in_graph(data) == in_python(data) != (0.0, 0.0)
    with pytest.raises(UndecodableImage, match=says) as caught:
        image_decode.decode(data)
    assert caught.value.too_large
    with pytest.raises(tf.errors.InvalidArgumentError, match="too large"):
        image_decode.decode_in_graph(tf.constant(data))


def test_the_limit_is_the_callers():
    assert image_decode.decode(IMAGES["PNG"], WIDTH * HEIGHT).shape == (HEIGHT, WIDTH, 3)
    with pytest.raises(UndecodableImage, match="40x24: 960 pixels, more than the 959 allowed"):
        image_decode.decode(IMAGES["PNG"], WIDTH * HEIGHT - 1)


@pytest.mark.parametrize("seed", range(3))
def test_damaged_headers_are_read_alike_and_never_say_less_than_is_decoded(seed):
    draw = random.Random(seed)
    for _ in range(150):
        data = bytearray(IMAGES[draw.choice(list(IMAGES))])
        for _ in range(draw.randint(1, 3)):
            data[draw.randrange(min(len(data), draw.choice([40, 200, 700])))] = draw.choice(
                [0, 1, 255, 0xD8, draw.randrange(256)]
            )
        damaged = bytes(data[: draw.randrange(len(data)) if draw.random() < 0.3 else len(data)])
        found, (pixels, effort) = in_graph(damaged), in_python(damaged)
        assert found in (None, (pixels, effort))
        if max(pixels, (found or (0, 0))[0]) > 1e6:
            continue
        try:
            shape = tf.io.decode_image(damaged, channels=3, expand_animations=False).shape
        except tf.errors.OpError:
            continue
        assert found is not None and shape[0] * shape[1] <= pixels


def test_a_jpeg_cut_at_any_byte_comes_to_an_end():
    """TensorFlow's own recovery does not return where a restart marker is cut in half."""
    data = IMAGES["JPEG with restart markers"]
    whole = image_decode.decode(data)
    for end in range(len(data) - 100, len(data) - 2):
        recovered = image_decode.recover(data[:end])
        assert recovered.pixels.shape == (HEIGHT, WIDTH, 3) and 0 <= recovered.part <= 1 and not recovered.lacks_scans
        assert recovered.part < 1 or (recovered.pixels == whole).all()
    assert image_decode.recover(IMAGES["PNG"]) is None


@pytest.mark.parametrize("settings", [{}, {"restart_marker_rows": 1}, {"subsampling": 0}, {"progressive": True}])
def test_how_much_of_a_cut_jpeg_is_there(settings):
    image = noise(64, 160)
    data = save(image, "JPEG", quality=90, **settings)
    whole = image_decode.decode(data)
    for missing in (1, 2):
        recovered = image_decode.recover(data[:-missing])
        assert recovered.part == 1 and not recovered.lacks_scans and (recovered.pixels == whole).all()
    if settings.get("progressive"):
        for place in range(3, len(data)):
            if data[place : place + 2] == b"\xff\xda" and place > data.find(b"\xff\xda"):
                assert image_decode.recover(data[:place]).lacks_scans, "cut between two scans"
        return
    for share in (0.2, 0.5, 0.9):
        recovered = image_decode.recover(data[: int(share * len(data))])
        lines = round(recovered.part * 160)
        assert (
            recovered.pixels[: lines - 1] == whole[: lines - 1]
        ).all() and share - 0.25 < recovered.part < share + 0.1


def test_nothing_asks_for_tensorflows_recovery_or_changes_pillow():
    """Settings of Pillow and filters of warnings belong to the process, not to a function that other threads may be in
    too."""
    import ast
    from pathlib import Path

    import detection

    for path in Path(detection.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword):
                assert node.arg != "try_recover_truncated", f"{path}:{node.value.lineno}"
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                assert node.attr not in ("MAX_IMAGE_PIXELS", "LOAD_TRUNCATED_IMAGES"), f"{path}:{node.lineno}"
            if isinstance(node, ast.Attribute) and node.attr == "catch_warnings":
                # Not safe between threads; a command has its process for itself.
                assert path.name == "call.py", f"{path}:{node.lineno}"
