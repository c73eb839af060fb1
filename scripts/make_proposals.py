#!/usr/bin/env python3
"""`detection propose` under the name make_proposals.py: the same flags, output and exit codes."""

from __future__ import annotations

from detection.commands import entry

if __name__ == "__main__":
    entry.script("propose")
