from __future__ import annotations

import pytest

from detection.train.feed import Feed


def test_speed_and_waiting_are_measured_between_calls():
    now = [0.0]

    def examples():
        while True:
            now[0] += 0.25
            yield "example"

    feed = Feed(examples(), clock=lambda: now[0])
    assert feed.speed() is None
    for _ in range(4):
        assert feed.next() == "example"
        now[0] += 0.75
    assert feed.speed() == pytest.approx((1.0, 0.25))
    assert feed.speed() is None
    feed.next()
    now[0] += 100
    feed.restart_clock()
    assert feed.speed() is None
