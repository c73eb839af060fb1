"""Networks whose repeated blocks stand twice in a row instead of up to 36 times, for tests of what is built on them.

Tracing costs as much for every repeat, and all but the second are made by the same loop from the same row of a table.
Whole networks are compared with their references, name for name and number for number, in tests/networks.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

import pytest

from detection.networks import efficientnet, inception_resnet_v2, mobiledet, resnet_v1, resnet_v2

TWICE = (2, 2, 2, 2)  # units of the four blocks of a ResNet: one that strides and one that does not


@contextlib.contextmanager
def fewer_repeats() -> Iterator[None]:
    """Networks made while this lasts are short; those of other families are as they always are."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("BLOCK35", "BLOCK17", "BLOCK8"):
            patch.setattr(inception_resnet_v2, name, getattr(inception_resnet_v2, name)._replace(count=2))
        for table in (resnet_v1.UNITS, resnet_v2.UNITS, resnet_v2.SMALL_UNITS):
            for layers in table:
                patch.setitem(table, layers, TWICE)
        for name, version in mobiledet.VERSIONS.items():
            stages = tuple(stage._replace(blocks=_each_once(stage.blocks)) for stage in version.stages)
            patch.setitem(mobiledet.VERSIONS, name, dataclasses.replace(version, stages=stages))
        patch.setattr(efficientnet, "VERSIONS", tuple(version._replace(depth=1.0) for version in efficientnet.VERSIONS))
        stacks = [stack._replace(repeats=min(stack.repeats, 3)) for stack in efficientnet.STACKS]  # the third is read
        patch.setattr(efficientnet, "STACKS", tuple(stacks))
        yield


def _each_once(blocks: tuple[mobiledet.Block, ...]) -> tuple[mobiledet.Block, ...]:
    """The first, which strides, and one of each kind of those behind it."""
    return (blocks[0], *dict.fromkeys(blocks[1:]))
