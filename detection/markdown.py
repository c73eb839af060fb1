"""Escapes text from data for Markdown files, so that names are not read as markup, links or HTML."""

from __future__ import annotations

import re

from detection.errors import printable


class Code(str):
    """Result of `code`, which `words` does not escape again."""


def words(text: object) -> str:
    """One line with all markup escaped: tags, links, emphasis and the end of a table cell."""
    escaped = str(text) if isinstance(text, Code) else re.sub(r"([\\`\[\]<>*])", r"\\\1", printable(text))
    return escaped.replace("|", "\\|")


def code(text: object) -> Code:
    """The text as inline code, fenced by more backticks than it contains."""
    line = printable(text)
    fence = "`" * (max(map(len, re.findall("`+", line)), default=0) + 1)
    return Code(f"{fence} {line} {fence}" if len(fence) > 1 else f"`{line}`")
