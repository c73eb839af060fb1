"""Conditions between the fields of augmentation steps."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.message import Message


def pad_image(message: Message, path: str) -> Iterator[str]:
    """A padded image size needs both sides."""
    for which in ("min", "max"):
        sides = [f"{which}_image_{side}" for side in ("height", "width")]
        given = [side for side in sides if message.HasField(side)]
        if len(given) == 1:
            (other,) = set(sides) - set(given)
            yield f"{path}.{given[0]} is set without {other}; set both, or neither"


def classes(message: Message, path: str) -> Iterator[str]:
    """Classes named by augmentation steps must exist in the model."""
    kind = message.model.WhichOneof("model")
    count = getattr(getattr(message.model, kind), "num_classes", 0) if kind else 0
    for index, step in enumerate(message.train_config.data_augmentation_options if count else []):
        named = {
            "remap_labels.new_label": step.remap_labels.new_label,
            "drop_label_probabilistically.label": step.drop_label_probabilistically.label,
        }
        for field, label in named.items():
            if label > count and step.HasField(field.partition(".")[0]):
                yield (
                    f"train_config.data_augmentation_options[{index}].{field} ({label}) is more than"
                    f" model.{kind}.num_classes ({count}); ids of classes go from 1 to {count}"
                )
