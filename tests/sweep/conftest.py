"""Commands in this process."""

from tests.helpers.commands import command

__all__ = ["command"]
