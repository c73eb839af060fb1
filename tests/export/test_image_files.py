"""Image files: what is found, what is read, and what is said about the rest."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detection.errors import DataError
from detection.export.image_files import find, read


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images in a folder and below it, names with blanks, brackets and letters of other scripts, and a file that is
    none."""
    (tmp_path / "below").mkdir()
    for name in ("b.png", "a.JPG", "with space.png", "[1].png", "below/größe.png"):
        Image.new("RGB", (6, 4), (10, 20, 30)).save(tmp_path / name, format="PNG")
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def _names(paths: list[str], folder: Path) -> list[str]:
    return [str(Path(path).relative_to(folder)) for path in paths]


def test_folders_are_searched_and_sorted(folder):
    assert _names(find([str(folder)]), folder) == ["[1].png", "a.JPG", "b.png", "below/größe.png", "with space.png"]


def test_patterns_and_files_keep_their_order_and_come_once(folder):
    found = find([str(folder / "with space.png"), str(folder / "*.png"), str(folder / "b.png")])
    assert _names(found, folder) == ["with space.png", "[1].png", "b.png"]


def test_a_file_called_like_a_pattern_is_itself(folder):
    assert _names(find([str(folder / "[1].png")]), folder) == ["[1].png"]


@pytest.mark.parametrize("missing", ["nothing.jpg", "*.tif"])
def test_what_is_not_there_is_named(folder, missing):
    with pytest.raises(DataError, match="no such image") as error:
        find([str(folder / missing)])
    assert missing in str(error.value) and error.value.exit_code == 2  # as of every path that is not there


def test_an_empty_folder_is_named(tmp_path):
    with pytest.raises(DataError, match="has no image files"):
        find([str(tmp_path)])


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "1", "I;16"])
def test_every_kind_of_png_becomes_three_channels(tmp_path, mode):
    Image.new(mode, (7, 5)).save(tmp_path / "x.png")
    image = read(tmp_path / "x.png")
    assert image.shape == (5, 7, 3) and image.dtype == np.uint8


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "gif", "webp"])
def test_formats(tmp_path, suffix):
    Image.new("RGB", (7, 5), (200, 100, 50)).save(tmp_path / f"x.{suffix}")
    np.testing.assert_allclose(read(tmp_path / f"x.{suffix}").mean((0, 1)), [200, 100, 50], atol=6)


def test_exif_rotation_is_ignored_as_in_training(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (60, 40)).save(tmp_path / "x.jpg", exif=exif)
    assert read(tmp_path / "x.jpg").shape == (40, 60, 3)


def test_bad_files_are_named_with_the_reason(tmp_path):
    good = tmp_path / "good.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(good)
    cases = {
        "empty.jpg": (b"", "is an empty file"),
        "text.jpg": (b"hello", "is not an image; use"),
        "cut.jpg": (good.read_bytes()[:1000], "is a damaged JPEG file"),
        "beheaded.jpg": (good.read_bytes()[:100], "is a damaged JPEG file"),
    }
    for name, (content, reason) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=reason) as error:
            read(tmp_path / name)
        assert name in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read(tmp_path / "absent.jpg")


def test_formats_tensorflow_lacks_are_called_by_name(tmp_path):
    Image.new("RGB", (7, 5)).save(tmp_path / "x.tiff")
    with pytest.raises(DataError, match="is TIFF; use JPEG, PNG"):
        read(tmp_path / "x.tiff")


def test_large_images_are_refused_before_they_are_decoded(tmp_path):
    Image.new("RGB", (200, 100)).save(tmp_path / "x.png")
    with pytest.raises(DataError, match="20,000 pixels, more than the 19,999"):
        read(tmp_path / "x.png", max_pixels=19_999)
