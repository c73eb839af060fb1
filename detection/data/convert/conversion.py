"""Conversion from end to end: annotated images in, shards, label map, manifest and report out.

Images are read, decoded for checking and serialised in threads: TensorFlow decodes without the interpreter's lock, and
checking 640x480 JPEGs ran as fast in two threads as in two processes (1300 images/s). Records keep the order of the
source whatever the number of threads.
"""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TextIO

from detection.config import label_map
from detection.data.convert import boxes, images
from detection.data.convert.source import AnnotatedImage, AnnotatedSet
from detection.data.findings import DataReport, Fault
from detection.data.record_writer import RecordImage, RecordLabel, ShardedWriter, to_example
from detection.errors import DataError, number_of
from detection.progress import counted
from detection.tools.parallel import in_order
from detection.types import MAX_PIXELS

_SHARD_BYTES = 128 * 2**20
SKIP, FAIL, FIX = "skip", "fail", "fix"
BOX_LEFT_OUT, IMAGE_LEFT_OUT = "box left out", "image left out"
CONSEQUENCES = ("annotation_uncertain", "no_usable_box")  # kinds of faults whose reason is another fault


@dataclasses.dataclass(frozen=True)
class ConversionOptions:
    """How to convert.

    output: prefix of the shards, such as data/train.record
    num_shards: 0 for one shard every 128 MiB of images
    one_file: write one file called `output` itself, not shards
    label_map_path: read when it exists, otherwise made: with the ids that the data set gives, or of the classes found
        in alphabetical order; "" for label_map.pbtxt beside the output
    on_bad: "skip" leaves bad images and boxes out, "fix" repairs what can be (and skips the rest), "fail" checks
        everything but writes no records if anything is bad
    max_bad_percent: with more bad (or clipped) than this, of images or of boxes, no records are written: one mistake is
        behind them all. Boxes of images that are left out count as bad ones
    """

    output: str
    num_shards: int = 0
    one_file: bool = False
    label_map_path: str = ""
    on_bad: str = SKIP
    ignore_difficult: bool = False
    max_image_pixels: int = MAX_PIXELS
    max_bad_percent: float = 50.0
    overwrite: bool = False
    workers: int = 0  # threads; 0 for one a core


class _Result(NamedTuple):
    """What became of one annotated image."""

    serialized: bytes
    image: RecordImage | None
    faults: list[Fault]
    ignored: int  # difficult boxes left out on request


def convert(
    annotated: AnnotatedSet, options: ConversionOptions, out: TextIO | None = None, progress_to: TextIO | None = None
) -> DataReport:
    """Converts a data set.

    Args:
        annotated: what a reader returned.
        options: how to convert.
        out: told what was found and what was wrong, some places of each kind; `<output>.report.json` names all.
        progress_to: told how far it is.

    Raises:
        DataError: where nothing usable was found, or more is bad than `options` allow; then no records are written.
    """
    report = DataReport(options.output)
    todo = list(annotated.images)
    map_path = options.label_map_path or str(Path(options.output).parent / "label_map.pbtxt")
    make_map = not Path(map_path).exists()
    if make_map:
        if annotated.no_map:
            raise DataError(annotated.no_map)
        ids = annotated.ids or _ids_of(todo, options, report)
        names = {label: name for name, label in ids.items()}
    else:
        known = label_map.load(map_path)
        ids, names = known.text_ids(), {category.id: category.shown for category in known.categories}
    report.declare(names)
    report.found_images = sum(image.counts for image in todo)
    report.found_boxes = sum(image.found_boxes for image in todo)
    report.faults += _names_alike(todo, map_path)
    fractions = boxes.look_like_fractions(todo)
    workers = options.workers or os.cpu_count() or 1

    def one(image: AnnotatedImage) -> _Result:
        return _convert_image(image, options, ids, map_path, fractions)

    shards = None if options.one_file else options.num_shards or _shards_for(todo)
    with ShardedWriter(options.output, shards, options.overwrite) as writer:
        with ThreadPoolExecutor(workers) as pool:
            results = in_order(pool, one, _without_repeats(todo), 4 * workers)
            for result in counted(results, len(todo), options.output, progress_to):
                report.faults += result.faults
                report.ignored_difficult_boxes += result.ignored
                if result.image is not None:
                    report.add(result.image)
                    writer.write(result.serialized, result.image)
        report_path = f"{options.output}.report.json"
        refusal = _refusal(report, options)
        if refusal is None:
            written = f"{options.output}-?????-of-{len(writer.paths):05d}" if shards else options.output
            report.outputs = [written, map_path]
        report.save(report_path)
        if out is not None:
            out.writelines(f"{line}\n" for line in report.lines())
        if refusal is not None:
            raise DataError(f"{options.output}: {refusal}; no records were written; all faults: {report_path}")
    if make_map:
        label_map.save(map_path, ids)
    return report


def _convert_image(
    image: AnnotatedImage, options: ConversionOptions, ids: dict[str, int], map_path: str, fractions: bool
) -> _Result:
    faults = list(image.faults)
    if not image.usable:
        return _Result(b"", None, faults, 0)
    repair = options.on_bad == FIX
    try:
        loaded = images.load(image.image_path, options.max_image_pixels, repair)
    except images.BadImage as error:
        return _Result(b"", None, [*faults, error.fault], 0)
    faults += loaded.faults
    wanted = image._replace(boxes=tuple(box for box in image.boxes if not (options.ignore_difficult and box.difficult)))
    kept, box_faults = boxes.check(
        wanted, loaded.width, loaded.height, ids, map_path, repair, loaded.orientation, fractions
    )
    faults += box_faults
    if any(fault.kind == "size_mismatch" and fault.bad for fault in box_faults):
        return _Result(b"", None, faults, 0)
    # A class that the label map does not have is no object to learn. Any other lost box is one (also one without area,
    # or of a class that the annotations themselves do not name), and without it its image would say that it has none.
    lost = [fault for fault in image.faults if fault.bad and fault.action == BOX_LEFT_OUT]
    lost += [fault for fault in box_faults if fault.action == BOX_LEFT_OUT and fault.kind != "class_unknown"]
    if lost and not kept:
        value = f"none of {number_of(image.found_boxes, 'box', 'boxes')} of {image.filename} is usable"
        faults.append(Fault("no_usable_box", image.where, "", f"{value}, first: {lost[0].item}", IMAGE_LEFT_OUT))
        return _Result(b"", None, faults, 0)
    labels = tuple(RecordLabel(ids[each.name], each.name, each.confidence) for each in image.labels if each.name in ids)
    record = RecordImage(
        *(loaded.encoded, loaded.format, loaded.height, loaded.width, image.filename, image.source_id),
        boxes=tuple(kept),
        labels=labels,
    )
    return _Result(
        to_example(record).SerializeToString(deterministic=True), record, faults, len(image.boxes) - len(wanted.boxes)
    )


def _ids_of(todo: list[AnnotatedImage], options: ConversionOptions, report: DataReport) -> dict[str, int]:
    """Labels for the classes found: alphabetical, so that they depend neither on file names nor on the order of
    reading.
    """
    names = sorted(
        {box.name for image in todo for box in image.boxes if not (options.ignore_difficult and box.difficult)}
    )
    if names:
        return {name: label for label, name in enumerate(names, start=1)}
    report.faults = [fault for image in todo for fault in image.faults]
    first = first_cause(report.bad)
    raise DataError(
        f"{options.output}: no object in any of {len(todo)} annotations, so no label map can be"
        f" made{f'; first: {first}' if first else ''}; check --annotation_dir, or pass an existing --label_map_path to"
        " convert images without objects"
    )


def _names_alike(todo: list[AnnotatedImage], map_path: str) -> Iterator[Fault]:
    """Classes that may be one, written differently."""
    counts = Counter(box.name for image in todo for box in image.boxes)
    groups: dict[str, list[str]] = {}
    for name in sorted(counts):
        groups.setdefault(boxes.plain_name(name), []).append(name)
    for names in groups.values():
        if len(names) > 1:
            value = ", ".join(f"{name!r} ({counts[name]} boxes)" for name in names)
            yield Fault(
                "class_names_alike", map_path, "", f"{value}; if they are one class, write them alike", "kept apart"
            )


def _without_repeats(todo: list[AnnotatedImage]) -> Iterator[AnnotatedImage]:
    """Marks images whose id was there before as unusable: two different images would count as one in evaluation."""
    seen: set[str] = set()
    for image in todo:
        if image.usable and image.source_id in seen:
            fault = Fault("duplicate_id", image.where, "", f"id {image.source_id!r} was there before", "image left out")
            image = image._replace(usable=False, faults=(*image.faults, fault))
        elif image.usable:
            seen.add(image.source_id)
        yield image


def _refusal(report: DataReport, options: ConversionOptions) -> str | None:
    """Why these records should not be written, if so."""
    bad = report.bad
    first = first_cause(bad)
    if options.on_bad == FAIL and bad:
        return f"{number_of(len(bad), 'fault')}, first: {first}; fix them, or pass --on_bad=skip or --on_bad=fix"
    if not report.images:
        if not report.found_images:
            return "the data set lists no images"
        return f"none of {number_of(report.found_images, 'image')} is usable" + (f", first: {first}" if first else "")
    clipped = [fault for fault in report.faults if fault.kind == "box_clipped" and fault.action == boxes.CLIPPED]
    empty = sum(fault.kind == "box_zero_area" for fault in report.faults)
    alone = sum(fault.action == BOX_LEFT_OUT for fault in bad)
    boxes_lost = max(alone, report.found_boxes - report.boxes - report.ignored_difficult_boxes - empty)
    with_images = f" (or of images left out: {boxes_lost - alone})" if boxes_lost > alone else ""
    for count, found, what, example in (
        (report.found_images - report.images, report.found_images, "images are bad", first),
        (boxes_lost, report.found_boxes, f"boxes are bad{with_images}", first),
        (len(clipped), report.found_boxes, "boxes reach outside their image", next(iter(clipped), None)),
    ):
        if found and 100 * count / found > options.max_bad_percent:
            return (
                f"{count} of {found} {what}, more than --max_bad_percent={options.max_bad_percent:g}, first: {example}"
            )
    return None


def first_cause(bad: list[Fault]) -> Fault | None:
    """The first fault that is not itself the consequence of another."""
    return next((fault for fault in bad if fault.kind not in CONSEQUENCES), next(iter(bad), None))


def _shards_for(todo: list[AnnotatedImage]) -> int:
    total = sum(
        os.path.getsize(image.image_path) for image in todo if image.usable and os.path.isfile(image.image_path)
    )
    return max(1, -(-total // _SHARD_BYTES))
