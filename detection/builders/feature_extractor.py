"""Message `SsdFeatureExtractor` -> a feature extractor; the type strings are those of the TF Object Detection API."""

from __future__ import annotations

import difflib
from collections.abc import Callable

from detection.builders import hyperparams
from detection.errors import ConfigError
from detection.feature_extractors import mobilenet_v1
from detection.feature_extractors.ssd_maps import SsdExtractorOptions, SsdFeatureExtractor
from detection.protos import ssd_pb2

SSD_EXTRACTORS: dict[str, Callable[[SsdExtractorOptions], SsdFeatureExtractor]] = {
    "ssd_mobilenet_v1": mobilenet_v1.ssd,
    "ssd_mobilenet_v1_keras": mobilenet_v1.ssd,
}


def build_ssd(message: ssd_pb2.SsdFeatureExtractor, freeze_batch_norm: bool, path: str = "model.ssd.feature_extractor") -> SsdFeatureExtractor:
    """Raises ConfigError, listing the right names, where the type is unknown."""
    make = SSD_EXTRACTORS.get(message.type)
    if make is None:
        close = difflib.get_close_matches(message.type, SSD_EXTRACTORS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ConfigError(f"{path}.type: {message.type!r} is not supported{hint} (supported: {', '.join(sorted(SSD_EXTRACTORS))})")
    conv_hyperparams = hyperparams.build(message.conv_hyperparams, f"{path}.conv_hyperparams")
    return make(
        SsdExtractorOptions(
            hyperparams=conv_hyperparams.frozen() if freeze_batch_norm else conv_hyperparams,
            freeze_batch_norm=freeze_batch_norm,
            override_base=message.override_base_feature_extractor_hyperparams,
            depth_multiplier=message.depth_multiplier,
            min_depth=message.min_depth,
            pad_to_multiple=message.pad_to_multiple,
            explicit_padding=message.use_explicit_padding,
            depthwise=message.use_depthwise,
            num_maps=message.num_layers,
        )
    )
