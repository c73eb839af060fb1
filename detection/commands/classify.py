"""Classify images with a published ImageNet checkpoint, to check that it is read correctly.

Shows the most likely classes, and top-1 and top-5 accuracy. Network, depth multiplier and number of classes are derived
from the checkpoint, which must have all variables of its network. Each image is cropped to its central square (87.5 %
of the shorter side) and resized to the network's size (bilinear). Class numbers start at 0 and exclude the background
class. Files that are not images are reported and skipped; the exit code is then 3.

Examples:
  detection classify --checkpoint=mobilenet_v1_1.0_224.ckpt --images=cat.jpg,photos/
  detection classify --checkpoint=vgg_16.ckpt --network=vgg_16 --images='val/*.JPEG' --labels=labels.txt
      --truth=val.csv
"""

from __future__ import annotations

import functools
import sys

from detection import cli
from detection.commands.flags import Flags, Given
from detection.errors import DataError
from detection.types import MAX_PIXELS

ARGUMENTS = ""


def define(flags: Flags) -> None:
    """Adds the command's flags."""
    flags.add_string("checkpoint", None, "A checkpoint's prefix, one of its files, or a folder.", required=True)
    flags.add_list("images", None, "Image files, folders or patterns.", required=True)
    flags.add_string(
        "network", "", "Expected network of the checkpoint, e.g. resnet_v1_101; by default derived from its scopes."
    )
    flags.add_float(
        "depth_multiplier",
        None,
        "Depth multiplier of the network; by default derived from its shapes.",
        lower_bound=0.0,
    )
    flags.add_bool(
        "moving_averages", False, "Use the moving averages of the weights, which some training checkpoints contain."
    )
    flags.add_bool(
        "allow_unused_checkpoint_variables",
        False,
        "Also accept a checkpoint with weights that the network does not use.",
    )
    flags.add_string(
        "labels",
        "",
        "Text file with one class per line; if it has one line more than classes, the first is the background.",
    )
    flags.add_string(
        "truth", "", "True classes, as lines `file,class` with the number or label of the class, to measure accuracy."
    )
    flags.add_integer("top", 5, "Number of classes shown per image; 0: only the accuracy.", lower_bound=0)
    flags.add_float(
        "crop",
        0.875,
        "Side of the central square as a fraction of the shorter side.",
        lower_bound=0.01,
        upper_bound=1.0,
    )
    flags.add_integer("image_size", 0, "Side of the network's input; 0: as in training.", lower_bound=0)
    flags.add_integer("batch_size", 8, "Images per batch.", lower_bound=1)
    flags.add_integer(
        "max_image_pixels",
        MAX_PIXELS,
        "Maximum size of an image in pixels; larger images are not decoded.",
        lower_bound=1,
    )


def run(given: Given) -> int:
    """Runs the command; returns the exit code."""
    flags = given.flags
    given.refuse_arguments(f"images are a flag, --images={','.join(given.arguments)}")
    cli.import_tensorflow()
    from detection.checkpoints import pretrained
    from detection.evaluate import classify
    from detection.export import image_files

    paths = image_files.find(flags.images)
    allow = flags.allow_unused_checkpoint_variables
    loaded = pretrained.load(
        flags.checkpoint, flags.network, flags.depth_multiplier, flags.moving_averages, allow_unused=allow
    )
    print(loaded.summary())
    classes = classify.classes_of(loaded.spec, loaded.num_logits, flags.labels)
    truth = classify.read_truth(flags.truth, classes) if flags.truth else None
    bad: list[DataError] = []
    results = []
    options = classify.ClassificationOptions(flags.top, flags.crop, flags.image_size, flags.batch_size)
    read = functools.partial(image_files.read, max_pixels=flags.max_image_pixels)
    for result in classify.classify(loaded.classifier, loaded.spec, paths, read, options, bad.append):
        results.append(result)
        if options.top:
            print("\n".join(classify.lines(result, classes, options.top)))
    if truth is not None:
        print(classify.accuracy(results, truth, classes).summary())
    for error in bad:
        print(f"error: {error}", file=sys.stderr)
    return DataError.exit_code if bad else 0
