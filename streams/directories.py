"""Directories whose names outlive a power cut: a rename is on the disk only when its directory is."""

from __future__ import annotations

import os
from pathlib import Path


def keep_names(directory: Path) -> None:
    """Bring a directory's names to the disk; raises OSError when it cannot."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
