#!/usr/bin/env python3
"""Measures the region ops of two-stage detectors: time, memory, and RoI max pooling against torchvision if installed.

    python benchmarks/roi.py [--rois=64,300 --channels=512 --map=38,63 --torch_python=/path/to/python --json=times.json]
    python benchmarks/roi.py --proposals=300,2000,45000 [--extractor=faster_rcnn_mobilenet_v1 --kinds=roi_max_pool
        --chunks=100,300]

The second form measures whole second stages at test time, in chunks of proposals.
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
flags.DEFINE_list("rois", ["64", "300"], "Regions at a time.")
flags.DEFINE_integer("channels", 512, "Channels of the feature map.", lower_bound=1)
flags.DEFINE_list("map", ["38", "63"], "Height and width of the map, cells of 16 pixels.")
flags.DEFINE_integer("warmup", 3, "Rounds before the measured ones.", lower_bound=1)
flags.DEFINE_integer("runs", 20, "Measured rounds.", lower_bound=1)
flags.DEFINE_string(
    "torch_python", None, "A Python that has torch and torchvision; by default this one, if it has them."
)
flags.DEFINE_string("json", None, "File to write the numbers of the ops to.")
flags.DEFINE_list("proposals", [], "Measure second stages with these numbers of proposals instead of the ops.")
flags.DEFINE_list("chunks", ["300"], "Regions at a time in a second stage.")
flags.DEFINE_list("kinds", ["crop_and_resize", "roi_max_pool", "position_sensitive"], "Second stages.")
flags.DEFINE_string(
    "extractor", "faster_rcnn_mobilenet_v1", "Extractor whose tail runs on the crops; the field `type` of a config."
)


def main(argv: list[str]) -> None:
    """Runs the benchmark and prints its table."""
    if argv[1:]:
        raise ConfigError("give everything as flags, --name=value")
    try:
        rois, (height, width) = tuple(int(count) for count in FLAGS.rois), (int(side) for side in FLAGS.map)
        proposals, chunks = ([int(count) for count in values] for values in (FLAGS.proposals, FLAGS.chunks))
    except ValueError:
        raise ConfigError(
            "--rois, --proposals and --chunks take numbers, --map two of them, e.g. --rois=64,300 --map=38,63"
        ) from None
    cli.import_tensorflow()
    from benchmarks import roi_ops, roi_stage
    from detection.benchmark import report

    if proposals:
        rows = roi_stage.benchmark(proposals, FLAGS.extractor, FLAGS.kinds, chunks, FLAGS.runs)
        print(roi_stage.table_header())
        for row in rows:
            print(row.line(), flush=True)
        return

    options = roi_ops.RoiOptions(rois, FLAGS.channels, (height, width), FLAGS.warmup, FLAGS.runs)
    measured = roi_ops.benchmark(options, FLAGS.torch_python)
    print(measured.table())
    if FLAGS.json:
        report.save(measured.to_json(), FLAGS.json)


if __name__ == "__main__":
    cli.run(main)
