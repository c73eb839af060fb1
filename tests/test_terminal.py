"""What commands print acts on no terminal, whatever names the data hold."""

from __future__ import annotations

import subprocess
import sys

CODE = r"""
import sys
from absl import logging
from detection import cli
from detection.errors import DataError

def main(argv):
    print("a \x1b[2J b \u202e \ud800 \udcff é", end="|\n")
    sys.stdout.writelines(["\x07\n", "10%\r"])
    logging.warning("w %s", "\x1b]0;t\x07\nforged: line")
    raise DataError("e \x9b31m\n\ud800")

cli.run(main)
"""


def test_everything_that_a_command_prints_is_printable():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, check=False)
    assert done.returncode == 3
    assert done.stdout.decode() == "a \\x1b[2J b \\u202e \\ud800 \\udcff é|\n\\x07\n10%\r"
    assert done.stderr.decode().splitlines() == ["warning: w \\x1b]0;t\\x07 forged: line", "error: e \\x9b31m \\ud800"]
