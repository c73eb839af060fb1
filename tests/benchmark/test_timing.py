"""Interleaved timing: order, warm-up, ratios within rounds."""

import numpy as np
import pytest

from detection.benchmark.timing import interleave, summary


class _Clock:
    """Seconds that only the functions under test make pass."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def work(self, seconds: float):
        def run() -> None:
            self.now += seconds

        return run


def test_times_are_milliseconds_without_the_warm_up():
    clock = _Clock()
    calls = []

    def slow_at_first() -> None:
        calls.append(1)
        clock.now += 1.0 if len(calls) <= 3 else 0.002

    rounds = interleave({"f": slow_at_first}, warmup=3, runs=5, clock=clock)
    assert len(calls) == 8
    assert rounds.times["f"] == pytest.approx([2.0] * 5)


def test_every_function_runs_once_a_round_and_first_in_turn():
    order = []
    interleave({name: lambda name=name: order.append(name) for name in "abc"}, warmup=0, runs=3)
    assert "".join(order) == "abcbcacab"


def test_ratio_ignores_a_machine_that_slows_down():
    clock = _Clock()
    speed = {"round": 0}

    def task(seconds: float):
        def run() -> None:
            speed["round"] += 1
            clock.now += seconds * (1 + speed["round"] / 10)

        return run

    rounds = interleave({"whole": task(0.011), "part": task(0.010)}, warmup=0, runs=100, clock=clock)
    assert rounds.ratio("whole", "part") == pytest.approx(1.1, abs=0.01)


def test_summary_by_hand():
    timing = summary(np.arange(1.0, 12.0))
    assert timing[:5] == (6.0, 2.0, 10.0, 11, 6.0)
    assert timing.std == pytest.approx(10**0.5)


def test_processor_time_is_kept_apart():
    clock, cores = _Clock(), _Clock()

    def run() -> None:
        clock.now += 0.010
        cores.now += 0.004

    rounds = interleave({"f": run}, warmup=1, runs=3, clock=clock, cpu_clock=cores)
    assert rounds.times["f"] == pytest.approx([10.0] * 3) and rounds.cpu["f"] == pytest.approx([4.0] * 3)


def test_slow_functions_are_run_less_often():
    clock = _Clock()

    def run() -> None:
        clock.now += 1.0

    rounds = interleave({"f": run}, warmup=100, runs=100, clock=clock, max_seconds=10.0)
    assert len(rounds.times["f"]) == len(rounds.cpu["f"]) == 10 and clock.now == 2 + 10
    assert len(interleave({"f": run}, warmup=0, runs=100, clock=clock, max_seconds=0.1).times["f"]) == 1
    assert len(interleave({"f": run}, warmup=0, runs=3, clock=clock, max_seconds=10.0).times["f"]) == 3


def test_one_interruption_of_a_short_function_does_not_count():
    """Called several times in a round that is long; the processor's time is of the same calls."""
    clock, cpu = _Clock(), _Clock()
    calls = {"short": 0, "long": 0}

    def short() -> None:
        calls["short"] += 1
        clock.now += 0.5 if calls["short"] == 2 else 0.002  # the first that counts
        cpu.now += 0.003

    def long() -> None:
        calls["long"] += 1
        clock.work(3.0)()

    rounds = interleave(
        {"short": short, "long": long}, warmup=1, runs=1, clock=clock, cpu_clock=cpu, repeats={"short": 5}
    )
    assert calls == {"short": 1 + 5, "long": 1 + 1}
    assert rounds.times["short"] == pytest.approx([2.0]) and rounds.times["long"] == pytest.approx([3000.0])
    assert rounds.cpu["short"] == pytest.approx([3.0])
