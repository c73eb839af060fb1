"""Images."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from detection.errors import DataError
from tests.fuzz.mutate import Material
from tests.fuzz.reading import IMAGE, Reader


def picture(kind: str, mode: str = "RGB", size: tuple[int, int] = (24, 17), **options: object) -> bytes:
    from PIL import Image

    pixels = np.random.default_rng(1).integers(0, 255, (size[1], size[0], 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, kind, **options)
    return stream.getvalue()


def _jpegs() -> Material:
    from PIL import Image

    exif = Image.Exif()
    exif[0x112] = 6
    corpus = [
        picture("JPEG", exif=exif),
        picture("JPEG", "L"),
        picture("JPEG", "CMYK"),
        picture("JPEG", progressive=True, quality=40),
    ]
    corpus += [
        picture("JPEG", size=(64, 64), restart_marker_blocks=1),
        picture("JPEG", subsampling=0, comment=b"x" * 40),
    ]
    markers = [
        b"\xff" + bytes([code])
        for code in (0xC0, 0xC1, 0xC2, 0xC4, 0xD0, 0xD7, 0xD8, 0xD9, 0xDA, 0xDB, 0xDD, 0xE0, 0xE1, 0xEE, 0xFE, 0xFF, 0)
    ]
    return Material(corpus, [*markers, b"JFIF\0", b"Exif\0\0", b"Adobe", b"\0\x02", b"\xff\xff", b"\xff\xd9\xff\xd8"])


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _pngs() -> Material:
    corpus = [
        picture("PNG"),
        picture("PNG", "L"),
        picture("PNG", "P"),
        picture("PNG", "RGBA"),
        picture("PNG", "1"),
        picture("PNG", "I;16"),
    ]
    # The last is just allowed: decoding so much takes a second, so that it is a token, and not a part of every fourth
    # input.
    sizes = ((1 << 30, 1), (30_000, 30_000), (0, 5), (2**31 - 1, 2**31 - 1), (9999, 9999))
    heads = [_chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)) for size in sizes]
    corpus += [
        b"\x89PNG\r\n\x1a\n" + head + _chunk(b"IDAT", zlib.compress(bytes(1000))) + _chunk(b"IEND", b"")
        for head in heads[:-1]
    ]
    text = _chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(1 << 20)))
    tokens = [
        *heads,
        text,
        _chunk(b"tRNS", b"\0" * 3),
        _chunk(b"PLTE", bytes(9)),
        _chunk(b"IEND", b""),
        b"IDAT",
        b"iCCP",
        b"acTL",
        b"eXIf",
    ]
    return Material([*corpus, corpus[0][:33] + text + corpus[0][33:]], tokens)


def _gifs() -> Material:
    from PIL import Image

    frames = [Image.new("P", (9, 7), color) for color in (1, 2, 3)]
    stream = io.BytesIO()
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    return Material(
        [picture("GIF"), stream.getvalue()],
        [b"GIF87a", b"GIF89a", b"!\xf9\x04", b"!\xff\x0b", b",", b";", b"\xff\xff\xff\xff"],
    )


def _bmps() -> Material:
    return Material(
        [picture("BMP"), picture("BMP", "L"), picture("BMP", "P"), picture("BMP", "1")],
        [b"BM", b"\x28\0\0\0", b"\xff\xff\xff\x7f", b"\0\0\0\x80"],
    )


def _webps() -> Material:
    from PIL import features

    corpus = (
        [picture("WEBP"), picture("WEBP", lossless=True), picture("WEBP", "RGBA")]
        if features.check("webp")
        else [b"RIFF\x1a\0\0\0WEBPVP8L"]
    )
    return Material(
        corpus,
        [
            b"RIFF",
            b"WEBP",
            b"VP8 ",
            b"VP8L",
            b"VP8X",
            b"ALPH",
            b"ANIM",
            b"ANMF",
            b"EXIF",
            b"\xff\xff\xff",
            b"\x9d\x01\x2a",
        ],
    )


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


READERS = {
    "jpeg": Reader(_jpegs, _prepare_image, IMAGE),
    "png": Reader(_pngs, _prepare_image, IMAGE),
    "gif": Reader(_gifs, _prepare_image, IMAGE),
    "bmp": Reader(_bmps, _prepare_image, IMAGE),
    "webp": Reader(_webps, _prepare_image, IMAGE),
}
