"""Small detectors with random weights, exported once for all tests of this folder."""

import pytest

from tests.helpers import keras_ssd
from tests.helpers.exports import exported, exported_fast_rcnn, exported_strings, fast_rcnn, trained

__all__ = ["exported", "exported_fast_rcnn", "exported_strings", "fast_rcnn", "trained"]


@pytest.fixture(scope="module")
def keras_detector():
    """A detector with keys in object-based checkpoints."""
    return keras_ssd.detector()
