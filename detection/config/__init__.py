"""Configs and label maps: text or binary protos in, checked messages out."""

from detection.config.files import load, save, to_text
from detection.config.overrides import override

__all__ = ["load", "override", "save", "to_text"]
