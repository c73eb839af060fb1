"""Validation of record files, whoever wrote them."""
