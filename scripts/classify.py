#!/usr/bin/env python3
"""Classifies images with a published ImageNet checkpoint, which shows that it was read right: the most likely classes,
top-1 and top-5 accuracy.

    classify.py --checkpoint=mobilenet_v1_1.0_224.ckpt --images=cat.jpg,photos/
    classify.py --network=vgg_16 --checkpoint=vgg_16.ckpt --images='val/*.JPEG' --labels=labels.txt --truth=val.csv

Network, depth multiplier and number of classes are read off the checkpoint; all its network's variables must be in it.
Each image is cut to its central square, 87.5 % of the shorter side, and resized to the network's size (bilinear). Class
numbers start at 0 and leave the background class out. Files that are no image are named and left out; the exit code is
then 3.
"""

from __future__ import annotations

from detection import cli  # Before all else: from here on Ctrl-C is one line.

# isort: split
import functools
import sys

from absl import flags

from detection.errors import ConfigError, DataError
from detection.types import MAX_PIXELS

FLAGS = flags.FLAGS
flags.DEFINE_string("checkpoint", None, "A checkpoint's prefix, one of its files, or a folder.", required=True)
flags.DEFINE_list("images", None, "Image files, folders or patterns.", required=True)
flags.DEFINE_string(
    "network", "", "What the checkpoint must be of, e.g. resnet_v1_101; by default what its scopes say."
)
flags.DEFINE_float("depth_multiplier", None, "Of the network; by default what its shapes say.", lower_bound=0.0)
flags.DEFINE_bool(
    "moving_averages", False, "Take the averaged weights that some training checkpoints hold beside the others."
)
flags.DEFINE_bool(
    "allow_unused_checkpoint_variables", False, "Take a checkpoint with weights that the network has no place for too."
)
flags.DEFINE_string(
    "labels", "", "Text file of one class a line; a line more than classes is the background, and the first."
)
flags.DEFINE_string("truth", "", "Lines `file,class`, the class as number or label: what accuracy is measured against.")
flags.DEFINE_integer("top", 5, "Classes that are shown of each image; 0: only the accuracy.", lower_bound=0)
flags.DEFINE_float(
    "crop", 0.875, "Side of the central square, as a share of the shorter side.", lower_bound=0.01, upper_bound=1.0
)
flags.DEFINE_integer("image_size", 0, "Side of the network's input; 0: what it was trained on.", lower_bound=0)
flags.DEFINE_integer("batch_size", 8, "Images at a time.", lower_bound=1)
flags.DEFINE_integer("max_image_pixels", MAX_PIXELS, "Larger images are not decoded.", lower_bound=1)


def main(argv: list[str]) -> int:
    if argv[1:]:
        raise ConfigError(f"unexpected argument {argv[1]!r}; images are a flag, --images={','.join(argv[1:])}")
    cli.import_tensorflow()
    from detection.checkpoints import pretrained
    from detection.evaluate import classify
    from detection.export import image_files

    paths = image_files.find(FLAGS.images)
    allow = FLAGS.allow_unused_checkpoint_variables
    loaded = pretrained.load(
        FLAGS.checkpoint, FLAGS.network, FLAGS.depth_multiplier, FLAGS.moving_averages, allow_unused=allow
    )
    print(loaded.summary())
    classes = classify.classes_of(loaded.spec, loaded.num_logits, FLAGS.labels)
    truth = classify.read_truth(FLAGS.truth, classes) if FLAGS.truth else None
    bad: list[DataError] = []
    results = []
    options = classify.ClassificationOptions(FLAGS.top, FLAGS.crop, FLAGS.image_size, FLAGS.batch_size)
    read = functools.partial(image_files.read, max_pixels=FLAGS.max_image_pixels)
    for result in classify.classify(loaded.classifier, loaded.spec, paths, read, options, bad.append):
        results.append(result)
        if options.top:
            print("\n".join(classify.lines(result, classes, options.top)))
    if truth is not None:
        print(classify.accuracy(results, truth, classes).summary())
    for error in bad:
        print(f"error: {error}", file=sys.stderr)
    return DataError.exit_code if bad else 0


if __name__ == "__main__":
    cli.run(main)
