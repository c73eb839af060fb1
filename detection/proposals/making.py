"""Makes the proposals of a whole data set: reads images, writes one .npz, and can be interrupted and resumed.

Finished images are saved in <output>.parts, one file every half minute, and joined at the end, so a killed run loses at
most that half minute. OpenCV and TensorFlow release the interpreter lock, so threads use all cores: selective search
ran twice as fast in two threads on two cores. The result does not depend on the number of threads or on interruptions.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import json
import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np

from detection import files, json_text, npz_files
from detection.data.record_writer import write_json
from detection.errors import ConfigError, DataError, PathError
from detection.files import write_text
from detection.progress import Progress
from detection.proposals import proposal_files
from detection.proposals.methods import Method, ProposalSettings, ScoredBoxes
from detection.proposals.proposal_files import ProposalFile
from detection.proposals.recall import RecallReport, report
from detection.proposals.searched_images import ImageSource, SourceImage, decode
from detection.tools import folder_lock
from detection.tools.parallel import in_order

PARTS = ".parts"
_JOB = "job.json"
SECONDS_A_PART = 30.0


class ProposalResult(NamedTuple):
    """The result of `make`."""

    path: str
    report: RecallReport
    new_images: int  # images that this run searched


class _SearchedImage(NamedTuple):
    """The proposals of one image."""

    id: str
    size: tuple[int, int]  # height and width
    proposals: ScoredBoxes


def make(
    source: ImageSource,
    method: Method,
    settings: ProposalSettings,
    output: str | os.PathLike[str],
    *,
    more_settings: dict[str, object] | None = None,
    limit: int = 0,
    workers: int = 0,
    overwrite: bool = False,
    progress_to: TextIO | None = None,
) -> ProposalResult:
    """Makes the proposals that do not exist yet.

    Args:
        source: the images.
        method: as `methods.build` makes it from `settings`.
        settings: saved in the file; a file with other settings or images is not continued.
        output: path of the .npz; <output>.report.json is written beside it.
        more_settings: anything else that determines the result of `method`, such as a checkpoint.
        limit: use only the first `limit` images; 0: all.
        workers: threads; 0 for one per core.
        overwrite: replace a file that was made with other settings.
        progress_to: receives progress lines.

    Raises:
        ConfigError: the output is not an .npz, exists already with other settings, or is being made by another process.
        DataError: an image cannot be used.
        PathError: the output cannot be written.
    """
    output = Path(output)
    if output.suffix != ".npz":
        raise ConfigError(f"--output={output}: proposals are written as .npz; name it {output.with_suffix('.npz')}")
    decisive_settings = {**dataclasses.asdict(settings), **(more_settings or {})}
    images_digest = hashlib.sha256(json.dumps(source.fingerprint()).encode()).hexdigest()
    job = json.dumps({**decisive_settings, "limit": limit, "images": images_digest}, sort_keys=True)
    parts = Path(f"{output}{PARTS}")
    catalogue = _Catalogue(source, limit)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with _lock(output):
            new_images = 0
            if overwrite or not _is_made(output, job):
                _prepare_parts(parts, job)
                new_images = _search_missing(parts, catalogue, method, workers or os.cpu_count() or 1, progress_to)
                _join_parts(parts, catalogue, output, job)
                shutil.rmtree(parts)
            else:
                catalogue.read()
            proposals = proposal_files.read(output)
            result = report(proposals, catalogue.objects_in_pixels(proposals))
            write_json(f"{output}{proposal_files.REPORT_SUFFIX}", {**result.to_dict(), "settings": decisive_settings})
    except OSError as error:
        raise PathError(
            f"{output}: cannot be written: {files.reason(error)}; check the folder and its free space"
        ) from error
    return ProposalResult(str(output), result, new_images)


class _Catalogue:
    """The first `limit` images of a source; records their places and objects while it is iterated."""

    def __init__(self, source: ImageSource, limit: int) -> None:
        self._source, self._limit = source, limit
        self.where: dict[str, str] = {}  # by id, in order
        self._objects: dict[str, np.ndarray] = {}

    def __len__(self) -> int:
        return min(self._source.count(), self._limit or self._source.count())

    def __iter__(self) -> Iterator[SourceImage]:
        """Raises DataError if two images have the same id."""
        self.where.clear()
        for image in itertools.islice(self._source, self._limit or None):
            if image.id in self.where:
                raise DataError(
                    f"{image.where}: {self.where[image.id]} has the same id; proposals are found by id, so ids must"
                    " differ"
                )
            self.where[image.id] = image.where
            if image.objects is not None:
                self._objects[image.id] = image.objects
            yield image

    def read(self) -> None:
        """Iterates over all images, to record their places and objects."""
        for _ in self:
            continue

    def objects_in_pixels(self, proposals: ProposalFile) -> dict[str, np.ndarray]:
        """Groundtruth boxes float32 [n, 4] in pixels by image id, for images whose objects are known."""
        sizes = dict(zip(proposals.ids, proposals.sizes, strict=True))
        return {identity: objects * np.tile(sizes[identity], 2) for identity, objects in self._objects.items()}


def _is_made(output: Path, job: str) -> bool:
    """Whether the file exists and was made by the same job. Raises ConfigError if it was made by another one."""
    if not output.exists():
        return False
    try:
        with open(output, "rb") as stream:
            settings = npz_files.read(stream, ["settings"]).arrays.get("settings", np.array("{}"))
        existing = json_text.parse(str(settings))
        if not isinstance(existing, dict):
            raise ValueError(f"its settings are {json_text.shown(existing)}")
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{output}: exists already and cannot be read ({error}); pass --overwrite, or another --output"
        ) from error
    requested = json.loads(job)
    differing = sorted(key for key in requested.keys() | existing.keys() if requested.get(key) != existing.get(key))
    if not differing:
        return True
    key = next((key for key in differing if key != "images"), "images")
    difference = (
        "from other images" if key == "images" else f"with {key} {existing.get(key)!r}, not {requested.get(key)!r}"
    )
    raise ConfigError(f"{output}: exists already and was made {difference}; pass --overwrite, or another --output")


def _lock(output: Path) -> contextlib.AbstractContextManager[None]:
    """A lock that keeps other processes from making the same file."""
    return folder_lock.held(
        output.with_name(f".{output.name}.lock"),
        lambda: ConfigError(f"{output}: another process is making it; wait for it, or choose another --output"),
        f"{output}: a second process that makes the same file",
        remove=True,
    )


def _prepare_parts(parts: Path, job: str) -> None:
    """Prepares the folder of parts; parts of another job are deleted."""
    path = parts / _JOB
    if parts.exists() and (not path.exists() or path.read_text(encoding="utf-8") != job):
        shutil.rmtree(parts)
    parts.mkdir(exist_ok=True)
    if not path.exists():
        write_text(path, job)


def _search_missing(
    parts: Path, catalogue: _Catalogue, method: Method, workers: int, progress_to: TextIO | None
) -> int:
    """Searches the images that are in no part yet and saves them as parts. Returns how many it searched."""
    finished = {identity for part in _read_parts(parts) for identity in part.ids}
    unsaved: list[_SearchedImage] = []
    searched, last_saved = 0, time.monotonic()

    def search_image(image: SourceImage) -> _SearchedImage:
        pixels = decode(image)
        try:
            return _SearchedImage(image.id, pixels.shape[:2], method(pixels))
        except DataError as error:
            raise DataError(f"{image.where}: {error}") from error

    def keep() -> None:
        if unsaved:
            numbers = [int(path.stem) for path in parts.glob("*.npz")]
            proposal_files.write(parts / f"{max(numbers, default=-1) + 1:06d}.npz", [_concatenated(unsaved)])
            unsaved.clear()

    progress = (
        Progress(len(catalogue), "image", label="proposals", start=len(finished), every=10.0, stream=progress_to)
        if progress_to
        else None
    )
    pool = ThreadPoolExecutor(workers)
    try:
        for result in in_order(
            pool, search_image, (image for image in catalogue if image.id not in finished), 2 * workers
        ):
            unsaved.append(result)
            searched += 1
            if progress:
                progress.update()
            if time.monotonic() - last_saved > SECONDS_A_PART:
                keep()
                last_saved = time.monotonic()
    finally:  # Finished images are saved however the loop ends.
        pool.shutdown(cancel_futures=True)
        keep()
        if progress:
            progress.close()
    return searched


def _concatenated(results: list[_SearchedImage]) -> ProposalFile:
    offsets = np.cumsum([0, *(len(result.proposals.scores) for result in results)])
    boxes = np.concatenate([result.proposals.boxes for result in results])
    scores = np.concatenate([result.proposals.scores for result in results])
    return ProposalFile(
        "",
        tuple(result.id for result in results),
        offsets,
        boxes,
        scores,
        np.array([result.size for result in results], np.int32),
    )


def _read_parts(folder: Path) -> list[ProposalFile]:
    return [proposal_files.read(path) for path in sorted(folder.glob("*.npz"))]


def _join_parts(parts: Path, catalogue: _Catalogue, output: Path, job: str) -> None:
    """Joins the parts into one file, in the order of the source."""
    single = {}
    for part in _read_parts(parts):
        for number, identity in enumerate(part.ids):
            boxes, scores = part.of(number)
            single[identity] = ProposalFile(
                part.path, (identity,), np.array([0, len(scores)]), boxes, scores, part.sizes[number : number + 1]
            )
    if not catalogue.where:
        raise DataError(f"{output}: there is no image to make proposals for")
    proposal_files.write(output, [single[identity] for identity in catalogue.where], settings=job)
