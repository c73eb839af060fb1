"""Helpers to build tf.Examples, like `object_detection.utils.dataset_util`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import tensorflow as tf


def int64_feature(value: int) -> tf.train.Feature:
    """Returns a feature with one integer."""
    return int64_list_feature([value])


def int64_list_feature(value: Iterable[int]) -> tf.train.Feature:
    """Returns a feature with a list of integers."""
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[int(each) for each in value]))


def bytes_feature(value: bytes) -> tf.train.Feature:
    """Returns a feature with one byte string."""
    return bytes_list_feature([value])


def bytes_list_feature(value: Iterable[bytes]) -> tf.train.Feature:
    """Returns a feature with a list of byte strings."""
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=value))


def float_feature(value: float) -> tf.train.Feature:
    """Returns a feature with one float."""
    return float_list_feature([value])


def float_list_feature(value: Iterable[float]) -> tf.train.Feature:
    """Returns a feature with a list of floats."""
    return tf.train.Feature(float_list=tf.train.FloatList(value=value))


def read_examples_list(path: str | os.PathLike[str]) -> list[str]:
    """Returns the first word of every line of a file: the image ids of a PASCAL VOC split."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return [line.strip().split(" ")[0] for line in lines]


def recursive_parse_xml_to_dict(xml: Any) -> dict[str, Any]:  # an element of lxml or of xml.etree
    """Converts an XML element to {tag: text} or {tag: children}; children named `object` are collected in a list."""
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
