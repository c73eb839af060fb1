"""Message `ImageResizer` -> resizer."""

from __future__ import annotations

import pytest
from google.protobuf import text_format

from detection.builders import image_resizer
from detection.data import resize
from detection.protos import image_resizer_pb2


def build(text: str) -> resize.Resizer:
    return image_resizer.build(text_format.Parse(text, image_resizer_pb2.ImageResizer()))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fixed_shape_resizer {}", resize.FixedShapeResizer(height=300, width=300)),
        (
            "fixed_shape_resizer { height: 9 width: 8 resize_method: AREA }",
            resize.FixedShapeResizer(height=9, width=8, method=resize.Method.AREA),
        ),
        ("keep_aspect_ratio_resizer {}", resize.KeepAspectRatioResizer(min_dimension=600, max_dimension=1024)),
        (
            (
                "keep_aspect_ratio_resizer { pad_to_max_dimension: true per_channel_pad_value: [1, 2, 3]"
                " convert_to_grayscale: true }"
            ),
            resize.KeepAspectRatioResizer(
                pad_to_max_dimension=True, pad_values=(1.0, 2.0, 3.0), convert_to_grayscale=True
            ),
        ),
        ("identity_resizer {}", resize.IdentityResizer()),
        ("pad_to_multiple_resizer { multiple: 32 }", resize.PadToMultipleResizer(multiple=32)),
        ("conditional_shape_resizer {}", resize.ConditionalShapeResizer(threshold=300)),
        (
            "conditional_shape_resizer { condition: SMALLER size_threshold: 9 }",
            resize.ConditionalShapeResizer(threshold=9, smaller=True),
        ),
    ],
)
def test_messages(text, expected):
    assert build(text) == expected
