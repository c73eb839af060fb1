"""`python -m detection` runs the program `detection` if it is not on PATH."""

from __future__ import annotations

from detection.commands import entry

if __name__ == "__main__":
    entry.main()
