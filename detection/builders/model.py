"""Message `DetectionModel` -> a detector."""

from __future__ import annotations

from collections.abc import Callable

from detection import registry
from detection.builders import center_net, ssd, two_stage
from detection.data.resize import Resizer
from detection.errors import ConfigError
from detection.networks import low_rank
from detection.pipeline import Detector
from detection.protos import custom_pb2, model_pb2


def _custom(message: custom_pb2.CustomModel, resizer: Resizer) -> Detector:
    """A detector registered by a plugin."""
    return registry.meta_architecture.make(
        message.name, message.num_classes, resizer, parameters=message.parameters, field="model.custom"
    )


META_ARCHITECTURES: dict[str, Callable[[object, Resizer], Detector]] = {
    "ssd": ssd.build,
    "faster_rcnn": two_stage.build,
    "fast_rcnn": two_stage.build_fast_rcnn,
    "center_net": center_net.build,
    "custom": _custom,
}


def build(message: model_pb2.DetectionModel, resizer: Resizer, extra_channels: int = 0) -> Detector:
    """A new detector; `build_weights` creates its variables, under the caller's distribution strategy.

    Args:
        message: the model.
        resizer: resizes its images.
        extra_channels: number of channels of the images besides red, green and blue.
    """
    made = META_ARCHITECTURES[kind(message)](settings(message), resizer)
    low_rank.apply(made, {each.layer: each.rank for each in message.truncated_svd})
    if extra_channels:
        made.image_channels += extra_channels
    return made


def kind(message: model_pb2.DetectionModel) -> str:
    """Name of the meta-architecture that is set.

    Raises:
        ConfigError: it is none, or one that is not supported.
    """
    name = message.WhichOneof("model")
    if name not in META_ARCHITECTURES:
        what = f"model.{name} is not supported yet" if name else "model is empty"
        raise ConfigError(f"{what}; use one of: {', '.join(f'model.{known}' for known in META_ARCHITECTURES)}")
    return name


def num_classes(message: model_pb2.DetectionModel) -> int:
    """Foreground classes K. An SSD with an explicit background class counts that among its classes."""
    chosen = settings(message)
    return chosen.num_classes - getattr(chosen, "explicit_background_class", False)


def settings(message: model_pb2.DetectionModel) -> object:
    """The message of the meta-architecture that is set."""
    return getattr(message, kind(message))
