"""Small detectors with random weights, exported once for all tests of this folder."""

from tests.helpers.exports import exported, exported_fast_rcnn, exported_strings, fast_rcnn, trained

__all__ = ["exported", "exported_fast_rcnn", "exported_strings", "fast_rcnn", "trained"]
