"""Which file a name of another machine means; where several may be meant, all of them are returned."""

from __future__ import annotations

import pytest

from detection.data.convert.match import FileFinder


@pytest.mark.parametrize(
    ("files", "text", "found"),
    [
        (["a.jpg"], "a.jpg", ["a.jpg"]),
        (["a.jpg"], "A.JPG", ["a.jpg"]),
        (["a.jpg"], "a.png", ["a.jpg"]),
        (["a.jpg"], "A.xml", ["a.jpg"]),
        (["a.jpg"], "a", ["a.jpg"]),
        (["a.b.jpg"], "a.b", ["a.b.jpg"]),
        (["a.jpg"], "a.b.jpg", []),
        (["a.jpg"], "  a.jpg\n", ["a.jpg"]),
        (["a.jpg"], r"C:\Users\me\data\a.jpg", ["a.jpg"]),
        (["a.jpg"], r"\\server\share\a.jpg", ["a.jpg"]),
        (["a.jpg"], "/mnt/me/data/a.jpg", ["a.jpg"]),
        (["a.jpg"], "https://example.org/data/a.jpg?size=1#x", ["a.jpg"]),
        (["my photo.jpg"], "my%20photo.jpg", ["my photo.jpg"]),
        (["my%20photo.jpg"], "my photo.jpg", ["my%20photo.jpg"]),
        (["my\u00a0photo.jpg"], "my photo.jpg", ["my\u00a0photo.jpg"]),
        (["my  photo.jpg", "my photo.jpg"], "my photo.jpg", ["my photo.jpg"]),
        (["caf\u00e9.jpg"], "cafe\u0301.jpg", ["caf\u00e9.jpg"]),
        (["STRASSE.jpg"], "stra\u00dfe.jpg", ["STRASSE.jpg"]),
        (["x/a.jpg"], "a.jpg", ["x/a.jpg"]),
        (["x/a.jpg"], "d/x/a.jpg", ["x/a.jpg"]),
        (["x/a.jpg"], "y/a.jpg", []),  # another folder's file of the same name
        (["x/a.jpg", "y/a.jpg"], "a.jpg", ["x/a.jpg", "y/a.jpg"]),
        (["x/a.jpg", "y/a.jpg"], "Y\\a.jpg", ["y/a.jpg"]),
        (["a.jpg", "x/a.jpg"], "a.jpg", ["a.jpg"]),
        (["a.jpg", "A.jpg"], "a.jpg", ["a.jpg"]),
        (["a.jpg", "A.jpg"], "a.JPG", ["a.jpg", "A.jpg"]),
        (["a.jpg", "a.png"], "a.png", ["a.png"]),
        (["a.jpg", "a.png"], "a.bmp", ["a.jpg", "a.png"]),
        (["x/a.png", "a.jpg"], "x/a.jpg", ["x/a.png", "a.jpg"]),  # another extension, or another folder?
        (["a.jpg"], "../a.jpg", []),
        (["a.jpg"], "", []),
        (["a.jpg"], "/", []),
        (["a.jpg"], "b.jpg", []),
    ],
)
def test_found(files, text, found):
    assert sorted(FileFinder(files).find(text)) == sorted(found)
