"""Name the configuration to start from: the most accurate one of a sweep within limits of time and memory.

Examples:
  detection choose --results=swept --max_ms=30 --max_mib=800
  detection choose --results=swept --max_ms=30 --by=map50 --device=H200
"""

from __future__ import annotations

from detection import cli
from detection.commands.flags import Flags, Given
from detection.errors import ConfigError

ARGUMENTS = ""


def define(flags: Flags) -> None:
    """Adds the command's flags."""
    flags.add_multi_string("results", "Folder written by `detection sweep`, or its results.jsonl.")
    flags.add_float("max_ms", None, "Maximum milliseconds per image, end to end, median.")
    flags.add_float(
        "max_mib",
        None,
        "Maximum peak memory in MiB: of the accelerator if there is one, otherwise of the whole process with"
        " TensorFlow.",
    )
    flags.add_float(
        "max_model_mib", None, "Maximum peak memory in MiB that the model adds to a process with TensorFlow."
    )
    flags.add_string("by", "map", "Metric to maximise: map, map50, map75, small, medium, large or voc50.")
    flags.add_string(
        "device",
        "",
        "Device to choose for, given by its name in the results or a part of it; by default this machine's.",
    )


def run(given: Given) -> int:
    """Runs the command; returns the exit code."""
    flags = given.flags
    if given.arguments or not flags.results:
        raise ConfigError(
            f"usage: {given.program} --results=FOLDER [--max_ms=30] [--max_mib=800] [--max_model_mib=200] [--by=map50]"
            " [--device=NAME]"
        )
    from detection.sweep import choose, config_texts, results

    within = choose.limits(flags.max_ms, flags.max_mib, flags.by, flags.max_model_mib)
    rows = results.read(flags.results)
    here = ""
    if not flags.device:
        cli.import_tensorflow()
        from detection.benchmark import machine

        here = machine.device()
    rows = choose.measured_on(rows, flags.device, here, ", ".join(flags.results))
    rows = config_texts.with_widths(rows, config_texts.read(rows, flags.results))
    print(choose.report(choose.choose(rows, within), within, flags.results))
    return 0
