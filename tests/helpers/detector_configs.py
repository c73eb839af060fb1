"""Text of the config of a small detector for every meta-architecture, with any feature extractor: what the tests over
all of them are made from; and what such a detector's training wrote down.

A new meta-architecture gets a line in `TEMPLATES`; the tests fail until it has one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import tensorflow as tf

from detection.builders import feature_extractor


class Settings(NamedTuple):
    """What the tests vary."""

    type: str  # of the feature extractor
    height: int
    width: int
    num_classes: int = 4
    depth_multiplier: float = 1.0
    min_depth: int = 8
    train_batch_norm: bool = True
    depthwise: bool = False  # SSDLite: depthwise separable extra layers and predictors
    override_base: bool = (
        False  # the network too is made by the config's hyperparameters, with batch norm that adapts within few steps
    )
    decay: float = 0.9  # of batch norm's averages then


OVERRIDES = ("ssd_inception_v2", "ssd_inception_v3")  # the reference demands `override_base` of these
_HYPERPARAMS = """
  activation: RELU_6
  initializer { truncated_normal_initializer { stddev: 0.03 } }
  regularizer { l2_regularizer { weight: 0.00004 } }
"""
_SSD = """
model { ssd {
  num_classes: %(num_classes)d
  encode_background_as_zeros: true
  image_resizer { fixed_shape_resizer { height: %(height)d width: %(width)d } }
  feature_extractor {
    type: "%(type)s" depth_multiplier: %(depth_multiplier)g min_depth: %(min_depth)d use_depthwise: %(depthwise)s
    %(pyramid)s
    override_base_feature_extractor_hyperparams: %(override)s
    conv_hyperparams { %(hyperparams)s batch_norm { decay: %(decay)g epsilon: 0.001 scale: true } }
  }
  freeze_batchnorm: %(frozen)s
  anchor_generator { %(anchors)s }
  box_coder { faster_rcnn_box_coder { y_scale: 10 x_scale: 10 height_scale: 5 width_scale: 5 } }
  matcher { argmax_matcher { matched_threshold: 0.5 unmatched_threshold: 0.5 force_match_for_each_row: true } }
  similarity_calculator { iou_similarity { } }
  box_predictor { %(predictor)s }
  loss {
    classification_loss { weighted_sigmoid_focal { gamma: 2.0 alpha: 0.75 } } localization_loss { weighted_smooth_l1 {
      } }
    classification_weight: 1 localization_weight: 1
  }
  normalize_loss_by_num_matches: true
  post_processing {
    batch_non_max_suppression { score_threshold: 1e-8 iou_threshold: 0.6 max_detections_per_class: 50
      max_total_detections: 50 }
    score_converter: SIGMOID
  }
} }
"""
_SSD_ANCHORS = """ssd_anchor_generator {
    num_layers: %(maps)d min_scale: 0.2 max_scale: 0.95 aspect_ratios: 1.0 aspect_ratios: 2.0 aspect_ratios: 0.5
  }"""
_SSD_PREDICTOR = """convolutional_box_predictor {
    kernel_size: 3 use_dropout: false use_depthwise: %(depthwise)s class_prediction_bias_init: -2.0
    conv_hyperparams { %(hyperparams)s }
  }"""
_PYRAMIDS = {
    "fpn": "fpn { additional_layer_depth: 32 }",
    "mnasfpn": "fpn { min_level: 3 max_level: 6 }",
    "bifpn": "bifpn { num_iterations: 2 num_filters: 32 }",
}
_PYRAMID_ANCHORS = """multiscale_anchor_generator {
    min_level: 3 max_level: %(highest)d anchor_scale: 3 scales_per_octave: 1 aspect_ratios: 1.0 aspect_ratios: 2.0
    aspect_ratios: 0.5
  }"""
_PYRAMID_PREDICTOR = """weight_shared_convolutional_box_predictor {
    depth: 24 num_layers_before_predictor: 1 use_depthwise: %(depthwise)s class_prediction_bias_init: -2.0
    conv_hyperparams { %(hyperparams)s batch_norm { decay: %(decay)g epsilon: 0.001 scale: true } }
  }"""
_TWO_STAGE = """
model { %(meta)s {
  num_classes: %(num_classes)d
  image_resizer { fixed_shape_resizer { height: %(height)d width: %(width)d } }
  feature_extractor {
    type: "%(type)s" depth_multiplier: %(depth_multiplier)g min_depth: %(min_depth)d batch_norm_trainable:
      %(train_batch_norm)s
    override_base_feature_extractor_hyperparams: %(override)s
    conv_hyperparams { %(hyperparams)s batch_norm { decay: %(decay)g epsilon: 0.001 scale: true } }
    %(fpn)s
  }
  first_stage_anchor_generator { %(anchors)s }
  first_stage_box_predictor_conv_hyperparams { initializer { truncated_normal_initializer { stddev: 0.03 } } }
  first_stage_box_predictor_depth: 64 first_stage_minibatch_size: 64 first_stage_max_proposals: 24
    second_stage_batch_size: 16
  initial_crop_size: %(crop_size)d maxpool_kernel_size: 2 maxpool_stride: 2
  second_stage_box_predictor { %(predictor)s }
  second_stage_post_processing {
    batch_non_max_suppression { score_threshold: 1e-8 iou_threshold: 0.6 max_detections_per_class: 50
      max_total_detections: 50 }
    score_converter: SOFTMAX
  }
} }
"""
_CENTER_NET = """
model { center_net {
  num_classes: %(num_classes)d
  image_resizer { fixed_shape_resizer { height: %(height)d width: %(width)d } }
  feature_extractor { type: "%(type)s" depth_multiplier: %(depth_multiplier)g }
  use_depthwise: %(depthwise)s
  object_detection_task {
    localization_loss { l1_localization_loss { } }
    scale_head_params { num_filters: 16 kernel_sizes: 3 } offset_head_params { num_filters: 16 kernel_sizes: 3 }
  }
  object_center_params {
    classification_loss { penalty_reduced_logistic_focal_loss { alpha: 2 beta: 4 } }
    max_box_predictions: 50 center_head_params { num_filters: 16 kernel_sizes: 3 }
  }
} }
"""
_GRID_ANCHORS = """grid_anchor_generator {
    height: 64 width: 64 scales: 0.5 scales: 1 aspect_ratios: 0.7 aspect_ratios: 1.4 height_stride: 16 width_stride: 16
  }"""
_LEVEL_ANCHORS = """multiscale_anchor_generator {
    min_level: 3 max_level: 6 anchor_scale: 3 scales_per_octave: 1 aspect_ratios: 0.7 aspect_ratios: 1.4
  }"""
_INITIALISED = "initializer { truncated_normal_initializer { stddev: 0.03 } }"
_REGION_HEAD = f"mask_rcnn_box_predictor {{ fc_hyperparams {{ op: FC {_INITIALISED} }} }}"
_RFCN_HEAD = f"rfcn_box_predictor {{ conv_hyperparams {{ {_INITIALISED} }} depth: 64 crop_height: 6 crop_width: 6 }}"
_SIX = ("faster_rcnn_caffenet", "faster_rcnn_vgg_cnn_m_1024")  # whose fully connected layers take crops of 6x6, not 7x7


def _words(settings: Settings) -> dict[str, object]:
    words = {
        name: str(value).lower() if isinstance(value, bool) else value for name, value in settings._asdict().items()
    }
    override = str(settings.override_base or settings.type in OVERRIDES).lower()
    return {
        **words,
        "frozen": str(not settings.train_batch_norm).lower(),
        "override": override,
        "hyperparams": _HYPERPARAMS,
    }


def has_pyramid(type_: str) -> bool:
    """Whether an extractor's maps are those of a feature pyramid."""
    return type_.removesuffix("_keras").endswith("_fpn")


def ssd(settings: Settings) -> str:
    """SSD with six maps and three or four anchors a cell, with a pyramid five maps and three. A network for images of
    one size gets them."""
    embedded = settings.type.startswith("embedded_")
    words = _words(settings._replace(height=256, width=256) if embedded else settings)
    pyramid = _PYRAMIDS.get(settings.type.removesuffix("_keras").rpartition("_")[2], "")
    anchors, predictor = (_PYRAMID_ANCHORS, _PYRAMID_PREDICTOR) if pyramid else (_SSD_ANCHORS, _SSD_PREDICTOR)
    anchors = anchors % {"maps": 5 if embedded else 6, "highest": 6 if settings.type.endswith("_mnasfpn") else 7}
    return _SSD % {**words, "anchors": anchors, "predictor": predictor % words, "pyramid": pyramid}


def center_net(settings: Settings) -> str:
    """CenterNet with narrow heads."""
    return _CENTER_NET % _words(settings)


def _two_stage(settings: Settings, meta: str, predictor: str) -> str:
    pyramid = has_pyramid(settings.type)
    words = {
        "meta": meta,
        "predictor": predictor,
        "crop_size": 12 if settings.type in _SIX else 14,
        "anchors": _LEVEL_ANCHORS if pyramid else _GRID_ANCHORS,
        "fpn": "fpn { min_level: 3 max_level: 6 additional_layer_depth: 32 }" if pyramid else "",
    }
    return _TWO_STAGE % {**_words(settings), **words}


def faster_rcnn(settings: Settings) -> str:
    """Four anchors a cell, 24 proposals an image."""
    return _two_stage(settings, "faster_rcnn", _REGION_HEAD)


def rfcn(settings: Settings) -> str:
    """The same proposals, nine bins."""
    return _two_stage(settings, "faster_rcnn", _RFCN_HEAD)


def fast_rcnn(settings: Settings) -> str:
    """24 given proposals an image."""
    return _two_stage(settings, "fast_rcnn", _REGION_HEAD)


# Two-stage detector -> (its template, the registry of its extractors). R-FCN is a model.faster_rcnn with another head.
TWO_STAGE: dict[str, tuple[Callable[[Settings], str], dict[str, Callable]]] = {
    "faster_rcnn": (faster_rcnn, feature_extractor.TWO_STAGE_EXTRACTORS),
    "rfcn": (rfcn, feature_extractor.TWO_STAGE_EXTRACTORS),
    "fast_rcnn": (fast_rcnn, feature_extractor.TWO_STAGE_EXTRACTORS),
}
# Name of the oneof in DetectionModel -> (its template, the registry of its extractors).
TEMPLATES: dict[str, tuple[Callable[[Settings], str], dict[str, Callable]]] = {
    "ssd": (ssd, feature_extractor.SSD_EXTRACTORS),
    "center_net": (center_net, feature_extractor.CENTER_EXTRACTORS),
}


def distinct(registry: dict[str, Callable]) -> list[str]:
    """The types of a registry, aliases left out: of several names for one factory the shortest."""
    shortest: dict[tuple, str] = {}
    for name, factory in registry.items():
        key = leads_to(factory)
        shortest[key] = min(shortest.get(key, name), name, key=lambda known: (len(known), known))
    return sorted(shortest.values())


def smallest(registry: dict[str, Callable]) -> list[str]:
    """One type a factory, that with the lowest arguments: a ResNet of more layers is more of the same, and a pyramid
    stands on a network that is soon traced."""
    chosen: dict[Callable, tuple[bool, list, str]] = {}
    for name in distinct(registry):
        function, *arguments = leads_to(registry[name])
        row = ("mobilenet" not in name, arguments, name)
        chosen[function] = min(chosen.get(function, row), row)
    return sorted(name for *_, name in chosen.values())


def leads_to(factory: Callable) -> tuple:
    """What a registry entry calls, and with what: equal for aliases. Partials inside partials are unfolded."""
    function, args, keywords = factory, (), {}
    while hasattr(function, "func"):
        args, keywords = (*function.args, *args), {**function.keywords, **keywords}
        function = function.func
    named = {name: _as_text(value) if callable(value) else value for name, value in keywords.items()}
    return function, args, tuple(sorted(named.items()))


def _as_text(factory: Callable) -> str:
    """What a factory that stands in another one's arguments leads to, so that arguments can be compared and sorted."""
    function, args, keywords = leads_to(factory)
    return f"{function.__module__}.{function.__qualname__} {args} {keywords}"


def loss_history(folder: Path) -> tuple[list[float], list[float]]:
    """Total loss of every step, and when it was written, seconds."""
    losses, seconds = [], []
    for path in folder.glob("events.*"):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                if value.tag == "Loss/total_loss":
                    losses.append(float(tf.make_ndarray(value.tensor)))
                    seconds.append(event.wall_time)
    return losses, seconds
