#!/usr/bin/env python3
"""Measures networks and feature extractors, as trained and as served.

They are compared with this machine's matrix product and with networks of other libraries.

    python benchmarks/networks.py [--networks=mobilenet_v1,ssd_mobilenet_v1 --sizes=300,600 --runs=20 --batch=1]
    python benchmarks/networks.py --baseline --train --markdown     # everything that docs/networks.md shows

A network is named like its ImageNet checkpoint (resnet_v1_101), an extractor as in configs (ssd_resnet101,
faster_rcnn_resnet101), that of a CenterNet with center_net_ in front (center_net_resnet_v2_50). --baseline needs
tf_slim, which the extra [test] installs.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the checkout: `benchmarks` and `detection`

from detection import cli  # Imported first: from here on Ctrl-C prints one line.

# isort: split
from absl import flags

from detection.errors import ConfigError

FLAGS = flags.FLAGS
flags.DEFINE_list("networks", [], "Networks and types of extractors; by default all.")
flags.DEFINE_list("sizes", ["300", "600"], "Sides of the square images, pixels.")
flags.DEFINE_integer("runs", 20, "Measured rounds; each runs all functions of a row once.", lower_bound=1)
flags.DEFINE_integer("warmup", 3, "Rounds before the measured ones.", lower_bound=1)
flags.DEFINE_integer("batch", 1, "Images at a time.", lower_bound=1)
flags.DEFINE_bool(
    "baseline", False, "Also times the same networks from tf_slim or keras.applications, frozen, batch norm folded."
)
flags.DEFINE_bool("train", False, "Also times train steps, against keras.applications, at the first of --sizes.")
flags.DEFINE_integer("train_batch", 4, "Images of a train step.", lower_bound=1)
flags.DEFINE_integer("crops", 100, "Crops at a time for the tails of two-stage extractors.", lower_bound=1)
flags.DEFINE_bool("markdown", False, "Prints the tables as Markdown.")
flags.DEFINE_string("json", None, "File to write the numbers to.")


def main(argv: list[str]) -> None:
    """Runs the benchmark and prints its tables."""
    if argv[1:]:
        raise ConfigError(f"unexpected {argv[1]!r}; give everything as flags, --name=value")
    if not FLAGS.sizes or not all(size.isdigit() and int(size) > 0 for size in FLAGS.sizes):
        raise ConfigError(f"--sizes={','.join(FLAGS.sizes)}: give pixels above 0, e.g. 300,600")
    cli.import_tensorflow()
    from benchmarks import network_tables, network_times
    from detection.benchmark.report import save

    options = network_times.NetworkOptions(
        names=tuple(FLAGS.networks),
        sizes=tuple(int(size) for size in FLAGS.sizes),
        batch=FLAGS.batch,
        runs=FLAGS.runs,
        warmup=FLAGS.warmup,
        baseline=FLAGS.baseline,
        train=FLAGS.train,
        train_batch=FLAGS.train_batch,
        crops=FLAGS.crops,
    )
    measured = network_tables.report(options, network_times.measure(options, sys.stderr))
    print(measured.text(FLAGS.markdown), end="")
    if FLAGS.json:
        save(measured.to_json(), FLAGS.json)


if __name__ == "__main__":
    cli.run(main)
