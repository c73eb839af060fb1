"""Locks of folders."""

from __future__ import annotations

import contextlib
import logging

import filelock
import pytest

from detection.errors import ConfigError
from detection.tools import folder_lock


def in_use() -> ConfigError:
    return ConfigError("somebody else is here")


def test_a_second_holder_is_refused_and_the_lock_is_free_afterwards(tmp_path):
    path = tmp_path / ".lock"
    with (
        folder_lock.held(path, in_use, "here: a second run"),
        pytest.raises(ConfigError, match="somebody else"),
        folder_lock.held(path, in_use, "here: a second run"),
    ):
        pytest.fail("held twice")
    with contextlib.suppress(ConfigError), folder_lock.held(path, in_use, "here: a second run", remove=True):
        assert path.exists()
        raise ConfigError("an error inside")
    assert not path.exists()


def test_a_lock_file_that_cannot_be_created(tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(OSError), folder_lock.held(path / ".lock", in_use, "there"):
        pytest.fail("held in a file")
    with (
        pytest.raises(ConfigError, match="not there"),
        folder_lock.held(path / ".lock", in_use, "there", cannot_be_made=lambda error: ConfigError("not there")),
    ):
        pytest.fail("held in a file")


def test_a_file_system_without_locks_is_a_warning(tmp_path, monkeypatch, caplog):
    def acquire(*_: object, **__: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    with caplog.at_level(logging.WARNING), folder_lock.held(tmp_path / ".lock", in_use, "out: a second run in it"):
        assert "out: a second run in it would not be noticed" in caplog.text
