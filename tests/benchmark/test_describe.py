"""A pipeline in numbers: those of the published SSD MobileNet v1, and what they become for other inputs."""

from __future__ import annotations

from pathlib import Path

import pytest

from detection import config
from detection.benchmark import describe
from detection.builders import pipeline

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "ssd_mobilenet_v1_050_synthetic.config"


def build(*settings: str):
    return pipeline.build(config.override(config.load(CONFIG), settings), read_label_maps=False)


def test_the_published_network():
    """SSD MobileNet v1 at 300 x 300 with 90 classes has 1917 anchors, 6.8 million parameters and 1.2 billion
    multiply-adds."""
    sizes = describe.anatomy(
        build(
            "fixed_shape_resizer={height: 300 width: 300}",
            "model.ssd.num_classes=90",
            "model.ssd.feature_extractor.depth_multiplier=1",
            "model.ssd.feature_extractor.num_layers=6",
            "model.ssd.anchor_generator={ssd_anchor_generator {aspect_ratios: [1, 2, 0.5, 3, 0.3333]}}",
            "model.ssd.box_predictor.convolutional_box_predictor.kernel_size=1",
        )
    )
    assert (
        sizes.maps == ((19, 19, 3), (10, 10, 6), (5, 5, 6), (3, 3, 6), (2, 2, 6), (1, 1, 6)) and sizes.anchors == 1917
    )
    assert (sizes.height, sizes.width, sizes.fixed) == (300, 300, True)
    assert sizes.trained + sizes.untrained == pytest.approx(6.84e6, rel=0.01)
    assert sizes.flops == pytest.approx(2.47e9, rel=0.01)
    rows = dict(describe.anatomy_rows(sizes))
    assert rows["input"] == "300 x 300 pixels"
    assert rows["anchors"] == "1917 = 19x19x3 + 10x10x6 + 5x5x6 + 3x3x6 + 2x2x6 + 1x1x6"


def test_sizes_that_vary_and_frozen_variables():
    built = build(
        "model.ssd.image_resizer={keep_aspect_ratio_resizer {min_dimension: 120 max_dimension: 200}}",
        "train_config.freeze_variables=FeatureExtractor/",
        "train_config.num_steps=0",
        "train_config.optimizer={momentum_optimizer {learning_rate {constant_learning_rate {learning_rate: 0.004}}}}",
    )
    sizes = describe.anatomy(built)
    assert (sizes.height, sizes.width, sizes.fixed) == (120, 160, False)
    assert "of varying size; 120 x 160 pixels for an image of 480 x 640" in describe.anatomy_rows(sizes)[0][1]
    assert 0 < sizes.trained < sizes.untrained
    assert describe.rate_rows(built) == [("learning rate", "0.004 at step 0")]
