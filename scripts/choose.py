#!/usr/bin/env python3
"""Names the configuration to start from: the most accurate of a sweep's that takes at most so much time and memory on
this machine.

choose.py --results=swept --max_ms=30 --max_mib=800
"""

from __future__ import annotations

from detection import cli  # Before all else: from here on Ctrl-C is one line.

# isort: split
from absl import flags

from detection.errors import ConfigError

FLAGS = flags.FLAGS
flags.DEFINE_multi_string("results", [], "Folder that sweep.py wrote, or its results.jsonl. May be repeated.")
flags.DEFINE_float("max_ms", None, "Most milliseconds an image may take end to end, as the median.")
flags.DEFINE_float(
    "max_mib",
    None,
    "Most MiB of peak memory: of the accelerator where there is one, else of the whole process, TensorFlow included.",
)
flags.DEFINE_float(
    "max_model_mib", None, "Most MiB that the model may add to a process which has TensorFlow loaded, at its peak."
)
flags.DEFINE_string(
    "by", "map", "What should be as high as it can be: map, map50, map75, small, medium, large or voc50."
)
flags.DEFINE_string(
    "device", "", "Choose for this device, a name in the results or a part of one, instead of this machine's."
)


def main(argv: list[str]) -> None:
    if argv[1:] or not FLAGS.results:
        raise ConfigError(
            "usage: choose.py --results=FOLDER [--max_ms=30] [--max_mib=800] [--max_model_mib=200] [--by=map50]"
            " [--device=NAME]"
        )
    from detection.sweep import choose, config_texts, results

    within = choose.limits(FLAGS.max_ms, FLAGS.max_mib, FLAGS.by, FLAGS.max_model_mib)
    rows = results.read(FLAGS.results)
    here = ""
    if not FLAGS.device:
        cli.import_tensorflow()
        from detection.benchmark import machine

        here = machine.device()
    rows = choose.measured_on(rows, FLAGS.device, here, ", ".join(FLAGS.results))
    rows = config_texts.with_widths(rows, config_texts.read(rows, FLAGS.results))
    print(choose.report(choose.choose(rows, within), within, FLAGS.results))


if __name__ == "__main__":
    cli.run(main)
