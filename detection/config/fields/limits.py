"""Upper limits of sizes, far above those of usual detectors, each with its reason.

A config beyond a limit is rejected with the name of the field before anything is allocated. Otherwise a typing error of
three zeros would first exhaust the memory and then give an error about a tensor.
"""

from __future__ import annotations

from detection.config.fields.row import Limit

MAX_IMAGE = 100_000_000  # pixels, the same as for images that are read: 1.2 GB of float32
MAX_BATCH = 5_000_000_000  # pixels of all images in a batch: 60 GB of float32
MAX_ANCHORS = 10_000_000  # per image: 160 MB, and several times as much while they are computed
MAX_WEIGHTS = 1 << 28  # weights in one group of layers: 1 GiB, and the same for each array of the optimizer
MAX_LAYER = 1 << 27  # in one layer, whose initialisation needs several times its memory

WIDTH = Limit(4096, "it is a number of channels, and weights grow with its square")
KERNEL = Limit(31, "it is the side of a kernel, and weights grow with its square")
ROWS = Limit(100_000, "so many rows are kept for every image, whether there are boxes for them or not")
DRAWN = Limit(100_000, "so many regions of every image are computed at once")
SIDE = Limit(100_000, "it is a side of an image, in pixels")
BATCH = Limit(1_000_000, "all images of a batch are in memory together")
MULTIPLIER = Limit(4, "weights grow with its square")
MIN_DEPTH = Limit(512, "every layer gets at least so many channels")
CROP = Limit(512, "every region is cropped to this size, with all channels")
WITHIN_CROP = Limit(512, "it lies within the crop")
BINS = Limit(100, "every bin has maps of its own for every class")
GROWTH = Limit(100, "sides of images grow by it")
ANCHORS = Limit(MAX_ANCHORS, "it is a number of anchors")
