"""Dropping: a generation's workers end, then its topics, its state and its rows go."""

from __future__ import annotations

import asyncio
import shutil
import time

from ops import topics
from ops.access import access
from ops.generations.site import Site
from ops.processes import AGENTS
from schemas.conventions import load
from schemas.errors import Unavailable
from streams.topics import Topics

_END_SECS = 60.0
_POLL_SECS = 0.5


def drop(at: Site, number: int) -> None:
    """Drop a generation; begun again where it was cut short.

    Raises Refused for the current one, Unavailable when workers still work for it after a minute.
    """
    at.generations.dropping(number)  # supervisors end its workers when they see it
    _until_nobody_works(at, number)
    own = Topics.of(number, load(at.settings.convention))
    asyncio.run(topics.delete(access(at.settings), [own.name("log"), own.name("partials")]))
    for root in (at.settings.state, at.settings.checkpoints_directory):
        shutil.rmtree(root / f"g{number}", ignore_errors=True)
    at.generations.forget(number)


def _until_nobody_works(at: Site, number: int) -> None:
    """Wait until its consumer groups are empty: a worker that had only been told to end could write once more."""
    groups = [f"migex.g{number}.{agent}" for agent in AGENTS]
    end = time.monotonic() + _END_SECS
    while asyncio.run(topics.members(access(at.settings), groups)):
        if time.monotonic() > end:
            raise Unavailable(
                "generation-at-work", f"Workers of generation {number} still run: end them, then drop it again."
            )
        time.sleep(_POLL_SECS)
