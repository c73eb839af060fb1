"""Small detectors with random weights, exported once for all tests of this folder."""

from tests.helpers.commands import command
from tests.helpers.exports import exported, exported_fast_rcnn, exported_strings, fast_rcnn, trained

__all__ = ["command", "exported", "exported_fast_rcnn", "exported_strings", "fast_rcnn", "trained"]
