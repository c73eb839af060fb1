"""Converts annotated images to shards with a label map, a manifest and a report.

Images are read, decoded for checking and serialised in threads: TensorFlow releases the interpreter lock, and checking
640x480 JPEGs was as fast in two threads as in two processes (1300 images/s). Records keep the order of the source for
any number of threads.
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
CONSEQUENCES = ("annotation_uncertain", "no_usable_box")  # kinds of faults that are caused by other faults


@dataclasses.dataclass(frozen=True)
class ConversionOptions:
    """How to convert.

    Attributes:
        output: prefix of the shards, such as data/train.record.
        num_shards: 0 for one shard per 128 MiB of images.
        one_file: write one file called `output` itself, not shards.
        label_map_path: read if it exists, otherwise created: with the ids of the data set, or with the classes in
            alphabetical order; empty for label_map.pbtxt beside the output.
        on_bad: "skip" skips bad images and boxes, "fix" repairs what it can and skips the rest, "fail" checks
            everything but writes no records if anything is bad.
        ignore_difficult: skip difficult boxes.
        max_image_pixels: larger images are bad.
        max_bad_percent: if more images or boxes are bad (or clipped), no records are written, since they probably have
            a common cause. Boxes of skipped images count as bad.
        overwrite: replace existing shards.
        workers: threads; 0 for one per core.
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
    workers: int = 0


class _Result(NamedTuple):
    """The result of one annotated image."""

    serialized: bytes
    image: RecordImage | None
    faults: list[Fault]
    ignored: int  # number of difficult boxes skipped because of `ignore_difficult`


def convert(
    annotated: AnnotatedSet, options: ConversionOptions, out: TextIO | None = None, progress_to: TextIO | None = None
) -> DataReport:
    """Converts a data set.

    Args:
        annotated: the result of a reader.
        options: how to convert.
        out: receives the report with some faults of each kind; `<output>.report.json` has all.
        progress_to: receives progress lines.

    Raises:
        DataError: nothing is usable, or more is bad than `options` allow; no records are written.
    """
    report = DataReport(options.output)
    images_to_convert = list(annotated.images)
    map_path = options.label_map_path or str(Path(options.output).parent / "label_map.pbtxt")
    make_map = not Path(map_path).exists()
    if make_map:
        if annotated.no_map:
            raise DataError(annotated.no_map)
        ids = annotated.ids or _ids_of(images_to_convert, options, report)
        names = {label: name for name, label in ids.items()}
    else:
        existing = label_map.load(map_path)
        ids, names = existing.text_ids(), {category.id: category.shown for category in existing.categories}
    report.declare(names)
    report.found_images = sum(image.counts for image in images_to_convert)
    report.found_boxes = sum(image.found_boxes for image in images_to_convert)
    report.faults += _names_alike(images_to_convert, map_path)
    fractions = boxes.look_like_fractions(images_to_convert)
    workers = options.workers or os.cpu_count() or 1

    def convert_one(image: AnnotatedImage) -> _Result:
        return _convert_image(image, options, ids, map_path, fractions)

    shards = None if options.one_file else options.num_shards or _shards_for(images_to_convert)
    with ShardedWriter(options.output, shards, options.overwrite) as writer:
        with ThreadPoolExecutor(workers) as pool:
            results = in_order(pool, convert_one, _without_repeats(images_to_convert), 4 * workers)
            for result in counted(results, len(images_to_convert), options.output, progress_to):
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
    selected = image._replace(
        boxes=tuple(box for box in image.boxes if not (options.ignore_difficult and box.difficult))
    )
    kept, box_faults = boxes.check(
        selected, loaded.width, loaded.height, ids, map_path, repair, loaded.orientation, fractions
    )
    faults += box_faults
    if any(fault.kind == "size_mismatch" and fault.bad for fault in box_faults):
        return _Result(b"", None, faults, 0)
    # A box of a class that is not in the label map is not an object. Any other lost box is one (also a box without
    # area, or of a class that the annotations do not name), and without it the image would look empty.
    lost_boxes = [fault for fault in image.faults if fault.bad and fault.action == BOX_LEFT_OUT]
    lost_boxes += [fault for fault in box_faults if fault.action == BOX_LEFT_OUT and fault.kind != "class_unknown"]
    if lost_boxes and not kept:
        value = f"none of {number_of(image.found_boxes, 'box', 'boxes')} of {image.filename} is usable"
        faults.append(Fault("no_usable_box", image.where, "", f"{value}, first: {lost_boxes[0].item}", IMAGE_LEFT_OUT))
        return _Result(b"", None, faults, 0)
    labels = tuple(RecordLabel(ids[each.name], each.name, each.confidence) for each in image.labels if each.name in ids)
    record = RecordImage(
        *(loaded.encoded, loaded.format, loaded.height, loaded.width, image.filename, image.source_id),
        boxes=tuple(kept),
        labels=labels,
    )
    return _Result(
        to_example(record).SerializeToString(deterministic=True), record, faults, len(image.boxes) - len(selected.boxes)
    )


def _ids_of(annotated_images: list[AnnotatedImage], options: ConversionOptions, report: DataReport) -> dict[str, int]:
    """Labels for the classes of the annotations, in alphabetical order, so that they do not depend on file names."""
    names = sorted(
        {
            box.name
            for image in annotated_images
            for box in image.boxes
            if not (options.ignore_difficult and box.difficult)
        }
    )
    if names:
        return {name: label for label, name in enumerate(names, start=1)}
    report.faults = [fault for image in annotated_images for fault in image.faults]
    first = first_cause(report.bad)
    raise DataError(
        f"{options.output}: no object in any of {len(annotated_images)} annotations, so no label map can be"
        f" made{f'; first: {first}' if first else ''}; check --annotation_dir, or pass an existing --label_map_path to"
        " convert images without objects"
    )


def _names_alike(annotated_images: list[AnnotatedImage], map_path: str) -> Iterator[Fault]:
    """Yields faults for classes whose names differ only in case or spaces."""
    counts = Counter(box.name for image in annotated_images for box in image.boxes)
    groups: dict[str, list[str]] = {}
    for name in sorted(counts):
        groups.setdefault(boxes.plain_name(name), []).append(name)
    for names in groups.values():
        if len(names) > 1:
            value = ", ".join(f"{name!r} ({counts[name]} boxes)" for name in names)
            yield Fault(
                "class_names_alike", map_path, "", f"{value}; if they are one class, use one name", "kept separate"
            )


def _without_repeats(annotated_images: list[AnnotatedImage]) -> Iterator[AnnotatedImage]:
    """Marks images with a duplicate id as unusable: evaluation would treat two images as one."""
    seen_ids: set[str] = set()
    for image in annotated_images:
        if image.usable and image.source_id in seen_ids:
            fault = Fault("duplicate_id", image.where, "", f"id {image.source_id!r} is used before", "image left out")
            image = image._replace(usable=False, faults=(*image.faults, fault))
        elif image.usable:
            seen_ids.add(image.source_id)
        yield image


def _refusal(report: DataReport, options: ConversionOptions) -> str | None:
    """Why the records must not be written; None if they can be."""
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
    num_lost = sum(fault.action == BOX_LEFT_OUT for fault in bad)
    boxes_lost = max(num_lost, report.found_boxes - report.boxes - report.ignored_difficult_boxes - empty)
    remark = f" (or in skipped images: {boxes_lost - num_lost})" if boxes_lost > num_lost else ""
    for count, total, description, example in (
        (report.found_images - report.images, report.found_images, "images are bad", first),
        (boxes_lost, report.found_boxes, f"boxes are bad{remark}", first),
        (len(clipped), report.found_boxes, "boxes are partly outside their image", next(iter(clipped), None)),
    ):
        if total and 100 * count / total > options.max_bad_percent:
            return (
                f"{count} of {total} {description}, more than --max_bad_percent={options.max_bad_percent:g}, first:"
                f" {example}"
            )
    return None


def first_cause(bad: list[Fault]) -> Fault | None:
    """The first fault that is not a consequence of another; None if there are no faults."""
    return next((fault for fault in bad if fault.kind not in CONSEQUENCES), next(iter(bad), None))


def _shards_for(annotated_images: list[AnnotatedImage]) -> int:
    total = sum(
        os.path.getsize(image.image_path)
        for image in annotated_images
        if image.usable and os.path.isfile(image.image_path)
    )
    return max(1, -(-total // _SHARD_BYTES))
