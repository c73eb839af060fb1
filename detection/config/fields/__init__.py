"""The table of all config fields: message -> rows, one file per area of the schema.

The config check, the documentation (docs/config.md) and the tests use it; nothing else decides which values a field may
have. To support another field or value, change its row here, the builder that reads it and the code that uses it.
"""

from __future__ import annotations

from google.protobuf.descriptor import FieldDescriptor

from detection.config.fields import (
    anchors,
    augmentation,
    center_net,
    detections,
    evaluation,
    hyperparams,
    images,
    losses,
    pipeline,
    predictors,
    readers,
    ssd,
    targets,
    train,
    two_stage,
)
from detection.config.fields.row import Field
from detection.config.schema import message_name

AREAS = (
    *(pipeline, ssd, two_stage, center_net, predictors, hyperparams, anchors, targets, losses, detections, images),
    *(augmentation, train, readers, evaluation),
)
# Message -> field -> row. A message that is missing here can only be in fields that are refused.
TABLE: dict[str, dict[str, Field]] = {
    message: {row.name: row for row in rows} for area in AREAS for message, rows in area.MESSAGES.items()
}
_NONE: dict[str, Field] = {}


def rows(message: str) -> dict[str, Field]:
    """The rows of a message, by field; empty if the whole message is refused."""
    return TABLE.get(message, _NONE)


def row_of(field: FieldDescriptor) -> Field | None:
    """The row of a field; None if the whole message is refused."""
    return rows(message_name(field.containing_type)).get(field.name)


def is_honoured(field: FieldDescriptor) -> bool:
    """Whether a builder reads the field."""
    found = row_of(field)
    return found is not None and found.honoured


def choices(message: str, group_fields: list[FieldDescriptor], place: Field | None = None) -> list[str]:
    """The members of a oneof that can be chosen if the message is in the field `place`."""
    if place is not None and place.choose:
        return list(place.choose)
    known = rows(message)
    return [field.name for field in group_fields if field.name in known and known[field.name].honoured]
