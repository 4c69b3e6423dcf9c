"""Waiting for what other threads and processes do."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(true: Callable[[], object], secs: float = 60.0, look_secs: float = 0.05) -> None:
    """Return when it is true; fails when that takes too long."""
    end = time.monotonic() + secs
    while not true():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(look_secs)
