"""Measure files of region proposals, and make new ones of them (Girshick 2015, section 5.5).

  measure   recall and average recall of each file; needs --input_path, the records with the objects
  merge     the boxes of all files together, ranked file by file; --best takes the best of each
  nearest   each box of the first file replaced by the box of the second that overlaps it most

Files are .npz of `detection propose`, .json or .mat. With --input_path what merge and nearest made is measured too.

Examples:
  detection proposals measure --input_path='data/test.record-*' search.npz grid.npz
  detection proposals merge --best=2000,8000 --output=both.npz search.npz grid.npz
  detection proposals nearest --output=moved.npz search.npz grid.npz
"""

from __future__ import annotations

import sys

from absl.flags import FlagValues

from detection import cli
from detection.commands.flags import Flags, Given
from detection.errors import ConfigError, PathError

ARGUMENTS = "measure|merge|nearest FILE..."


def define(flags: Flags) -> None:
    """Adds the flags."""
    flags.add_list("input_path", [], "Record files or patterns of them: the objects that proposals should cover.")
    flags.add_list("best", [], "For merge: how many of an image each file gives at most; 0: all.")
    flags.add_string("output", "", "For merge and nearest: the .npz to write.")
    flags.add_bool("overwrite", False, "Replace the output if it is there.")


def run(given: Given) -> int:
    """Runs the command; returns the exit code."""
    flags = given.flags
    action, *paths = given.arguments or [""]
    _check(action, paths, flags)
    best = [_count(text) for text in flags.best]
    cli.import_tensorflow()
    from detection import files as file_tools
    from detection.proposals import combining, proposal_files, recall, searched_images

    files = proposal_files.read_all(paths, "the command line")
    if action != "measure" and (len(files) < 2 or (action == "nearest" and len(files) != 2)):
        raise ConfigError(f"{action} takes {'two files' if action == 'nearest' else 'two files or more'}; give them")
    if len(best) > len(files):
        raise ConfigError(f"--best has {len(best)} numbers for {len(files)} files; give one a file")
    source = searched_images.Records(tuple(flags.input_path)) if flags.input_path else None
    if action == "measure":
        made = files
    else:
        made = (combining.merged(files, best) if action == "merge" else combining.nearest(*files),)
        how = {"method": action, "files": [file.path for file in files], "best": best}
        try:
            combining.write(flags.output, made[0], how)
        except OSError as error:
            raise PathError(
                f"{flags.output}: cannot be written: {file_tools.reason(error)}; check the folder and its free space"
            ) from error
        made = (proposal_files.read(flags.output),)
    for file in made:
        objects = combining.objects_of(source, file) if source else {}
        sys.stdout.write(f"{file.path}:\n")
        sys.stdout.writelines(f"{line}\n" for line in recall.report(file, objects).lines())
    return 0


def _check(action: str, paths: list[str], flags: FlagValues) -> None:
    """Raises ConfigError for what cannot be meant, before TensorFlow is imported."""
    from pathlib import Path

    if action not in ("measure", "merge", "nearest") or not paths:
        raise ConfigError("say what to do with which files: measure, merge or nearest, then the files")
    if action == "measure" and not flags.input_path:
        raise ConfigError("measure needs --input_path: the records whose objects the proposals should cover")
    if (action == "measure") == bool(flags.output):
        raise ConfigError(f"--output is what merge and nearest write; {'remove it' if flags.output else 'give it'}")
    if flags.best and action != "merge":
        raise ConfigError(f"--best belongs to merge, not to {action}; remove it")
    if flags.output and Path(flags.output).suffix != ".npz":
        raise ConfigError(f"--output={flags.output}: proposals are written as .npz; name it so")
    if flags.output and Path(flags.output).exists() and not flags.overwrite:
        raise ConfigError(f"--output={flags.output}: is there already; pass --overwrite, or name another")


def _count(text: str) -> int:
    if not text.isdecimal():
        raise ConfigError(f"--best: {text!r} is no whole number from 0 on; write for example --best=2000,1000")
    return int(text)
