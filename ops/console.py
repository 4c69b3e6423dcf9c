"""The console: what commands print to."""

from __future__ import annotations

import sys

from rich.console import Console


def console() -> Console:
    """Return the terminal, or a width that fits all tables where there is none."""
    return Console(width=None if sys.stdout.isatty() else 160)  # a file has no width, and 80 would cut columns
