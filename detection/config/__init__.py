"""Configs and label maps: text or binary protos in, checked messages out."""
