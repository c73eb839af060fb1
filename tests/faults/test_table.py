"""docs/faults.md: every row is there, and every test that it names exists. Read from the sources; nothing is collected
or run."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROWS = 67
CODES = {"0", "1", "2", "3", "4", "5", "129", "130", "143"}
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def table() -> dict[int, list[str]]:
    """Row number -> its cells."""
    rows = {}
    for line in (ROOT / "docs" / "faults.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("| "))]
        if cells[0].isdigit():
            assert int(cells[0]) not in rows, f"row {cells[0]} is there twice"
            rows[int(cells[0])] = cells
    return rows


@cache
def functions(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def test_every_row_is_there():
    assert list(table()) == list(range(1, ROWS + 1))


@pytest.mark.parametrize("number", range(1, ROWS + 1))
def test_a_row_says_what_happens_and_names_tests_that_exist(number):
    _, fault, happens, code, tests = table()[number]
    assert fault and happens
    codes = re.findall(r"\d+", code)
    assert codes and set(codes) <= CODES, code
    named = _TEST.findall(tests)
    assert named and len(named) == tests.count("`") // 2, tests
    for path, name in named:
        assert (ROOT / path).is_file(), path
        assert name in functions(path), f"{path} has no {name}"


def test_exit_codes_are_those_of_the_package():
    """README and the table speak of the codes that `detection.errors` documents."""
    import detection.errors

    documented = set(re.findall(r"^\| (\d+) \|", detection.errors.__doc__, re.MULTILINE))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme[readme.index("## Exit codes") :].split("\n## ")[0]
    assert documented == CODES == set(re.findall(r"^\| (\d+) \|", section, re.MULTILINE))
