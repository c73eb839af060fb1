"""Renames variables so that tutorials can select those to fine-tune by name.

    prefixes_to_train = ["WeightSharedConvolutionalBoxPredictor/WeightSharedConvolutionalBoxHead", ...]
    to_fine_tune = [v for v in model.trainable_variables if any(v.name.startswith(p) for p in prefixes_to_train)]

Variables of heads get the names of the TF Object Detection API; all others keep their names.
"""

from __future__ import annotations

import re

from detection.pipeline import Detector
from detection.tools.tf_internals import rename

_SHARED = "WeightSharedConvolutionalBoxPredictor"
_CLASSES = "class_predictions_with_background"
# Key below _box_predictor -> name; the last part of both is the variable.
_HEADS = (
    (r"_box_prediction_head/_box_encoder_layers/\d+", f"{_SHARED}/WeightSharedConvolutionalBoxHead/BoxPredictor"),
    (
        rf"_prediction_heads/{_CLASSES}/_class_predictor_layers/\d+",
        f"{_SHARED}/WeightSharedConvolutionalClassHead/ClassPredictor",
    ),
    (
        r"_prediction_heads/box_encodings/(\d+)/_box_encoder_layers/\d+",
        r"BoxPredictor/ConvolutionalBoxHead_\1/BoxEncodingPredictor",
    ),
    (
        rf"_prediction_heads/{_CLASSES}/(\d+)/_class_predictor_layers/\d+",
        r"BoxPredictor/ConvolutionalClassHead_\1/ClassPredictor",
    ),
)


def original(key: str) -> str | None:
    """Returns the name of a head's variable, given its key in object-based checkpoints; None for other variables."""
    path, _, variable = key.removeprefix("model/_box_predictor/").rpartition("/")
    for pattern, name in _HEADS:
        if match := re.fullmatch(pattern, path):
            return f"{match.expand(name)}/{variable}"
    return None


def renamed(detector: Detector) -> Detector:
    """Renames the variables of a detector, with the suffix `:0`, and returns the detector."""
    keys = {id(variable): key for key, variable in detector.object_keys().items()}
    for variable in detector.variables:
        name = original(keys.get(id(variable), "")) or variable.path
        rename(variable, f"{name}:0")
    return detector
