"""What must hold between the fields of an anchor generator."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from google.protobuf.message import Message


def number_of_maps(generator: Message) -> int | None:
    """Number of feature maps for which an AnchorGenerator makes anchors; None if no generator is chosen."""
    kind = generator.WhichOneof("anchor_generator_oneof")
    if kind == "grid_anchor_generator":
        return 1
    if kind == "ssd_anchor_generator":
        return generator.ssd_anchor_generator.num_layers
    if kind == "multiscale_anchor_generator":
        return generator.multiscale_anchor_generator.max_level - generator.multiscale_anchor_generator.min_level + 1
    if kind == "flexible_grid_anchor_generator":
        return len(generator.flexible_grid_anchor_generator.anchor_grid)
    return None


def grid(message: Message, path: str) -> Iterator[str]:
    """AnchorGrid: sizes and aspect ratios are lists of equal length, one entry per anchor."""
    sizes, ratios = len(message.base_sizes), len(message.aspect_ratios)
    if not sizes or sizes != ratios:
        yield (
            f"{path}.base_sizes has {sizes} values and aspect_ratios {ratios}; list one of each for every anchor of a"
            " cell"
        )


def ssd(message: Message, path: str) -> Iterator[str]:
    """SsdAnchorGenerator: lists have one value per feature map, or none."""
    for field in ("scales", "height_stride", "width_stride", "height_offset", "width_offset"):
        count = len(getattr(message, field))
        if count not in (0, message.num_layers):
            yield f"{path}.{field} has {count} values for num_layers {message.num_layers}; list one per layer"
    for height, width in (("height_stride", "width_stride"), ("height_offset", "width_offset")):
        if bool(getattr(message, height)) != bool(getattr(message, width)):
            yield f"{path}: {height} and {width} go together; list both"
    empty_layers = not message.reduce_boxes_in_lowest_layer or message.num_layers > 1
    if not message.aspect_ratios and not message.interpolated_scale_aspect_ratio and empty_layers:
        yield f"{path}.aspect_ratios is empty, which leaves no anchors; list some, for example aspect_ratios: 1.0"


def not_empty(*fields: str, example: str = "1.0") -> Callable[[Message, str], Iterator[str]]:
    """A rule that the given lists of an anchor generator are not empty."""

    def rule(message: Message, path: str) -> Iterator[str]:
        for field in fields:
            if not getattr(message, field):
                yield f"{path}.{field} is empty, which leaves no anchors; list some, for example {field}: {example}"

    return rule
