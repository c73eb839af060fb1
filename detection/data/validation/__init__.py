"""Validation of record files from any source."""
