"""docs/config.md is up to date."""

from __future__ import annotations

from pathlib import Path

from detection.config import fields, reference

PAGE = Path(__file__).resolve().parents[2] / "docs" / "config.md"


def test_the_page_is_up_to_date():
    assert PAGE.read_text() == reference.page(), "run: python -m detection.config.reference > docs/config.md"


def test_every_field_is_on_it():
    lines = [line for line in reference.page().splitlines() if line.startswith("| `")]
    assert len(lines) == sum(map(len, fields.TABLE.values()))
    assert any("`num_classes` | whole number" in line and "at least 1" in line for line in lines)
