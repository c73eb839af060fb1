"""Small hand-made records."""

from tests.helpers.records import example_fixture, numbered, options, picture_fixture, write

__all__ = ["example_fixture", "numbered", "options", "picture_fixture", "write"]
