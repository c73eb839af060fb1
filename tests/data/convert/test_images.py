"""Image files of every unpleasant sort, made here; TensorFlow is asked whether what is stored decodes."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from detection.data.convert import images


def pixels(encoded: bytes) -> np.ndarray:
    return tf.io.decode_image(encoded, channels=3, expand_animations=False).numpy()


def save(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def kinds(loaded: images.LoadedImage) -> list[str]:
    return [fault.kind for fault in loaded.faults]


@pytest.mark.parametrize(
    "options",
    [{}, {"progressive": True}, {"mode": "L"}, {"width": 1, "height": 1}, {"kind": "PNG"}]
    + [{"kind": "PNG", "mode": mode} for mode in ("L", "P", "1")],
)
def test_jpeg_and_png_are_kept_byte_for_byte(tmp_path, encode, options):
    data = encode(**options)
    path = tmp_path / f"a.{options.get('kind', 'jpg').lower()}"
    path.write_bytes(data)
    loaded = images.load(path)
    assert loaded.encoded == data and not loaded.faults
    assert loaded.format == ("png" if "kind" in options else "jpeg")
    assert (loaded.width, loaded.height) == (options.get("width", 40), options.get("height", 60))


def test_cmyk_is_kept_and_decodes_as_pillow_does(encode):
    data = encode(mode="CMYK", quality=95)
    loaded = images.check(data, "a")
    assert loaded.encoded == data and kinds(loaded) == ["image_cmyk"]
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(image.convert("RGB"), int)
    assert np.abs(pixels(data) - expected).mean() < 3


def test_sixteen_bit_png(tmp_path):
    values = np.arange(40 * 60, dtype=np.uint16).reshape(60, 40) * 27
    loaded = images.check(save(Image.fromarray(values), "PNG"), "a")
    assert kinds(loaded) == ["image_16_bit"]
    np.testing.assert_array_equal(pixels(loaded.encoded)[..., 0], values >> 8)


def test_sixteen_bit_tiff_becomes_what_tensorflow_makes_of_png():
    values = np.arange(40 * 60, dtype=np.uint16).reshape(60, 40) * 27
    loaded = images.check(save(Image.fromarray(values), "TIFF"), "a")
    assert kinds(loaded) == ["image_16_bit", "image_transcoded"]
    np.testing.assert_array_equal(pixels(loaded.encoded)[..., 0], values >> 8)


def test_transparency_is_noted():
    loaded = images.check(save(Image.new("RGBA", (40, 60), (255, 0, 0, 10)), "PNG"), "a")
    assert kinds(loaded) == ["image_alpha"] and pixels(loaded.encoded)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("kind", ["GIF", "BMP", "WEBP", "TIFF", "AVIF", "PPM"])
def test_other_types_are_stored_as_png(encode, kind):
    if kind not in images.PILLOW_FORMATS:
        pytest.skip(f"this Pillow has no {kind}")
    data = encode(kind=kind)
    loaded = images.check(data, "a")
    assert loaded.format == "png" and kinds(loaded) == ["image_transcoded"]
    with Image.open(io.BytesIO(data)) as image:
        np.testing.assert_array_equal(pixels(loaded.encoded), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF"])
def test_first_frame_of_an_animation(kind):
    first, second = Image.new("RGB", (40, 60), (0, 0, 255)), Image.new("RGB", (40, 60), (0, 255, 0))
    loaded = images.check(save(first, kind, save_all=True, append_images=[second]), "a")
    assert "image_animated" in kinds(loaded) and loaded.faults[0].value == "2 frames"
    assert pixels(loaded.encoded)[30, 20, 2] > 200 > 50 > pixels(loaded.encoded)[30, 20, 1]


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_exif_rotation_is_noted_and_ignored(encode, kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    loaded = images.check(encode(kind=kind, exif=exif), "a")
    assert "image_exif_rotated" in kinds(loaded)
    assert (loaded.height, loaded.width) == (60, 40)
    np.testing.assert_array_equal(pixels(loaded.encoded), pixels(images.check(encode(kind=kind), "a").encoded))


def test_content_counts_not_the_extension(tmp_path, encode):
    path = tmp_path / "a.jpg"
    path.write_bytes(encode(kind="PNG"))
    loaded = images.load(path)
    assert loaded.format == "png" and kinds(loaded) == ["image_extension"]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty file"),
        (b"<!DOCTYPE html><html>404</html>", "HTML"),
        (b"hello, this is no image at all", "text: 'hello, this"),
        ("schöne grüße, kein bild, ".encode() * 9, "text"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        (b"\x1f\x8b" + b"\0" * 50, "gzip"),
        (b"PK\x03\x04" + b"\0" * 50, "zip"),
        (b"%PDF-1.4 ...", "PDF"),
        (b"\0\0\0\x18ftypheic" + b"\0" * 50, "HEIF"),
        (b"\0\x01\x02\x03\x80\x90" * 9, "unknown data: 00 01 02"),
    ],
)
def test_what_is_no_image_is_named(data, says):
    with pytest.raises(images.BadImage) as caught:
        images.check(data, "some/a.jpg")
    assert (
        caught.value.fault.kind == "image_unreadable"
        and says in caught.value.fault.value
        and "some/a.jpg" in str(caught.value)
    )


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"])
def test_cut_images_are_unreadable(encode, kind):
    data = encode(kind=kind, width=800, height=600)
    with pytest.raises(images.BadImage) as caught:
        images.check(data[: len(data) * 6 // 10], "a")
    assert caught.value.fault.kind == ("image_truncated" if kind == "JPEG" else "image_unreadable")


@pytest.mark.parametrize("missing", [2, 20])
def test_jpeg_with_its_last_bytes_missing_can_be_repaired(encode, missing):
    data = encode(width=800, height=600)
    with pytest.raises(images.BadImage) as caught:
        images.check(data[:-missing], "a")
    assert caught.value.fault.kind == "image_truncated" and "--on_bad=fix" in caught.value.fault.value
    loaded = images.check(data[:-missing], "a", repair=True)
    assert loaded.format == "png" and not loaded.faults[0].bad
    np.testing.assert_array_equal(pixels(loaded.encoded)[:580], pixels(data)[:580])
    with pytest.raises(images.BadImage, match=r"is truncated after 4\d % of its lines; get the image again"):
        images.check(data[: len(data) // 2], "a", repair=True)


def test_flipped_bits_in_png(encode):
    data = bytearray(encode(kind="PNG"))
    data[60] ^= 255
    with pytest.raises(images.BadImage):
        images.check(bytes(data), "a")


def test_huge_images_are_refused_by_their_header(encode):
    with pytest.raises(images.BadImage, match="40x60 pixels, more than 2399.*--max_image_pixels"):
        images.check(encode(), "a", max_pixels=2399)
    assert images.check(encode(), "a", max_pixels=2400)


@pytest.mark.parametrize("width", [2**30, 2**31 - 1, 20000])
def test_lying_header(encode, width):
    data = bytearray(encode(kind="PNG"))
    data[16:20] = struct.pack(">I", width)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    with pytest.raises(images.BadImage):
        images.check(bytes(data), "a")


def test_pixels_without_range_are_refused():
    with pytest.raises(images.BadImage, match="floating point.*convert to 8 bits"):
        images.check(save(Image.fromarray(np.zeros((60, 40), np.float32)), "TIFF"), "a")


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(images.BadImage) as caught:
        images.load(tmp_path / "a.jpg")
    assert caught.value.fault.kind == "image_missing"
    with pytest.raises(images.BadImage, match="directory"):
        images.load(tmp_path)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damage_never_escapes_as_anything_else(encode, data):
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM"]))
    damaged = bytearray(encode(kind=kind))
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, min(len(damaged) - 1, 200)))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(damaged)))
    try:
        loaded = images.check(bytes(damaged[:cut]), "a", max_pixels=10**6)
    except images.BadImage as error:
        assert error.fault.value
    else:
        assert pixels(loaded.encoded).shape == (loaded.height, loaded.width, 3)
