"""Atomic writing of text files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from detection import files


def test_a_file_is_made_and_replaced(tmp_path):
    for text in ("größe ☃\n", "", "second\n"):
        files.write_text(tmp_path / "a.txt", text)
        assert (tmp_path / "a.txt").read_text(encoding="utf-8") == text
    assert os.listdir(tmp_path) == ["a.txt"]


def test_names_that_are_not_utf8_keep_their_bytes(tmp_path):
    files.write_text(tmp_path / "a.txt", os.fsdecode(b"caf\xe9.jpg"))
    assert (tmp_path / "a.txt").read_bytes() == b"caf\xe9.jpg"


def test_two_processes_do_not_share_a_temporary_file(tmp_path):
    (tmp_path / f".a.txt.tmp-{os.getppid()}").mkdir()  # Another process's, whatever it does with it.
    files.write_text(tmp_path / "a.txt", "ours")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "ours"


def test_a_failed_write_leaves_no_file(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"old")
    for path in (tmp_path / "folder", tmp_path / "absent" / "a.txt", tmp_path / "file" / "a.txt"):
        with pytest.raises(OSError):
            files.write_text(path, "text")
    with pytest.raises(UnicodeEncodeError):
        files.write_text(tmp_path / "file", "\ud800")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"] and (tmp_path / "file").read_bytes() == b"old"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_leaves_the_old_text(tmp_path):
    (tmp_path / "a.txt").write_text("old", encoding="utf-8")
    files.partial(tmp_path / "a.txt").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        files.write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "old" and os.listdir(tmp_path) == ["a.txt"]


def test_pipes_are_read_whole_and_devices_are_refused(tmp_path, monkeypatch):
    read, write = os.pipe()
    os.write(write, b"a" * 5000)
    os.close(write)
    assert files.read_bytes(f"/dev/fd/{read}") == b"a" * 5000
    os.close(read)
    with pytest.raises(OSError, match="is a device or socket, not a file"):
        files.read_bytes("/dev/zero")
    monkeypatch.setattr(files, "_PIPE_SECONDS", 0.05)
    os.mkfifo(tmp_path / "pipe")
    keep = os.open(tmp_path / "pipe", os.O_RDWR)
    with pytest.raises(OSError, match="is a pipe to which nothing was written for 0.05 seconds; name a file"):
        files.read_bytes(tmp_path / "pipe")
    os.close(keep)
    assert files.is_special("/dev/null") and files.is_special(tmp_path / "pipe")
    assert not any(map(files.is_special, (tmp_path, __file__, tmp_path / "absent", "a\0b")))
