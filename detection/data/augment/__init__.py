"""Data augmentation: one family of operations per file, each `operation(sample, seed, settings...) -> sample`."""
