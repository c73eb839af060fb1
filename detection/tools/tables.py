"""Tables as plain text for a terminal, and in Markdown."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from detection.markdown import words


def aligned(rows: Sequence[Sequence[str]], *, left: Collection[int] = (0,), widths: Sequence[int] = ()) -> list[str]:
    """Formats one line per row, with columns as wide as their widest cell and two spaces between them.

    Args:
        rows: cells, the heading first.
        left: columns that are left-aligned; the others are right-aligned.
        widths: minimum widths of the first columns.
    """
    min_widths = [*widths, *[0] * (len(rows[0]) - len(widths))]
    column_widths = [max(min_width, *(len(row[column]) for row in rows)) for column, min_width in enumerate(min_widths)]
    return [
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, column_widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def markdown(head: Sequence[object], rows: Iterable[Sequence[object]], *, right: Collection[int] = ()) -> str:
    """A Markdown table with its cells escaped; the columns in `right` are right-aligned."""
    rule = ["---:" if column in right else "---" for column in range(len(head))]
    cells = [[words(cell) for cell in row] for row in (head, *rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (cells[0], rule, *cells[1:]))


def padded_markdown(head: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table with padded cells, so that its columns also line up as plain text."""
    cells = [[words(cell) for cell in row] for row in (head, *rows)]
    widths = [max(3, *(len(row[column]) for row in cells)) for column in range(len(head))]
    lines = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in cells]
    return "\n".join(f"| {' | '.join(row)} |" for row in (lines[0], ["-" * width for width in widths], *lines[1:]))
