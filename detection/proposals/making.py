"""Proposals of a whole data set, made once and kept: images in, one .npz out, however often it is interrupted.

Finished images are kept in <output>.parts, a file every half minute, and put together at the end, so a killed run loses
that half minute. OpenCV and TensorFlow work without the interpreter's lock, so threads use all cores: selective search
ran twice as fast in two threads on two cores. The result does not depend on their number, nor on interruptions.
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
from detection.proposals.methods import Found, Method, ProposalSettings
from detection.proposals.proposal_files import ProposalFile
from detection.proposals.recall import RecallReport, report
from detection.proposals.searched_images import ImageSource, SourceImage, decode
from detection.tools import folder_lock
from detection.tools.parallel import in_order

PARTS = ".parts"
_JOB = "job.json"
SECONDS_A_PART = 30.0


class Made(NamedTuple):
    """What there is now."""

    path: str
    report: RecallReport
    new_images: int  # that this run searched


class _One(NamedTuple):
    """What became of one image."""

    id: str
    size: tuple[int, int]  # height and width
    found: Found


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
) -> Made:
    """Makes the proposals that are not there yet.

    Args:
        source: the images.
        method: as `methods.build` makes it from `settings`.
        settings: kept in the file; a file of other settings or images is not gone on with.
        output: path of the .npz; <output>.report.json is written beside it.
        more_settings: what else decides what `method` returns, such as a checkpoint.
        limit: take only so many images, the first; 0: all.
        workers: threads; 0 for one a core.
        overwrite: replace a file that was made otherwise.
        progress_to: told how far it is.

    Raises:
        ConfigError: the output is no .npz, is there already and was made otherwise, or another process makes it.
            DataError: an image cannot be used.
    """
    output = Path(output)
    if output.suffix != ".npz":
        raise ConfigError(f"--output={output}: proposals are written as .npz; call it {output.with_suffix('.npz')}")
    decisive = {**dataclasses.asdict(settings), **(more_settings or {})}
    images_digest = hashlib.sha256(json.dumps(source.fingerprint()).encode()).hexdigest()
    job = json.dumps({**decisive, "limit": limit, "images": images_digest}, sort_keys=True)
    parts = Path(f"{output}{PARTS}")
    catalogue = _Catalogue(source, limit)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with _only_one(output):
            new_images = 0
            if overwrite or not _is_made(output, job):
                _begin(parts, job)
                new_images = _fill(parts, catalogue, method, workers or os.cpu_count() or 1, progress_to)
                _join(parts, catalogue, output, job)
                shutil.rmtree(parts)
            else:
                catalogue.read()
            found = proposal_files.read(output)
            result = report(found, catalogue.objects_in_pixels(found))
            write_json(f"{output}{proposal_files.REPORT_SUFFIX}", {**result.to_dict(), "settings": decisive})
    except OSError as error:
        raise PathError(
            f"{output}: cannot be written: {files.reason(error)}; check the folder and the space left in it"
        ) from error
    return Made(str(output), result, new_images)


class _Catalogue:
    """The first `limit` images of a source, and what was seen of them while they went by."""

    def __init__(self, source: ImageSource, limit: int) -> None:
        self._source, self._limit = source, limit
        self.where: dict[str, str] = {}  # by id, in order
        self._objects: dict[str, np.ndarray] = {}

    def __len__(self) -> int:
        return min(self._source.count(), self._limit or self._source.count())

    def __iter__(self) -> Iterator[SourceImage]:
        """Raises DataError where two images have one id."""
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
        """Lets all images go by."""
        for _ in self:
            continue

    def objects_in_pixels(self, found: ProposalFile) -> dict[str, np.ndarray]:
        """Groundtruth by id, float32 [n, 4], of images that have any."""
        sizes = dict(zip(found.ids, found.sizes, strict=True))
        return {identity: objects * np.tile(sizes[identity], 2) for identity, objects in self._objects.items()}


def _is_made(output: Path, job: str) -> bool:
    """Whether the file is there and made by this very job. Raises ConfigError where it was made otherwise."""
    if not output.exists():
        return False
    try:
        with open(output, "rb") as stream:
            settings = npz_files.read(stream, ["settings"]).arrays.get("settings", np.array("{}"))
        made = json_text.parse(str(settings))
        if not isinstance(made, dict):
            raise ValueError(f"its settings are {json_text.shown(made)}")
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{output}: is there already and cannot be read ({error}); pass --overwrite, or another --output"
        ) from error
    wanted = json.loads(job)
    differing = sorted(key for key in wanted.keys() | made.keys() if wanted.get(key) != made.get(key))
    if not differing:
        return True
    key = next((key for key in differing if key != "images"), "images")
    what = "from other images" if key == "images" else f"with {key} {made.get(key)!r}, not {wanted.get(key)!r}"
    raise ConfigError(f"{output}: is there already and was made {what}; pass --overwrite, or another --output")


def _only_one(output: Path) -> contextlib.AbstractContextManager[None]:
    """Nobody else makes the same file meanwhile."""
    return folder_lock.held(
        output.with_name(f".{output.name}.lock"),
        lambda: ConfigError(f"{output}: another process is making it; wait for it, or choose another --output"),
        f"{output}: a second process that makes the same file",
        remove=True,
    )


def _begin(parts: Path, job: str) -> None:
    """Keeps the parts of the same job; those of another are of no use."""
    path = parts / _JOB
    if parts.exists() and (not path.exists() or path.read_text(encoding="utf-8") != job):
        shutil.rmtree(parts)
    parts.mkdir(exist_ok=True)
    if not path.exists():
        write_text(path, job)


def _fill(parts: Path, catalogue: _Catalogue, method: Method, workers: int, progress_to: TextIO | None) -> int:
    """Searches the images that no part holds, and keeps them as parts. Returns how many it searched."""
    done = {identity for part in _parts(parts) for identity in part.ids}
    waiting: list[_One] = []
    searched, kept = 0, time.monotonic()

    def one(image: SourceImage) -> _One:
        pixels = decode(image)
        try:
            return _One(image.id, pixels.shape[:2], method(pixels))
        except DataError as error:
            raise DataError(f"{image.where}: {error}") from error

    def keep() -> None:
        if waiting:
            numbers = [int(path.stem) for path in parts.glob("*.npz")]
            proposal_files.write(parts / f"{max(numbers, default=-1) + 1:06d}.npz", [_joined(waiting)])
            waiting.clear()

    progress = (
        Progress(len(catalogue), "image", label="proposals", start=len(done), every=10.0, stream=progress_to)
        if progress_to
        else None
    )
    pool = ThreadPoolExecutor(workers)
    try:
        for result in in_order(pool, one, (image for image in catalogue if image.id not in done), 2 * workers):
            waiting.append(result)
            searched += 1
            if progress:
                progress.update()
            if time.monotonic() - kept > SECONDS_A_PART:
                keep()
                kept = time.monotonic()
    finally:  # Whatever ends it, what is finished is kept.
        pool.shutdown(cancel_futures=True)
        keep()
        if progress:
            progress.close()
    return searched


def _joined(results: list[_One]) -> ProposalFile:
    offsets = np.cumsum([0, *(len(result.found.scores) for result in results)])
    boxes = np.concatenate([result.found.boxes for result in results])
    scores = np.concatenate([result.found.scores for result in results])
    return ProposalFile(
        "",
        tuple(result.id for result in results),
        offsets,
        boxes,
        scores,
        np.array([result.size for result in results], np.int32),
    )


def _parts(folder: Path) -> list[ProposalFile]:
    return [proposal_files.read(path) for path in sorted(folder.glob("*.npz"))]


def _join(parts: Path, catalogue: _Catalogue, output: Path, job: str) -> None:
    """One file, in the order of the source, from parts in the order of runs."""
    single = {}
    for part in _parts(parts):
        for number, identity in enumerate(part.ids):
            boxes, scores = part.of(number)
            single[identity] = ProposalFile(
                part.path, (identity,), np.array([0, len(scores)]), boxes, scores, part.sizes[number : number + 1]
            )
    if not catalogue.where:
        raise DataError(f"{output}: there is no image to make proposals for")
    proposal_files.write(output, [single[identity] for identity in catalogue.where], settings=job)
