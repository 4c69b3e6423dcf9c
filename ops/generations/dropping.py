"""Dropping: a generation's workers end, then its topics, its state, its checkpoints and its rows go."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path

from ops import topics
from ops.access import access
from ops.generations.site import Site
from ops.processes import AGENTS
from ops.settings import Settings
from schemas.conventions import load
from schemas.errors import Unavailable
from streams.topics import Topics

_END_SECS = 60.0
_POLL_SECS = 0.5


def drop(at: Site, number: int) -> list[Path]:
    """Drop a generation, begun again where it was cut short; return the directories here that could not be deleted.

    Raises Refused for the current one, Unavailable when workers still work for it after a minute.
    """
    at.generations.dropping(number)  # supervisors end its workers when they see it
    _until_nobody_works(at, number)
    own = Topics.of(number, load(at.settings.convention))
    asyncio.run(topics.delete(access(at.settings), [own.name("log"), own.name("partials")]))
    left = clear(at.settings, number)
    at.generations.forget(number)
    return left


def clear(settings: Settings, number: int) -> list[Path]:
    """Delete this host's state of a generation and all its checkpoints; return the directories that are still there."""
    own = [root / f"g{number}" for root in (settings.state, settings.checkpoints_directory)]
    for directory in own:
        shutil.rmtree(directory, ignore_errors=True)
    return [directory for directory in own if directory.exists()]


def _until_nobody_works(at: Site, number: int) -> None:
    """Wait until its consumer groups are empty: a worker that had only been told to end could write once more."""
    groups = [f"migex.{agent}.g{number}" for agent in AGENTS]
    end = time.monotonic() + _END_SECS
    while asyncio.run(topics.members(access(at.settings), groups)):
        if time.monotonic() > end:
            raise Unavailable(
                "generation-at-work", f"Workers of generation {number} still run: end them, then drop it again."
            )
        time.sleep(_POLL_SECS)
