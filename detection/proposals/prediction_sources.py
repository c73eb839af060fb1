"""Where the regions come from that `detection detect` has classified: files of proposals, or a method that makes them
while images go by.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from detection.data.image_ids import coco_image_id
from detection.errors import ConfigError, DataError
from detection.proposals import methods, proposal_files

PATH_FLAG, METHOD_FLAG = "--proposals_path", "--proposal_method"

# Paths and pixels of images -> for each float32 [n, 4], [ymin, xmin, ymax, xmax] in its pixels, best first; or why it
# has none.
Source = Callable[[Sequence[str], Sequence[np.ndarray]], list[np.ndarray | DataError]]


class ProposalRequest(NamedTuple):
    """What the user asked for."""

    paths: tuple[str, ...] = ()  # files of proposals, globs
    method: str = ""  # of `proposals.methods`, all but rpn
    edge_model: str = ""  # for edge_boxes
    max_proposals: int = 2000  # the best of each image


def build(wanted: ProposalRequest, takes_proposals: bool) -> Source | None:
    """The source for a model that takes proposals, nothing for one that does not.

    Raises:
        ConfigError: what is asked for and what the model takes do not fit; a file, method or its model is not there.
            DataError: a damaged file.
    """
    asked = [f"{PATH_FLAG}={','.join(wanted.paths)}"] * bool(wanted.paths) + [f"{METHOD_FLAG}={wanted.method}"] * bool(
        wanted.method
    )
    if not takes_proposals:
        if asked:
            raise ConfigError(f"{asked[0]}: this detector finds its regions itself; leave the flag out")
        return None
    if not asked:
        raise ConfigError(
            f"this detector classifies regions that it is given; set {PATH_FLAG}=FILE, or"
            f" {METHOD_FLAG}=selective_search_fast"
        )
    if len(asked) > 1:
        raise ConfigError(f"{' and '.join(asked)}: proposals come from one of them; leave the other out")
    return FromFiles(wanted.paths, wanted.max_proposals) if wanted.paths else Computed(wanted)


class FromFiles:
    """In files, found by the names of the images as they are for records."""

    def __init__(self, patterns: Sequence[str], max_proposals: int) -> None:
        files = proposal_files.read_all(patterns, PATH_FLAG)
        self._index = proposal_files.index(files)
        self._entries = tuple(proposal_files.images(files))
        self._most = max_proposals
        known = ", ".join(repr(identity) for identity in files[0].ids[:3])
        self._holds = f"{', '.join(file.path for file in files)} holds {len(self._entries)} images, such as {known}"

    def __call__(self, paths: Sequence[str], images: Sequence[np.ndarray]) -> list[np.ndarray | DataError]:
        """See `Source`."""
        return [self._of(path, image) for path, image in zip(paths, images, strict=True)]

    def _of(self, path: str, image: np.ndarray) -> np.ndarray | DataError:
        number = next((self._index[name] for name in _names(path) if name in self._index), None)
        if number is None:
            return DataError(
                f"{path}: {PATH_FLAG}: {self._holds}, but none for this one; make proposals for it, or use"
                f" {METHOD_FLAG}"
            )
        file, row = self._entries[number]
        if file.sizes is not None and tuple(file.sizes[row]) != image.shape[:2]:
            made, given = (" x ".join(map(str, size)) for size in (file.sizes[row], image.shape[:2]))
            return DataError(
                f"{path}: has {given} pixels, but its proposals in {file.path} are of an image of {made}; make them"
                " again"
            )
        return best(*file.of(row), self._most)


class Computed:
    """Made from the pixels, with all cores."""

    def __init__(self, wanted: ProposalRequest) -> None:
        # A coarse grid covers an image better than a part of a fine one.
        settings = methods.ProposalSettings(
            method=wanted.method,
            max_proposals=wanted.max_proposals,
            grid_boxes=wanted.max_proposals,
            edge_model=wanted.edge_model,
        )
        self._method = methods.build(settings, METHOD_FLAG)

    def __call__(self, paths: Sequence[str], images: Sequence[np.ndarray]) -> list[np.ndarray | DataError]:
        """See `Source`."""

        def of(path: str, image: np.ndarray) -> np.ndarray | DataError:
            try:
                return self._method(image).boxes
            except DataError as error:
                return DataError(f"{path}: {error}")

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(of, paths, images))


def best(boxes: np.ndarray, scores: np.ndarray, most: int) -> np.ndarray:
    """The `most` boxes [n, 4] of the highest scores [n], equal ones in their order, each box once: what training and
    evaluation take.
    """
    ordered = boxes[np.argsort(-scores, kind="stable")]
    _, first = np.unique(ordered, axis=0, return_index=True)
    return np.asarray(ordered[np.sort(first)[:most]], np.float32)


def _names(path: str) -> Iterator[str]:
    """What an image may be called, best first: its path, less and less of it from the front, each also without .jpg;
    its number.
    """
    parts = Path(path).parts
    for start in range(len(parts)):
        tail = str(Path(*parts[start:]))
        yield tail
        yield re.sub(proposal_files.IMAGE_SUFFIX, "", tail)
    yield str(coco_image_id(Path(path).stem))
