"""Pieces of records, as `object_detection.utils.dataset_util` makes them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import tensorflow as tf


def int64_feature(value: int) -> tf.train.Feature:
    """One whole number."""
    return int64_list_feature([value])


def int64_list_feature(value: Iterable[int]) -> tf.train.Feature:
    """Whole numbers."""
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[int(each) for each in value]))


def bytes_feature(value: bytes) -> tf.train.Feature:
    """One text or file."""
    return bytes_list_feature([value])


def bytes_list_feature(value: Iterable[bytes]) -> tf.train.Feature:
    """Texts or files."""
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=value))


def float_feature(value: float) -> tf.train.Feature:
    """One number."""
    return float_list_feature([value])


def float_list_feature(value: Iterable[float]) -> tf.train.Feature:
    """Numbers."""
    return tf.train.Feature(float_list=tf.train.FloatList(value=value))


def read_examples_list(path: str | os.PathLike[str]) -> list[str]:
    """The first word of every line: ids of a PASCAL VOC split."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return [line.strip().split(" ")[0] for line in lines]


def recursive_parse_xml_to_dict(xml: Any) -> dict[str, Any]:  # an element of lxml or of xml.etree
    """{tag: text}, or {tag: its children}; what is called `object` becomes a list."""
    if not len(xml):
        return {xml.tag: xml.text}
    result: dict[str, Any] = {}
    for child in xml:
        value = recursive_parse_xml_to_dict(child)[child.tag]
        if child.tag == "object":
            result.setdefault(child.tag, []).append(value)
        else:
            result[child.tag] = value
    return {xml.tag: result}
