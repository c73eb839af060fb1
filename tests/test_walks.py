"""The count of returns: by hand on three small files, and at most five on each of the five walks."""

from __future__ import annotations

import importlib
import sys

import pytest

from tests import walks

FILES = {
    "one": """
        from walked import two, three
        def start():
            two.first()       # a stop: it calls `three`
            own()             # after a plain return, in a file that was never left
            three.look_up()   # calls nothing elsewhere: a look-up
            three.on()        # a stop
            two.second()      # a return: `three` lies between
        def own():
            three.look_up()
    """,
    "two": """
        from walked import three
        def first():
            three.look_up()
        def second():
            inner()
        def inner():
            three.look_up()
    """,
    "three": """
        from walked import four
        def look_up():
            pass
        def on():
            four.leaf()
    """,
    "four": """
        def leaf():
            pass
    """,
}


def test_returns_are_counted(tmp_path, monkeypatch):
    package = tmp_path / "walked"
    package.mkdir()
    (package / "__init__.py").touch()
    for name, text in FILES.items():
        (package / f"{name}.py").write_text("\n".join(line[8:] for line in text.splitlines()))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(walks, "PACKAGE", f"{package}/")
    one = importlib.import_module("walked.one")
    walk = walks.Walk()
    with walk.recorded():
        one.start()
    for name in [name for name in sys.modules if name.split(".")[0] == "walked"]:
        del sys.modules[name]
    stays = [(stay.file.rpartition("/")[2], stay.functions, stay.is_return) for stay in walk.stays()]
    assert stays == [
        ("one.py", ["start"], False),
        ("two.py", ["first"], False),
        ("one.py", ["own"], False),
        ("three.py", ["on"], False),
        ("two.py", ["second", "inner"], True),
    ]
    assert walk.returns() == 1


@pytest.mark.long
def test_no_walk_has_more_than_five_returns(tmp_path):
    for name, walk in walks.walk_all(tmp_path).items():
        assert len(walk.stays()) > 10 and walk.returns() <= walks.MOST_RETURNS, (name, walk.stays())
