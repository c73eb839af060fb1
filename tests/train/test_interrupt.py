from __future__ import annotations

import os
import signal

import pytest

from detection.train.interrupt import Interrupted, StopRequest


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_noted_and_handlers_come_back(number):
    before = signal.getsignal(number)
    with StopRequest() as stop:
        assert stop.signal_number is None
        os.kill(os.getpid(), number)
        assert stop.signal_number == number
        assert signal.getsignal(number) is before
    assert signal.getsignal(number) is before


def test_long_work_is_left_at_once():
    before = signal.getsignal(signal.SIGTERM)
    with (
        pytest.raises(Interrupted, match="stopped by signal 15; all saved") as raised,
        StopRequest() as stop,
        stop.at_once("all saved"),
    ):
        os.kill(os.getpid(), signal.SIGTERM)
    assert raised.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) is before


def test_long_work_is_not_begun_after_a_signal():
    with pytest.raises(Interrupted, match="stopped by signal 15; all saved"), StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        with stop.at_once("all saved"):
            pytest.fail("entered")


def test_an_error_that_wraps_the_interruption_is_the_interruption():
    """Keras turns what is raised while it traces a layer into a RuntimeError."""
    with (
        StopRequest() as stop,
        pytest.raises(Interrupted, match="stopped by signal 15; all saved") as raised,
        stop.at_once("all saved"),
    ):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except Interrupted as error:
            raise RuntimeError("Exception encountered when calling a layer") from error
    assert raised.value.__cause__.args == ("Exception encountered when calling a layer",)


def test_errors_without_a_signal_stay_what_they_are():
    with StopRequest() as stop, pytest.raises(RuntimeError, match="a bug"), stop.at_once("all saved"):
        raise RuntimeError("a bug")
