"""File patterns: existing names are literal; otherwise `*`, `?`, `[ab]` and `**` are as in a shell."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from detection.config import data_paths
from detection.data import listing
from detection.data.reading import shard_files
from detection.data.validation import validate
from detection.ensemble import models
from detection.errors import ConfigError, DataError
from detection.export import image_files
from detection.paths import expand, hint
from detection.proposals import proposal_files
from detection.protos import input_reader_pb2

# A file of one record: its length, a checksum of that, one byte, a checksum of that.
RECORD = bytes.fromhex("0100000000000000 0175de41 78 503daa61")
# Names that are patterns too, or hold what shells, printf or Windows would read otherwise.
ODD = [
    "a[1].record",
    "a*.record",
    "a?.record",
    "a b.record",
    " a.record",
    "größe ☃.record",
    "a\\b.record",
    "a{1,2}.record",
    "a%s.record",
    "-a.record",
    "a'b\".record",
    "$HOME.record",
    "~.record",
    "a,b.record",
    "a[.record",
    "a].record",
    "[!a].record",
    "a#.record",
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ODD)
def test_all_readers_take_an_existing_name_literally(here, name):
    """Even if another file matches the same name as a pattern."""
    for other in ("a1.record", "ab.record", "b.record", name):
        (here / other).write_bytes(RECORD)
    for pattern in (name, str(here / name)):
        assert expand(pattern) == [pattern]
        assert list(data_paths._missing("field", pattern, "*")) == []
        assert list(shard_files.list_shards([pattern], "field")) == [pattern]
        assert validate._matching(pattern) == [pattern]
        assert image_files.find([pattern]) == [pattern]
        with pytest.raises(DataError, match="proposals are read from"):  # It was found, and is of another kind.
            proposal_files.read_all([pattern], "field")


@pytest.mark.parametrize("folder", ["data [1]", "d*", "[ab]", "größe"])
def test_an_existing_folder_is_literal_and_the_rest_a_pattern(here, folder):
    for place in (folder, "data 1", "d1", "a"):
        (here / place).mkdir()
        for number in range(2):
            (here / place / f"x.record-0000{number}-of-00002").write_bytes(RECORD)
    expected = [f"{folder}/x.record-0000{number}-of-00002" for number in range(2)]
    for end in ("x.record-*", "x.record-?????-of-00002", "x.record-0000[01]-of-00002", "**/x.record-*"):
        pattern = f"{folder}/{end}"
        assert expand(pattern) == list(shard_files.list_shards([pattern], "field")) == expected
        assert validate._matching(pattern) == image_files.find([pattern]) == expected
        assert list(data_paths._missing("field", pattern, "*")) == []


def test_patterns(here):
    for name in ("a1", "a2", "b1", ".a1", "s/a1", "s/t/a1", "s/.h/a1"):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).touch()
    assert expand("a*") == ["a1", "a2"] and expand("?1") == ["a1", "b1"] and expand("[!a]1") == ["b1"]
    assert expand(".a*") == [".a1"]
    assert expand("*/a1") == ["s/a1"] and expand("**/a1") == ["a1", "s/a1", "s/t/a1"]
    assert expand(f"{here}//s///a1") == [f"{here}//s///a1"]
    assert expand(f"{here}/s/*") == [f"{here}/s/a1", f"{here}/s/t"]
    assert (
        expand("")
        == expand("a\0*")
        == expand("none/*")
        == expand("a1/*")
        == expand("n" * 5000)
        == expand("*" * 300 + "x")
        == []
    )


def test_circular_links_are_followed_once(here):
    (here / "a").mkdir()
    (here / "a" / "x.png").touch()
    for name in ("one", "two"):
        (here / "a" / name).symlink_to(here / "a")
    assert expand("**/x.png") == ["a/x.png"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("data\\x.record", "separate folders with /, not with backslashes; did you mean 'data/x.record'?"),
        ("C:\\data\\y.record", "separate folders with /, not with backslashes; write 'C:/data/y.record'"),
        (
            "C:\\data\train.record",
            "a backslash in the path was read as an escape sequence, such as \\t for a tab; write 'C:/d",
        ),
        ("“data/x.record”", "the path contains curly quotes; write 'data/x.record', with straight quotes around it"),
        ("~/x.record", "~ and $VARIABLES are not expanded in paths; write '/root of me/x.record'"),
        ("$HOME/x.record", "~ and $VARIABLES are not expanded in paths; write '/root of me/x.record'"),
        ("data/x.record ", "the path begins or ends with whitespace; write 'data/x.record'"),
        (
            "data/x.record, data/*",
            "these are several paths in one value; write each as a value of its own: 'data/x.record', 'data/*'",
        ),
        ("PATH_TO_BE_CONFIGURED/x.record", "replace PATH_TO_BE_CONFIGURED in the file, or use --set field=..."),
        ("", "the path is empty; name the file"),
        ("data/z.record", "is the name right, from "),
        ("none/z.record", "there is no folder 'none' in "),
    ],
)
def test_all_readers_give_a_hint_if_nothing_matches(here, monkeypatch, pattern, expected):
    monkeypatch.setenv("HOME", "/root of me")
    (here / "data").mkdir()
    (here / "data" / "x.record").touch()
    assert hint(pattern, "field").startswith(expected)
    (fault,) = data_paths._missing("field", pattern, "*")
    assert fault.startswith(f"field ({pattern!r}) matches no file; {expected}")
    with pytest.raises(ConfigError) as error:
        shard_files.list_shards([pattern], "field")
    assert expected in str(error.value)
    with pytest.raises(ConfigError) as error:
        proposal_files.read_all([pattern], "field")
    assert expected in str(error.value)
    for find in (validate._matching, lambda path: image_files.find([path])):
        with pytest.raises(DataError) as error:
            find(pattern)
        assert hint(pattern) in str(error.value)


def test_folders_and_urls_are_no_files(here):
    (here / "data").mkdir()
    assert list(data_paths._missing("f", "data", "train.record-*")) == [
        "f ('data') matches no file but a folder; write 'data/train.record-*'"
    ]
    with pytest.raises(ConfigError, match="f 'data' matches no file but a folder"):
        shard_files.list_shards(["data"], "f")
    assert list(data_paths._missing("f", "https://x.org/a.record", "*")) == [
        "f ('https://x.org/a.record') cannot be read from the web; download it, and name the file"
    ]
    assert list(data_paths._missing("f", "gs://bucket/a.record", "*")) == []


def test_a_name_that_is_not_utf8(here):
    Path(os.fsdecode(b"a\xff.record")).write_bytes(RECORD)
    with pytest.raises(ConfigError, match="cannot be listed: a name is not valid UTF-8; rename the file"):
        listing.list_files("a*", "field", "remedy")


def test_folders_of_an_ensemble(here):
    for name in ("run [1]", "run 1"):
        (here / name).mkdir()
    assert models._expand("run [1]") == [("", "run [1]")] and models._expand("big=run [1]") == [("big", "run [1]")]
    assert models._expand("run [1]/model.ckpt-5") == [("", "run [1]/model.ckpt-5")]  # A prefix is no file.
    assert models._expand("run*") == [("", "run 1"), ("", "run [1]")]


def test_an_input_path_with_brackets_from_the_check_to_the_reader(here):
    reader = input_reader_pb2.InputReader()
    reader.tf_record_input_reader.input_path.append("data [1]/train[2].record")
    (here / "data [1]").mkdir()
    (here / "data [1]" / "train[2].record").write_bytes(RECORD)
    assert list(data_paths._missing_records("train_input_reader", reader)) == []
    assert shard_files.list_shards(reader.tf_record_input_reader.input_path, "field") == ("data [1]/train[2].record",)
