"""Validates existing TFRecords from any source: parses and decodes every record, and reports all faults."""

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


class _RawRecord(NamedTuple):
    """The bytes of a record with its address; or a fault of the shard."""

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
    """Reads all records and reports their contents and faults.

    Args:
        patterns: files or glob patterns.
        label_map: to look up classes as in training: the text before the label, as name and as display_name; None: only
            the labels are used.
        max_image_pixels: larger images are reported, not decoded.
        workers: threads; 0 for one per core.
        progress_to: receives progress lines.
        proposals: checks the proposals that every record should have, such as `proposals.check.KnownProposals`.
        use_display_name: use the display_name of classes in the report.

    Raises:
        PathError: a pattern matches no file.
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

    def check(raw: _RawRecord) -> Checked:
        return (
            Checked(None, 0, [raw.fault])
            if raw.fault
            else check_record(raw.shard, raw.number, raw.data, classes, max_image_pixels, proposals)
        )

    sources: dict[str, str] = {}
    labels: dict[str, int] = {}
    with ThreadPoolExecutor(workers) as pool:
        raws = (raw for path in paths for raw in _records(path))
        checked = in_order(pool, lambda raw: (raw, check(raw)), raws, 4 * workers)
        for raw, result in counted(checked, _expected_records(paths), "validating", progress_to):
            report.faults += result.faults
            report.found_boxes += result.found_boxes
            report.found_images += raw.fault is None
            if result.image is not None:
                report.faults += _duplicate_faults(raw, result.image, sources, labels)
                report.add(result.image)
    if not report.found_images and not report.bad:
        report.faults.append(Fault("no_records", report.title, "", "contain no records; create them again"))
    return report


def _matching(pattern: str) -> list[str]:
    matches = [path for path in expand(pattern) if path == pattern or not os.path.isdir(path)]
    matches = [path for path in matches if not path.endswith((MANIFEST_SUFFIX, ".report.json"))]
    if not matches:
        raise PathError(f"{pattern}: no such file, or no file matches; check --input_path: {hint(pattern)}")
    for path in matches:
        if os.path.isdir(path):
            raise DataError(f"{path}: is a folder; give the files in it, as in {os.path.join(path, 'train.record-*')}")
        if is_special(path):
            raise PathError(
                f"{path}: is a device or pipe, not a file; records are read more than once: check --input_path"
            )
    return matches


def _expected_records(paths: list[str]) -> int:
    """Number of records according to the manifests; 0 if there are none."""
    manifests = [_manifest_of(path) for path in paths]
    return sum(
        (manifest or {}).get("shards", {}).get(Path(path).name, {}).get("records", 0)
        for path, manifest in zip(paths, manifests, strict=True)
    )


def _manifest_of(path: str) -> dict | None:
    """The manifest, or None; a damaged manifest is reported when the shard is read."""
    try:
        return read_manifest(path)
    except DataError:
        return None


def _missing_shards(paths: list[str]) -> Iterator[Fault]:
    """Yields faults for shards that a manifest lists and that do not exist."""
    manifests = {manifest_path(path.rsplit("-", 3)[0]): manifest for path in paths if (manifest := _manifest_of(path))}
    for file, manifest in manifests.items():
        for name in manifest["shards"]:
            if not (file.parent / name).exists():
                yield Fault("shard_differs", str(file), name, "does not exist; convert again, or copy it here")


def _records(path: str) -> Iterator[_RawRecord]:
    """Yields the records of a shard, then the faults of the shard as a whole."""
    with open(path, "rb") as stream:
        head = stream.read(64)
        stream.seek(0)
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if head.startswith(_GZIP):
        yield _RawRecord(path, 0, b"", Fault("shard_unreadable", path, "", "is gzip data; unpack it with gunzip"))
        return
    number, size = 0, os.path.getsize(path)
    for part in stretches(path):
        if isinstance(part, Damage):
            yield _RawRecord(path, part.number, b"", _describe_damage(path, part, number, head, size))
        elif not isinstance(part, Stretch):
            yield _RawRecord(path, *part)
            number += 1
    try:
        manifest = read_manifest(path)
        if manifest:
            check_published(path, manifest)
    except DataError as error:
        yield _RawRecord(path, number, b"", Fault("shard_differs", path, "", str(error)))
        return
    expected = manifest["shards"].get(Path(path).name) if manifest else None
    if not size and not expected:
        yield _RawRecord(path, 0, b"", Fault("shard_empty", path, "", "contains no records"))
    if expected and (expected["records"], expected.get("sha256", digest)) != (number, digest):
        value = "its bytes have changed since it was written"
        if number != expected["records"]:
            value = f"{number_of(number, 'record')} can be read, its manifest says {expected['records']}"
        yield _RawRecord(
            path, number, b"", Fault("shard_differs", path, "", f"{value}; convert again, or copy it again")
        )


def _describe_damage(path: str, damage: Damage, read: int, head: bytes, size: int) -> Fault:
    """The fault for a damaged part of a file; `read` is the number of records before it."""
    end = damage.offset + damage.size
    if read == 0 and end == size and length_of(head) is None:
        return Fault(
            "shard_unreadable",
            path,
            "",
            f"is not a TFRecord file (seems to be {images.sniff(head)}), or its first record is damaged",
        )
    description = "cut" if end == size else "damaged"
    loss = (
        "this record is lost"
        if damage.records == 1 and end < size
        else "the rest is lost"
        if end == size
        else "the records in between are lost"
    )
    until = f" up to byte {end}" if end < size else ""
    return Fault(
        "shard_unreadable",
        path,
        f"record {damage.number}",
        f"{description} at byte {damage.offset} of {size}{until}; {loss}; convert again",
    )


def _duplicate_faults(
    raw: _RawRecord, image: RecordImage, sources: dict[str, str], labels: dict[str, int]
) -> Iterator[Fault]:
    """Yields faults between records; `sources` and `labels` are those of the earlier records."""
    where = f"record {raw.number} ({image.source_id})"
    first = sources.setdefault(image.source_id, f"{raw.shard} record {raw.number}") if image.source_id else ""
    if first not in ("", f"{raw.shard} record {raw.number}"):
        yield Fault("duplicate_id", raw.shard, where, f"image/source_id is also in {first}")
    for box in image.boxes:
        label = labels.setdefault(box.text, box.label)
        if label != box.label:
            yield Fault("class_disagrees", raw.shard, where, f"{box.text!r} has label {box.label}, but {label} before")
