"""Validation of TFRecords that exist, whoever wrote them: every record is parsed and decoded, every fault named by
shard, record and field.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TextIO

from detection.config.label_map import LabelMap
from detection.data.convert import images
from detection.data.findings import DataReport, Fault
from detection.data.reading.damage import Damage, Stretch, stretches
from detection.data.reading.framing import length_of
from detection.data.reading.shard_files import check_complete, check_sets
from detection.data.record_writer import MANIFEST_SUFFIX, RecordImage, check_published, manifest_path, read_manifest
from detection.data.validation.record_check import Checked, Classes, ProposalCheck, check_record
from detection.errors import DataError, PathError, number_of
from detection.files import is_special
from detection.paths import expand, hint
from detection.progress import counted
from detection.tools.parallel import in_order
from detection.types import MAX_PIXELS

_GZIP = b"\x1f\x8b"


class _Raw(NamedTuple):
    """A record as it lies in its shard; or a fault of the shard."""

    shard: str
    number: int
    data: bytes
    fault: Fault | None = None


def validate_records(
    patterns: Iterable[str],
    label_map: LabelMap | None = None,
    max_image_pixels: int = MAX_PIXELS,
    workers: int = 0,
    progress_to: TextIO | None = None,
    proposals: ProposalCheck | None = None,
    use_display_name: bool = False,
) -> DataReport:
    """Reads records to their end and reports what they hold and what is wrong.

    Args:
        patterns: files or glob patterns.
        label_map: when given, classes are looked up in it as training does: the text before the label, as name and as
            display_name.
        max_image_pixels: larger images are reported, not decoded.
        workers: threads; 0 for one a core.
        progress_to: told how far it is.
        proposals: knows those that every record should have, as `proposals.check.KnownProposals`.
        use_display_name: the report calls classes by display_name where the label map has one.

    Raises:
        PathError: where a pattern matches no file.
    """
    patterns = list(patterns)
    paths = list(dict.fromkeys(path for pattern in patterns for path in _matching(pattern)))
    report = DataReport(", ".join(patterns))
    classes = Classes(label_map, use_display_name)
    report.declare(classes.names)
    report.faults += _missing_shards(paths)
    report.faults += [Fault("shard_differs", line.partition(" ")[0], "", line) for line in check_sets(paths)]
    report.faults += [Fault("shard_missing", line.partition(" ")[0], "", line) for line in check_complete(paths)]
    workers = workers or os.cpu_count() or 1

    def one(raw: _Raw) -> Checked:
        return (
            Checked(None, 0, [raw.fault])
            if raw.fault
            else check_record(raw.shard, raw.number, raw.data, classes, max_image_pixels, proposals)
        )

    sources: dict[str, str] = {}
    labels: dict[str, int] = {}
    with ThreadPoolExecutor(workers) as pool:
        raws = (raw for path in paths for raw in _records(path))
        checked = in_order(pool, lambda raw: (raw, one(raw)), raws, 4 * workers)
        for raw, result in counted(checked, _expected_records(paths), "validating", progress_to):
            report.faults += result.faults
            report.found_boxes += result.found_boxes
            report.found_images += raw.fault is None
            if result.image is not None:
                report.faults += _across(raw, result.image, sources, labels)
                report.add(result.image)
    if not report.found_images and not report.bad:
        report.faults.append(Fault("no_records", report.title, "", "hold no records; create them again"))
    return report


def _matching(pattern: str) -> list[str]:
    found = [path for path in expand(pattern) if path == pattern or not os.path.isdir(path)]
    found = [path for path in found if not path.endswith((MANIFEST_SUFFIX, ".report.json"))]
    if not found:
        raise PathError(f"{pattern}: no such file, or no file matches; check --input_path: {hint(pattern)}")
    for path in found:
        if os.path.isdir(path):
            raise DataError(f"{path}: is a folder; give the files in it, as in {os.path.join(path, 'train.record-*')}")
        if is_special(path):
            raise PathError(
                f"{path}: is a device or pipe, not a file; records are read more than once: check --input_path"
            )
    return found


def _expected_records(paths: list[str]) -> int:
    """How many records there should be, as far as manifests tell; 0 where they do not."""
    manifests = [_manifest_of(path) for path in paths]
    return sum(
        (manifest or {}).get("shards", {}).get(Path(path).name, {}).get("records", 0)
        for path, manifest in zip(paths, manifests, strict=True)
    )


def _manifest_of(path: str) -> dict | None:
    """The manifest, or None; one that is broken is told where the shard itself is read."""
    try:
        return read_manifest(path)
    except DataError:
        return None


def _missing_shards(paths: list[str]) -> Iterator[Fault]:
    """Shards that a manifest names and that are not there."""
    manifests = {manifest_path(path.rsplit("-", 3)[0]): manifest for path in paths if (manifest := _manifest_of(path))}
    for file, manifest in manifests.items():
        for name in manifest["shards"]:
            if not (file.parent / name).exists():
                yield Fault("shard_differs", str(file), name, "does not exist; convert again, or copy it here")


def _records(path: str) -> Iterator[_Raw]:
    """The records of a shard, then what is wrong with the shard as a whole."""
    with open(path, "rb") as stream:
        head = stream.read(64)
        stream.seek(0)
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if head.startswith(_GZIP):
        yield _Raw(path, 0, b"", Fault("shard_unreadable", path, "", "is gzip data; unpack it with gunzip"))
        return
    number, size = 0, os.path.getsize(path)
    for part in stretches(path):
        if isinstance(part, Damage):
            yield _Raw(path, part.number, b"", _of_damage(path, part, number, head, size))
        elif not isinstance(part, Stretch):
            yield _Raw(path, *part)
            number += 1
    try:
        manifest = read_manifest(path)
        if manifest:
            check_published(path, manifest)
    except DataError as error:
        yield _Raw(path, number, b"", Fault("shard_differs", path, "", str(error)))
        return
    expected = manifest["shards"].get(Path(path).name) if manifest else None
    if not size and not expected:
        yield _Raw(path, 0, b"", Fault("shard_empty", path, "", "holds no records"))
    if expected and (expected["records"], expected.get("sha256", digest)) != (number, digest):
        value = "its bytes are not those that were written"
        if number != expected["records"]:
            value = f"{number_of(number, 'record')} can be read, its manifest says {expected['records']}"
        yield _Raw(path, number, b"", Fault("shard_differs", path, "", f"{value}; convert again, or copy it again"))


def _of_damage(path: str, damage: Damage, read: int, head: bytes, size: int) -> Fault:
    """What to say of a place that cannot be read, of a file of which `read` records came before."""
    end = damage.offset + damage.size
    if read == 0 and end == size and length_of(head) is None:
        return Fault(
            "shard_unreadable",
            path,
            "",
            f"is no TFRecord (seems to be {images.sniff(head)}), or its first record is damaged",
        )
    how = "cut" if end == size else "damaged"
    lost = (
        "this record is lost"
        if damage.records == 1 and end < size
        else "what follows is lost"
        if end == size
        else "what lies between is lost"
    )
    then = f" up to byte {end}" if end < size else ""
    return Fault(
        "shard_unreadable",
        path,
        f"record {damage.number}",
        f"{how} at byte {damage.offset} of {size}{then}; {lost}; convert again",
    )


def _across(raw: _Raw, image: RecordImage, sources: dict[str, str], labels: dict[str, int]) -> Iterator[Fault]:
    """Faults that show only between records; `sources` and `labels` remember those before."""
    where = f"record {raw.number} ({image.source_id})"
    first = sources.setdefault(image.source_id, f"{raw.shard} record {raw.number}") if image.source_id else ""
    if first not in ("", f"{raw.shard} record {raw.number}"):
        yield Fault("duplicate_id", raw.shard, where, f"image/source_id stands in {first} too")
    for box in image.boxes:
        label = labels.setdefault(box.text, box.label)
        if label != box.label:
            yield Fault("class_disagrees", raw.shard, where, f"{box.text!r} has label {box.label}, but {label} before")
