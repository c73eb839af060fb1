"""Evaluates detectors: metrics, the evaluation loop, and pictures of detections."""
