"""Listing of folders: links are followed, nothing is found twice, and no loop of links is walked for ever."""

from __future__ import annotations

import os

import pytest

from detection.data.convert.source import IMAGE_EXTENSIONS, FolderIndex
from detection.data.folders import files_below
from detection.export.image_files import find

pytestmark = pytest.mark.skipif(not hasattr(os, "symlink") or os.name != "posix", reason="links")


@pytest.fixture
def folder(tmp_path):
    """root/{a.jpg, sub/b.JPG, sub/deep/c.jpg, notes.txt}"""
    root = tmp_path / "root"
    (root / "sub" / "deep").mkdir(parents=True)
    for name in ("a.jpg", "sub/b.JPG", "sub/deep/c.jpg", "notes.txt"):
        (root / name).write_bytes(b"x")
    return root


ALL = ["a.jpg", "sub/b.JPG", "sub/deep/c.jpg"]


def listed(root) -> list[str]:
    """By all three who list folders, which must agree."""
    names = files_below(root, IMAGE_EXTENSIONS)
    assert FolderIndex(root, IMAGE_EXTENSIONS).names == names
    assert [os.path.relpath(path, root) for path in find([str(root)])] == names
    return names


def test_plain(folder):
    assert listed(folder) == ALL


@pytest.mark.parametrize("links", [1, 2, 3])
def test_links_to_the_folder_itself(folder, links):
    for number in range(links):
        (folder / f"0{number}").symlink_to(".")
        (folder / "sub" / f"up{number}").symlink_to("..")
    assert listed(folder) == ALL


def test_a_link_to_a_folder_above_and_one_to_a_sibling(folder):
    (folder / "00above").symlink_to(folder.parent)
    (folder / "00sub").symlink_to("sub")  # Sorts first; the folder's own name counts all the same.
    assert listed(folder) == ALL


def test_links_out_of_the_folder_are_followed_once(folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "d.jpg").write_bytes(b"x")
    (other / "back").symlink_to(folder)
    (folder / "one").symlink_to(other)
    (folder / "two").symlink_to(other)
    assert listed(folder) == [*ALL[:1], "one/d.jpg", *ALL[1:]]


def test_a_root_that_is_a_link(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    assert listed(tmp_path / "link") == ALL


def test_a_file_and_links_to_it_are_one(folder, tmp_path):
    (folder / "0.jpg").symlink_to("a.jpg")
    (tmp_path / "outside.jpg").write_bytes(b"x")
    (folder / "y.jpg").symlink_to(tmp_path / "outside.jpg")
    (folder / "z.jpg").symlink_to(tmp_path / "outside.jpg")
    assert listed(folder) == [*ALL, "y.jpg"]


def test_two_files_with_the_same_content_are_two(folder):
    os.link(folder / "a.jpg", folder / "hard.jpg")  # Tools that save space do so behind the user's back.
    assert listed(folder) == ["a.jpg", "hard.jpg", *ALL[1:]]


def test_what_is_no_file(folder):
    (folder / "broken.jpg").symlink_to("nowhere.jpg")
    (folder / "itself.jpg").symlink_to("itself.jpg")
    (folder / "folder.jpg").mkdir()
    os.mkfifo(folder / "pipe.jpg")
    assert listed(folder) == ALL


def test_a_name_through_a_link_is_found_where_it_is_asked_for(folder):
    (folder / "again").symlink_to("sub")
    index = FolderIndex(folder, IMAGE_EXTENSIONS)
    assert (
        index.by_name("again/b.JPG") == "again/b.JPG"
        and index.by_name("again/none.jpg") is None
        and index.by_name("../root/a.jpg") is None
    )


@pytest.mark.parametrize(
    "name",
    [
        ".ipynb_checkpoints/a-checkpoint.jpg",
        "__MACOSX/a.jpg",
        "sub/@eaDir/b.jpg/THUMB.jpg",
        "$RECYCLE.BIN/e.jpg",
        "._a.jpg",
    ],
)
def test_what_other_programs_put_beside_data_is_no_part_of_it(folder, name):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"\x00\x05\x16\x07" + bytes(20))
    assert listed(folder) == ALL


def test_hidden_names_may_be_data(folder, tmp_path):
    (folder / "._b.jpg").write_bytes(b"x")  # not attributes of b.jpg
    (folder / ".c.jpg").write_bytes(b"x")
    assert listed(folder) == ["._b.jpg", ".c.jpg", *ALL]
    hidden = folder.rename(tmp_path / ".root")
    assert listed(hidden) == ["._b.jpg", ".c.jpg", *ALL]
