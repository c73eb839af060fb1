"""Conversion of annotated images to records: one file per format; everything after reading is shared.

A new format needs one file beside voc.py with a function `read(source) -> AnnotatedSet`, and one line here.
"""

from __future__ import annotations

from detection.data.convert import coco, kitti, oid, pet, voc

FORMATS = {
    "coco": coco.read,
    "kitti": kitti.read,
    "oid": oid.read,
    "pet": pet.read,
    "voc": voc.read,
}
