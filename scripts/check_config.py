#!/usr/bin/env python3
"""`detection check` under the name check_config.py: the same flags, output and exit codes."""

from __future__ import annotations

from detection.commands import entry

if __name__ == "__main__":
    entry.script("check")
