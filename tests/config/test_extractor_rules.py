"""Fields that fit only some SSD extractors.

They are unsupported or without effect for others, or sizes that a type requires.
"""

from __future__ import annotations

import pytest

from detection import config
from detection.errors import ConfigError

EXTRACTOR = "model.ssd.feature_extractor"
ANCHORS = "model.ssd.anchor_generator.ssd_anchor_generator"
EMBEDDED = [f"{EXTRACTOR}.type=embedded_ssd_mobilenet_v1", f"{ANCHORS}.num_layers=5"]
SIDE_256 = "model.ssd.image_resizer={fixed_shape_resizer {height: 256 width: 256}}"
PYRAMID = "model.ssd.anchor_generator={{multiscale_anchor_generator {{min_level: {} max_level: {} aspect_ratios: 1}}}}"


def _checked(message, *settings: str) -> list[str]:
    return config.check(config.override(message, settings), "my.config", check_paths=False)


def _fault(message, *settings: str) -> str:
    with pytest.raises(ConfigError) as error:
        _checked(message, *settings)
    return error.value.lines()[0].removeprefix("my.config: ")


@pytest.mark.parametrize("type_", ["ssd_mobilenet_v3_small", "ssd_mobiledet_cpu", "ssd_mobilenet_edgetpu"])
def test_networks_that_cannot_pad_explicitly(ssd, type_):
    given = [f"{EXTRACTOR}.type={type_}"]
    assert _checked(ssd, *given, f"{EXTRACTOR}.use_depthwise=true") == []
    expected = f"{EXTRACTOR}.use_explicit_padding is not for {type_}; remove it"
    assert _fault(ssd, *given, f"{EXTRACTOR}.use_explicit_padding=true") == expected


def test_fields_that_change_nothing(ssd):
    """They give warnings, as the reference accepts such configs."""
    field = f"{EXTRACTOR}.override_base_feature_extractor_hyperparams"
    (warning,) = _checked(ssd, f"{EXTRACTOR}.type=ssd_mobiledet_gpu", f"{field}=true")
    assert warning == f"my.config: {field} has no effect on ssd_mobiledet_gpu, as in the TF Object Detection API"
    (warning,) = _checked(ssd, f"{EXTRACTOR}.type=ssd_mobilenet_v1_ppn", f"{EXTRACTOR}.use_depthwise=true")
    assert warning.startswith(f"my.config: {EXTRACTOR}.use_depthwise has no effect on ssd_mobilenet_v1_ppn")


def test_embedded_mobilenet_takes_one_size(ssd):
    assert _checked(ssd, *EMBEDDED, SIDE_256) == []
    needed = "embedded_ssd_mobilenet_v1 takes images of 256 x 256 only"
    expected = f"model.ssd.image_resizer: {needed}; use fixed_shape_resizer {{ height: 256 width: 256 }}"
    assert _fault(ssd, *EMBEDDED) == expected
    padded = _fault(ssd, *EMBEDDED, SIDE_256, f"{EXTRACTOR}.pad_to_multiple=32")
    assert padded == f"{EXTRACTOR}.pad_to_multiple (32) must be 1: {needed}"


def test_embedded_mobilenet_has_five_maps(ssd):
    """The default of 6 is more than it has, so the number must be set."""
    assert "num_layers (6) is more than the 5 feature maps" in _fault(
        ssd, *EMBEDDED, SIDE_256, f"{EXTRACTOR}.num_layers=6"
    )
    assert "num_layers (6) differs from" in _fault(ssd, EMBEDDED[0], SIDE_256)


def test_a_pyramid_of_fixed_levels(ssd):
    type_ = f"{EXTRACTOR}.type=ssd_mobilenet_v2_mnasfpn"
    warnings = _checked(ssd, type_, PYRAMID.format(3, 6), f"{EXTRACTOR}.fpn={{min_level: 3 max_level: 6}}")
    assert warnings == [
        f"my.config: {EXTRACTOR}.conv_hyperparams has no effect on ssd_mobilenet_v2_mnasfpn, as in the TF Object"
        " Detection API"
    ]
    expected = (
        f"{EXTRACTOR}.fpn has levels 3 to 7; ssd_mobilenet_v2_mnasfpn has 3 to 6 only: set min_level: 3 max_level: 6"
    )
    assert _fault(ssd, type_, PYRAMID.format(3, 7)) == expected
