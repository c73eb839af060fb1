"""Replacement for `object_detection.builders` of the TF Object Detection API."""
