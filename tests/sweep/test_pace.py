"""How long is left, by hand."""

from __future__ import annotations

from detection.sweep.pace import Pace


def test_trainings_and_rows_each_at_their_own_mean():
    pace = Pace(jobs=2)
    assert pace.eta(4, 10) == ""
    pace.add("train", 100)
    pace.add("train", 140)
    assert pace.eta(4, 10) == "ETA 4:00 for the trainings"  # 4 / 2 at a time * 120
    pace.add("measure", 6)
    pace.add_row()
    assert pace.eta(4, 10) == "ETA 5:00"
    assert pace.eta(0, 10) == "ETA 1:00"
    assert pace.eta(0, 0) == ""


def test_what_is_not_known_is_not_in_it():
    pace = Pace(jobs=1)
    pace.add("measure", 3)
    pace.add_row()
    assert pace.eta(2, 20) == "ETA 1:00 for what is trained"


def test_a_row_is_all_its_stages_and_those_that_run_beside_others_count_a_part():
    pace = Pace(jobs=2)
    pace.add("export", 8)
    pace.add("measure", 6)
    assert pace.eta(0, 10) == ""
    pace.add("evaluate", 4)
    pace.add_row()
    assert pace.eta(0, 10) == "ETA 2:00"  # 10 * (6 + (8 + 4) / 2)
    pace.add_row()  # Its training had evaluated it, and nothing was timed.
    assert pace.eta(0, 10) == "ETA 1:00"
