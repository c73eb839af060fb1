"""The program `detection`: choice of the command, and errors for unknown ones."""

from __future__ import annotations

import sys

import pytest

import detection
from detection.commands import call, entry


@pytest.fixture
def program(capfd, monkeypatch):
    """program("check", "x") -> exit code, output, errors."""

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["/somewhere/detection", *words])
        capfd.readouterr()
        with call.restored(), pytest.raises(SystemExit) as left:
            entry.main()
        return (left.value.code or 0, *capfd.readouterr())

    return run


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",), ("help",)])
def test_overview(program, words):
    code, out, err = program(*words)
    assert (code, err) == (0, "") and out.startswith(f"detection {detection.__version__}\n")
    assert "\nTraining:\n  train " in out


@pytest.mark.parametrize("words", [("check", "--help"), ("help", "check"), ("--help", "check"), ("check", "-?")])
def test_help_of_one_command(program, words):
    code, out, err = program(*words)
    assert (code, err) == (0, "") and out.startswith("usage: detection check ")


def test_version(program):
    assert program("--version") == (0, f"detection {detection.__version__}\n", "")


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("trian", "unknown command trian; did you mean train? detection --help lists the commands"),
        ("check_config.py", "unknown command check_config.py; did you mean check? detection --help lists the commands"),
        ("create_tf_record", "unknown command create_tf_record; did you mean convert?"),
        ("model_main", "unknown command model_main; did you mean train?"),
        ("xyzzy", "unknown command xyzzy; detection --help lists the commands"),
        ("--model_dir=run", "--model_dir=run: flags come after the command"),
    ],
)
def test_unknown_commands(program, word, says):
    code, out, err = program(word)
    assert (code, out) == (2, "") and err.startswith(f"error: {says}") and err.count("\n") == 1


def test_flags_that_belong_to_another_command(program):
    code, _, err = program("train", "--pipeline_config_path=x", "--model_dir=y", "--checkpoint_dir=z")
    assert code == 2 and "unknown flag --checkpoint_dir" in err
