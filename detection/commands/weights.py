"""Turn Caffe's weights into a checkpoint that a config can start from: CaffeNet, VGG_CNN_M_1024 and VGG16.

These are the networks of Girshick 2015, models S, M and L; Caffe is not needed. Layers of a detector, such as cls_score
of the published Fast R-CNN models, are left out and named.

Example:
  detection weights --caffemodel=CaffeNet.v2.caffemodel --output=data/weights/caffenet.ckpt
  then, in the config: fine_tune_checkpoint: "data/weights/caffenet.ckpt"
"""

from __future__ import annotations

from detection import cli
from detection.commands.flags import Flags, Given
from detection.errors import ConfigError, PathError

ARGUMENTS = ""


def define(flags: Flags) -> None:
    """Adds the command's flags."""
    flags.add_string("caffemodel", None, "The file of weights.", required=True)
    flags.add_string("output", None, "The checkpoint's prefix, e.g. data/weights/vgg_16.ckpt.", required=True)
    flags.add_enum(
        "network",
        "",
        ["", "caffenet", "vgg_cnn_m_1024", "vgg_16"],
        "What it is of; by default derived from its layers.",
    )
    flags.add_bool("overwrite", False, "Replace a checkpoint that exists.")


def run(given: Given) -> int:
    """Reads the file, writes the checkpoint and says what is in it."""
    from pathlib import Path

    flags = given.flags
    given.refuse_arguments(f"the file is a flag, --caffemodel={' '.join(given.arguments[:1])}")
    output = Path(flags.output)
    if output.with_name(f"{output.name}.index").exists() and not flags.overwrite:
        raise ConfigError(f"--output={output}: exists already; pass --overwrite, or another --output")
    cli.import_tensorflow()
    from detection import files
    from detection.checkpoints import caffe, checkpoint_files

    weights = caffe.read(flags.caffemodel, flags.network)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        checkpoint_files.write(output, weights.variables)
    except OSError as error:
        raise PathError(
            f"{output}: cannot be written: {files.reason(error)}; check the folder and its space"
        ) from error
    numbers = sum(value.size for value in weights.variables.values())
    print(f"{output}: {weights.network}, {len(weights.variables)} variables of {numbers:,} numbers")
    for what, names in (("not part of the network, left out", weights.left_out), ("not in the file", weights.missing)):
        if names:
            print(f"  {what}: {', '.join(names)}")
    return 0
