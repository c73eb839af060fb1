"""Replacement for `object_detection.utils` of the TF Object Detection API."""
