"""How long is left, by hand."""

from __future__ import annotations

from detection.sweep.pace import Pace


def test_each_kind_at_its_own_mean():
    pace = Pace(jobs=2)
    assert pace.words(4, 10) == ""
    pace.add("train", 100)
    pace.add("train", 140)
    assert pace.words(4, 10) == "ETA 4:00 for the trainings"  # 4 / 2 at a time * 120
    pace.add("measure", 6)
    assert pace.words(4, 10) == "ETA 5:00"
    assert pace.words(0, 10) == "ETA 1:00"
    assert pace.words(0, 0) == ""


def test_what_is_not_known_is_not_in_it():
    pace = Pace(jobs=1)
    pace.add("measure", 3)
    assert pace.words(2, 20) == "ETA 1:00 for what is trained"


def test_exports_count_with_what_is_measured():
    pace = Pace(jobs=2)
    pace.add("export", 8)
    assert pace.words(0, 10) == ""
    pace.add("measure", 6)
    assert pace.words(0, 10) == "ETA 1:40"  # 10 * (6 + 8 / 2)
