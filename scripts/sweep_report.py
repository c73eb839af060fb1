#!/usr/bin/env python3
"""Draws what a sweep found: the survey's figures, its relations beside ours, the optimality frontier, and a page to
choose from, index.html.

sweep_report.py --results=swept --output=report
"""

from __future__ import annotations

from detection import cli  # Before all else: from here on Ctrl-C is one line.

# isort: split
import shlex
import sys
from pathlib import Path

from absl import flags

from detection.errors import ConfigError

FLAGS = flags.FLAGS
flags.DEFINE_multi_string("results", [], "Folder that sweep.py wrote, or its results.jsonl. May be repeated.")
flags.DEFINE_string("output", None, "Folder for README.md, index.html and figures/.")
flags.DEFINE_string("device", "", "Of rows timed on several devices, those of this one, by its name or a part of it.")
flags.DEFINE_string("title", "Speed, memory and accuracy", "Heading of report and page.")


def main(argv: list[str]) -> None:
    if argv[1:] or not FLAGS.results or not FLAGS.output:
        raise ConfigError("usage: sweep_report.py --results=FOLDER --output=FOLDER [--device=NAME] [--title=WORDS]")
    from detection.sweep import quantities, results
    from detection.sweep.report import folder

    rows = quantities.of_one_device(results.read(FLAGS.results), FLAGS.device)
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    written = folder.write(rows, FLAGS.output, results=FLAGS.results, command=command, heading=FLAGS.title)
    for name, reason in written.left_out.items():
        print(f"{name} is left out: {reason}")
    print(f"{len(written.paths)} files; read {written.paths[0]}, open {written.paths[1]}")


if __name__ == "__main__":
    cli.run(main)
