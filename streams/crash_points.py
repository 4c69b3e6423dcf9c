"""Crash points: named moments before and after each durable side effect, at which a rehearsal may kill a process.

Whoever has such side effects takes `reach: Reach = never` and calls it at each of its points; production passes
`never`.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum


class CrashPoint(StrEnum):
    """A moment beside a durable side effect. A test drives a trace through a crash at each of them."""

    STATE_BEFORE_WRITE = "state-before-write"
    STATE_AFTER_WRITE = "state-after-write"
    SEND_BEFORE = "send-before"  # of each output of a step, so that "2" lies between the first and the second
    SEND_AFTER = "send-after"
    ACKNOWLEDGE_AFTER = "acknowledge-after"  # Kafka has it, the outbox still holds it
    TAKEOVER_BEFORE_OPEN = "takeover-before-open"
    TAKEOVER_AFTER_OPEN = "takeover-after-open"  # before the outbox is sent again
    TAKEOVER_AFTER_RESEND = "takeover-after-resend"
    CHECKPOINT_BEFORE_COPY = "checkpoint-before-copy"
    CHECKPOINT_BEFORE_PUBLISH = "checkpoint-before-publish"  # all files lie in the temporary directory
    CHECKPOINT_AFTER_PUBLISH = "checkpoint-after-publish"  # before the oldest is dropped
    RESTORE_BEFORE_COPY = "restore-before-copy"
    RESTORE_BEFORE_SWAP = "restore-before-swap"  # the copy is verified
    RESTORE_BETWEEN_SWAPS = "restore-between-swaps"  # the old state is moved away, the new one not yet in its place
    RESTORE_AFTER_SWAP = "restore-after-swap"


Reach = Callable[[CrashPoint], None]
"""Called whenever a crash point is reached."""


def never(point: CrashPoint) -> None:
    """Go on: nothing is rehearsed."""
