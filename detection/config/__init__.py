"""Configs and label maps: text or binary protos in, checked messages out."""

from detection.config.check import check
from detection.config.files import from_text, load, save, to_text
from detection.config.overrides import override
from detection.config.prepare import prepare, read_checked

__all__ = ["check", "from_text", "load", "override", "prepare", "read_checked", "save", "to_text"]
