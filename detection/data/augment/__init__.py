"""Random changes to a sample: one family of operations a file, each `operation(sample, seed, settings...) -> sample`."""
