"""The demonstration: a really published table, sent as single crossings with faults, and counted again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ops.settings import Settings


def main(ports: str | None, scale: float, keep: bool, settings: Settings, seed: int = 1) -> int:
    """Run the demonstration; see `ops.demo.run.main`. The schedule alone needs nothing of what a run needs."""
    from ops.demo import run  # noqa: PLC0415

    return run.main(ports, scale, keep, settings, seed)
