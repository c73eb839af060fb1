"""Damaged files for every reader: bash scripts/fuzz.sh."""
