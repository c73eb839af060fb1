"""Oxford-IIIT Pet: PASCAL VOC annotations of heads, with the breed in the name of the image.

    images/Abyssinian_100.jpg    annotations/xmls/Abyssinian_100.xml    annotations/trainval.txt

The boxes' own class is "cat" or "dog"; here it is the breed, `Abyssinian`, as in the TF Object Detection API's label
map. The archive has boxes for trainval.txt only, so its images are split as that API does it: shuffled with the seed
42, the first 70 % are "train", the others "val".
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

from detection.data.convert import voc
from detection.data.convert.source import AnnotatedImage, AnnotatedSet, Source, of_classes, stem
from detection.data.convert.split import split_lines
from detection.data.findings import Fault
from detection.errors import ConfigError, DataError

_SETS = ("train", "val")
_BREED = re.compile(r"([A-Za-z_]+)_\d+$")
_TRAIN_PART = 0.7


def read(source: Source) -> AnnotatedSet:
    """The images of a folder of the data set in the order of the split: `subset` is "train", "val" or "" for both.

    Raises:
        ConfigError, DataError: for a folder or file that does not exist or cannot be read. Faults of single files
            travel with their image.
    """
    if len(source.roots) != 1 or source.image_dir or source.annotations:
        raise ConfigError("pass --data_dir, the folder with images/ and annotations/, and no other folder")
    if source.subset not in ("", *_SETS):
        raise ConfigError(f"--set={source.subset}: unknown; one of {', '.join(_SETS)}, or none for both")
    root = Path(source.roots[0])
    listing = Path(source.split_file) if source.split_file else root / "annotations" / "trainval.txt"
    if not listing.is_file():
        raise ConfigError(f"{listing}: no such file; check --data_dir")
    ids = [line.split()[0] for line in split_lines(listing) if not line.startswith("#")]
    if source.subset:
        ids = split(ids)[_SETS.index(source.subset)]
    folders = Source(image_dir=str(root / "images"), annotations=str(root / "annotations" / "xmls"))
    return of_classes(AnnotatedSet(_read(folders, ids, str(listing))), source.classes)


def split(ids: list[str]) -> tuple[list[str], list[str]]:
    """Training and validation."""
    shuffled = list(ids)
    random.Random(42).shuffle(shuffled)
    count = int(_TRAIN_PART * len(shuffled))
    return shuffled[:count], shuffled[count:]


def _read(folders: Source, ids: list[str], listing: str) -> Iterator[AnnotatedImage]:
    found = {stem(image.filename): image for image in voc.read(folders).images}
    for identity in ids:
        image = found.get(identity)
        breed = _BREED.match(identity)
        if image is None:
            fault = Fault("image_missing", listing, "", f"id {identity!r} has no image", "image left out")
            yield AnnotatedImage(listing, Path(), identity, identity, None, (), 0, (fault,), usable=False)
        elif breed is None:
            raise DataError(f"{listing}: id {identity!r} names no breed; ids are such as Abyssinian_100")
        elif any(fault.kind == "no_annotation" for fault in image.faults):
            # Every image of the data set shows a pet: without a box it is not one without objects.
            fault = Fault("annotation_unreadable", image.where, "", f"no {identity}.xml", "image left out")
            yield image._replace(faults=(fault,), usable=False)
        else:
            yield image._replace(boxes=tuple(box._replace(name=breed[1]) for box in image.boxes))
