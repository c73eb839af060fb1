"""Checkpoints: their files, the names in them, what a model takes from them, and what they are of."""
