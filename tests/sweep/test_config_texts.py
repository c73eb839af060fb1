"""What the configs beside the rows add to them."""

from __future__ import annotations

from detection.sweep.quantities import title
from tests.helpers import plausible


def test_thin_networks_say_so():
    """Only the config knows, and a grid may call a thin network by the whole one's name."""
    from detection.sweep import config_texts

    rows = plausible.rows()[:3]
    texts = {
        rows[0].key: "feature_extractor { type: 'x' depth_multiplier: 0.25 }",
        rows[1].key: "feature_extractor { depth_multiplier: 1.0 }",
    }
    thin, *whole = config_texts.with_widths(rows, texts)
    assert whole == rows[1:] and title(thin) == title(rows[0]) + ", depth_multiplier 0.25"
    assert config_texts.with_widths([thin], texts) == [thin]
