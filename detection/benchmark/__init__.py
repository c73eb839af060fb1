"""Benchmarks of detectors: time, memory, operations."""
