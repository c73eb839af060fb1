"""Sources of the region proposals that `detection detect` classifies: files, or a method that computes them."""

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

# Paths and pixels of images -> for each image its boxes float32 [n, 4], [ymin, xmin, ymax, xmax] in pixels, best first;
# or the reason why it has none.
Source = Callable[[Sequence[str], Sequence[np.ndarray]], list[np.ndarray | DataError]]


class ProposalRequest(NamedTuple):
    """The proposals that the user requested."""

    paths: tuple[str, ...] = ()  # files of proposals, globs
    method: str = ""  # of `proposals.methods`, all but rpn
    edge_model: str = ""  # for edge_boxes
    max_proposals: int = 2000  # the best of each image


def build(request: ProposalRequest, takes_proposals: bool) -> Source | None:
    """Builds the source of proposals for a model; None for a model that does not take any.

    Args:
        request: what the user requested.
        takes_proposals: whether the model takes proposals.

    Raises:
        ConfigError: the request does not fit the model, or a file, a method or its model is missing.
        DataError: a file is damaged.
    """
    flags = [f"{PATH_FLAG}={','.join(request.paths)}"] * bool(request.paths) + [
        f"{METHOD_FLAG}={request.method}"
    ] * bool(request.method)
    if not takes_proposals:
        if flags:
            raise ConfigError(f"{flags[0]}: this detector finds its regions itself; remove the flag")
        return None
    if not flags:
        raise ConfigError(
            f"this detector classifies given regions; set {PATH_FLAG}=FILE, or {METHOD_FLAG}=selective_search_fast"
        )
    if len(flags) > 1:
        raise ConfigError(f"{' and '.join(flags)}: proposals come from only one of them; remove the other")
    return FromFiles(request.paths, request.max_proposals) if request.paths else Computed(request)


class FromFiles:
    """Proposals in files, looked up by the names of the images, as for records."""

    def __init__(self, patterns: Sequence[str], max_proposals: int) -> None:
        files = proposal_files.read_all(patterns, PATH_FLAG)
        self._index = proposal_files.index(files)
        self._entries = tuple(proposal_files.images(files))
        self._most = max_proposals
        examples = ", ".join(repr(identity) for identity in files[0].ids[:3])
        self._holds = (
            f"{', '.join(file.path for file in files)} contains {len(self._entries)} images, such as {examples}"
        )

    def __call__(self, paths: Sequence[str], images: Sequence[np.ndarray]) -> list[np.ndarray | DataError]:
        """See `Source`."""
        return [self._proposals_of(path, image) for path, image in zip(paths, images, strict=True)]

    def _proposals_of(self, path: str, image: np.ndarray) -> np.ndarray | DataError:
        number = next((self._index[name] for name in _names(path) if name in self._index), None)
        if number is None:
            return DataError(
                f"{path}: {PATH_FLAG}: {self._holds}, but none for this one; make proposals for it, or use"
                f" {METHOD_FLAG}"
            )
        file, row = self._entries[number]
        if file.sizes is not None and tuple(file.sizes[row]) != image.shape[:2]:
            made_size, given_size = (" x ".join(map(str, size)) for size in (file.sizes[row], image.shape[:2]))
            return DataError(
                f"{path}: has {given_size} pixels, but its proposals in {file.path} are of an image of {made_size};"
                " make them again"
            )
        return best(*file.of(row), self._most)


class Computed:
    """Proposals computed from the pixels, on all cores."""

    def __init__(self, request: ProposalRequest) -> None:
        # A coarse grid covers an image better than part of a fine one.
        settings = methods.ProposalSettings(
            method=request.method,
            max_proposals=request.max_proposals,
            grid_boxes=request.max_proposals,
            edge_model=request.edge_model,
        )
        self._method = methods.build(settings, METHOD_FLAG)

    def __call__(self, paths: Sequence[str], images: Sequence[np.ndarray]) -> list[np.ndarray | DataError]:
        """See `Source`."""

        def propose(path: str, image: np.ndarray) -> np.ndarray | DataError:
            try:
                return self._method(image).boxes
            except DataError as error:
                return DataError(f"{path}: {error}")

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(propose, paths, images))


def best(boxes: np.ndarray, scores: np.ndarray, limit: int) -> np.ndarray:
    """The best boxes, as training and evaluation select them.

    Args:
        boxes: [n, 4].
        scores: [n].
        limit: at most this many boxes are returned.

    Returns:
        float32 [m, 4], by descending score, ties in the given order, without duplicates.
    """
    ordered = boxes[np.argsort(-scores, kind="stable")]
    _, first = np.unique(ordered, axis=0, return_index=True)
    return np.asarray(ordered[np.sort(first)[:limit]], np.float32)


def _names(path: str) -> Iterator[str]:
    """Possible names of an image in a proposal file, best first.

    They are its path and all shorter tails of it, each also without its extension, and its COCO image id.
    """
    parts = Path(path).parts
    for start in range(len(parts)):
        tail = str(Path(*parts[start:]))
        yield tail
        yield re.sub(proposal_files.IMAGE_SUFFIX, "", tail)
    yield str(coco_image_id(Path(path).stem))
