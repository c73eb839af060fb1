"""Completion scripts, tested in the installed shells."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from detection.commands import catalogue
from detection.commands.call import call


def script(shell: str, capfd) -> str:
    capfd.readouterr()
    assert call("completion", shell) == 0
    return capfd.readouterr().out


def complete(text: str, *words: str) -> list[str]:
    """Bash's suggestions for the last word; bash splits words at `=`."""
    quoted = " ".join(f"'{word}'" for word in words)
    code = (
        f"{text}\nCOMP_WORDS=({quoted})\nCOMP_CWORD={len(words) - 1}\n_detection\nprintf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is absent")
def test_bash(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.config").touch()
    text = script("bash", capfd)
    assert complete(text, "detection", "tr") == ["train"]
    assert {entry.name for entry in catalogue.COMMANDS} < set(complete(text, "detection", ""))
    assert complete(text, "detection", "train", "--model") == ["--model_dir="]
    assert complete(text, "detection", "detect", "--pic") == ["--pictures"]
    assert complete(text, "detection", "detect", "--nopic") == ["--nopictures"]
    for words in (["="], ["=", ""]):
        assert complete(text, "detection", "train", "--on_bad_record", *words) == ["fail", "skip"]
    assert complete(text, "detection", "train", "--on_bad_record", "=", "s") == ["skip"]
    assert complete(text, "detection", "train", "--pipeline_config_path", "=", "my") == ["my.config"]
    assert complete(text, "detection", "check", "my") == ["my.config"]


@pytest.mark.parametrize(("shell", "check"), [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")])
def test_the_script_is_valid_for_the_shell(shell, check, capfd, tmp_path):
    text = script(shell, capfd)
    for entry in catalogue.COMMANDS:
        assert entry.name in text
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is absent")
    (tmp_path / "script").write_text(text)
    done = subprocess.run([shell, check, str(tmp_path / "script")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("words", [[], ["csh"], ["bash", "zsh"]])
def test_other_shells(words, capfd):
    assert call("completion", *words) == 2
    assert capfd.readouterr().err == "error: usage: detection completion bash|zsh|fish\n"
