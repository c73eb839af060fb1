"""The commands of `detection`, one file each: its flags, and one call into the package.

A command is a module with

    a docstring           what it does, then examples: what `--help` shows
    ARGUMENTS             what stands behind the flags, as in "IMAGE..."; "" where nothing may
    define(flags)         its flags
    run(given) -> int     the work; returns the exit code

and a row in `catalogue`. Nothing heavy is imported until `run`: `--help` must not wait for TensorFlow.
"""
