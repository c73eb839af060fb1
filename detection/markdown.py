"""Text that came from data, as it may stand in a Markdown file: names are names there, never markup, links or HTML."""

from __future__ import annotations

import re

from detection.errors import printable


class Code(str):
    """Text that `code` has made, which `words` leaves as it is."""


def words(text: object) -> str:
    """One line in which nothing is markup: neither a tag, a link, emphasis, nor the end of a table's cell."""
    escaped = str(text) if isinstance(text, Code) else re.sub(r"([\\`\[\]<>*])", r"\\\1", printable(text))
    return escaped.replace("|", "\\|")


def code(text: object) -> Code:
    """The text as it is, in so many backticks that none of its own ends it."""
    line = printable(text)
    fence = "`" * (max(map(len, re.findall("`+", line)), default=0) + 1)
    return Code(f"{fence} {line} {fence}" if len(fence) > 1 else f"`{line}`")
