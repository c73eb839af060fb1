"""Tables as text: for a terminal, and in Markdown."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from detection.markdown import words


def aligned(rows: Sequence[Sequence[str]], *, left: Collection[int] = (0,), widths: Sequence[int] = ()) -> list[str]:
    """One line a row, two blanks between columns as wide as they must be.

    Args:
        rows: cells, the heading first.
        left: columns that start at the left; the others end at the right.
        widths: what the first columns are wide at least.
    """
    least = [*widths, *[0] * (len(rows[0]) - len(widths))]
    wide = [max(most, *(len(row[column]) for row in rows)) for column, most in enumerate(least)]
    return [
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, wide, strict=True))
        ).rstrip()
        for row in rows
    ]


def markdown(head: Sequence[object], rows: Iterable[Sequence[object]], *, right: Collection[int] = ()) -> str:
    """A Markdown table, in which text cannot end a cell; the columns `right` are set to the right."""
    rule = ["---:" if column in right else "---" for column in range(len(head))]
    cells = [[words(cell) for cell in row] for row in (head, *rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (cells[0], rule, *cells[1:]))


def padded_markdown(head: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """The same with columns that stand under each other where it is read as text."""
    cells = [[words(cell) for cell in row] for row in (head, *rows)]
    widths = [max(3, *(len(row[column]) for row in cells)) for column in range(len(head))]
    lines = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in cells]
    return "\n".join(f"| {' | '.join(row)} |" for row in (lines[0], ["-" * width for width in widths], *lines[1:]))
