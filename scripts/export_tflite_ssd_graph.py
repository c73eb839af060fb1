#!/usr/bin/env python3
"""`detection export` with the flags of the TF Object Detection API's program of this name."""

from __future__ import annotations

from detection.commands import entry

if __name__ == "__main__":
    entry.script("export_tflite_ssd_graph")
