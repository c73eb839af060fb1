"""Tables as text and in Markdown."""

from __future__ import annotations

from detection.tools.tables import aligned, markdown, padded_markdown


def test_columns_are_aligned():
    assert aligned([["name", "ms"], ["a", "10.5"], ["longer", ""]]) == ["name      ms", "a       10.5", "longer"]
    assert aligned([["1", "ab"], ["10", "c"]], left=(1,), widths=(3,)) == ["  1  ab", " 10  c"]


def test_markdown_has_a_rule_and_text_cannot_end_a_cell():
    assert markdown(("a", "b"), [("x|y", 1)], right={1}) == "| a | b |\n| --- | ---: |\n| x\\|y | 1 |"
    assert padded_markdown(("a", "bcde"), [("x", "y")]) == "| a   | bcde |\n| --- | ---- |\n| x   | y    |"
