"""The progress line: counting, rate, ETA, terminal and plain output."""

from __future__ import annotations

import io

import pytest

from detection.progress import Progress, counted, duration


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_output_has_a_line_every_interval_and_one_at_the_end():
    clock, stream = Clock(), io.StringIO()
    with Progress(100, "step", label="train", every=10, stream=stream, clock=clock) as progress:
        for _ in range(100):
            clock.now += 0.25
            progress.update(loss=1.23456)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[0] == "train  40/100 (40%)  4 step/s  ETA 0:15  loss 1.235"
    assert lines[-1] == "train  100/100 (100%)  4 step/s  loss 1.235  in 0:25"


def test_terminal_redraws_one_line_and_erases_a_longer_one():
    clock, stream = Clock(), Terminal()
    with Progress(10, "image", stream=stream, clock=clock) as progress:
        clock.now += 1
        progress.update(note="a long remark")
        clock.now += 1
        progress.update(note="x")
    text = stream.getvalue()
    assert text.count("\n") == 1 and text.endswith("\n")
    first, second = text.split("\r")[1:3]
    assert len(second) >= len(first)


def test_the_first_unit_and_earlier_runs_do_not_count_for_the_rate():
    clock = Clock()
    progress = Progress(1000, stream=io.StringIO(), start=500, clock=clock)
    clock.now += 60  # tracing
    progress.update()
    assert progress.rate is None and progress.remaining_seconds is None
    for _ in range(9):
        clock.now += 0.5
        progress.update()
    assert progress.done == 510
    assert progress.rate == pytest.approx(2.0)
    assert progress.remaining_seconds == pytest.approx(245.0)


def test_a_long_pause_does_not_affect_the_rate_for_long():
    clock = Clock()
    progress = Progress(None, stream=io.StringIO(), clock=clock)
    progress.update()
    clock.now += 600
    for _ in range(200):
        clock.now += 0.5
        progress.update()
    assert progress.rate == pytest.approx(2.0)


def test_unknown_total_has_no_eta():
    progress = Progress(None, "image", stream=io.StringIO())
    progress.update(3)
    assert progress.line() == "3 images"


def test_messages_have_their_own_lines():
    stream = Terminal()
    progress = Progress(5, stream=stream)
    progress.write("checkpoint saved")
    assert stream.getvalue().endswith("checkpoint saved\n")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0:00"), (7, "0:07"), (750, "12:30"), (11172, "3:06:12"), (183600, "2 d 03:00:00")]
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_items_are_counted_on_a_terminal_and_in_a_log():
    for stream in (io.StringIO(), Terminal()):
        assert list(counted("abc", 3, "reading", stream)) == list("abc")
        assert "reading  3/3 (100%)" in stream.getvalue().splitlines()[-1]
    unknown = io.StringIO()
    assert list(counted(range(3), 0, "reading", unknown)) == [0, 1, 2]
    assert unknown.getvalue().startswith("reading  3 images")
    assert list(counted(range(3), 3, "reading", None)) == [0, 1, 2]
