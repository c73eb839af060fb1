"""Running a command inside the process restores the process afterwards."""

from __future__ import annotations

import logging
import os
import sys
import warnings

import pytest
from absl import app
from absl import flags as absl_flags
from absl import logging as absl_logging

from detection.commands import catalogue
from detection.commands.call import call
from detection.commands.flags import Given


def state() -> tuple[object, ...]:
    return (
        set(absl_flags.FLAGS),
        absl_flags.FLAGS.is_parsed(),
        absl_flags.FLAGS["verbosity"].value,
        absl_flags.FLAGS["logtostderr"].value,
        list(logging.getLogger().handlers),
        logging.getLogger().level,
        absl_logging.get_absl_logger().level,
        absl_logging.get_absl_handler().python_handler.formatter,
        os.environ.get("TF_CPP_MIN_LOG_LEVEL"),
        sys.stdout,
        sys.stderr,
        list(warnings.filters),
    )


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["completion", "bash", "--verbosity=1", "--logtostderr"], 0),
        (["completion", "--help"], 0),
        (["completion", "--no_such_flag"], 2),
        (["completion", "no_such_shell"], 2),
        (["check"], 2),
        (["check_config.py"], 2),
    ],
)
def test_the_process_is_restored(words, code, monkeypatch):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    app.define_help_flags()  # absl does so at its first run, once for a process.
    before = state()
    assert call(*words) == code
    assert state() == before


def test_flags_of_one_call_are_not_those_of_the_next(monkeypatch):
    seen: list[object] = []
    module = catalogue.BY_NAME["check"].module()
    monkeypatch.setattr(module, "run", lambda given: seen.append((given.flags.quiet, list(given.flags.set))) or 0)
    assert call("check", "--quiet", "--set=a=1", "x") == 0
    assert call("check", "x") == 0
    assert seen == [(True, ["a=1"]), (False, [])]


def test_the_process_flags_act_while_the_command_runs(monkeypatch):
    seen: list[tuple[int, bool]] = []
    # Whatever an earlier test of this process has set.
    monkeypatch.setattr(absl_flags.FLAGS["verbosity"], "using_default_value", True)
    module = catalogue.BY_NAME["check"].module()
    monkeypatch.setattr(
        module, "run", lambda _: seen.append((absl_logging.get_verbosity(), absl_logging.level_info())) or 0
    )
    call("check", "x")
    call("check", "--verbosity=-1", "x")
    assert [level for level, _ in seen] == [0, -1]


@pytest.mark.parametrize(("name", "program"), [("check", "detection check"), ("check_config.py", "check_config.py")])
def test_messages_use_the_name_that_was_called(name, program, capfd):
    assert call(name) == 2
    error = capfd.readouterr().err
    assert error.startswith(f"error: no config is named; usage: {program} [--no_paths]")


def test_a_bug_stays_an_exception(monkeypatch):
    def run(given: Given) -> int:
        raise KeyError("x")

    monkeypatch.setattr(catalogue.BY_NAME["check"].module(), "run", run)
    with pytest.raises(KeyError):
        call("check", "x")


def test_only_checking_arguments(capfd):
    assert call("check", "--only_check_args", "absent.config") == 0
    assert call("check", "--only_check_args", "--no_such_flag") == 2
    assert "unknown flag" in capfd.readouterr().err
