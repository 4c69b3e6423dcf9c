"""Crash points: named moments before and after each durable side effect, at which a rehearsal may kill a process.

Whoever has such side effects takes `reach: Reach = never` and calls it at each of its points; production passes
`never`.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum


class CrashPoint(StrEnum):
    """A moment beside a durable side effect. A test drives a trace through a crash at each of them."""

    FRAME_BEFORE_SEND = "frame-before-send"  # of each frame of a door's put, so that "2" lies between two of them
    FRAME_AFTER_SEND = "frame-after-send"  # Kafka has it, the sender has not been told
    VERDICTS_BEFORE_SEND = "verdicts-before-send"  # of each agency: the inbox has its entries
    VERDICTS_AFTER_SEND = "verdicts-after-send"  # of each agency: the offsets are not committed
    OFFSETS_AFTER_COMMIT = "offsets-after-commit"  # of the agencies' topics
    FILE_BEFORE_CLAIM = "file-before-claim"  # the file lies in the agency's folder, room is made for it
    FILE_AFTER_CLAIM = "file-after-claim"  # it is a door's, nothing of it is read
    FILE_BEFORE_VERDICTS = "file-before-verdicts"  # of each batch of rows: the inbox has them
    FILE_AFTER_VERDICTS = "file-after-verdicts"  # their verdicts are the progress, too
    FILE_BEFORE_FINISH = "file-before-finish"  # all is written that the agency gets, and not yet given back
    FILE_AFTER_FINISH = "file-after-finish"  # it is given back, the lock is not removed
    EXPIRY_BEFORE_RENAME = "expiry-before-rename"  # of each folder that was given back and is to be deleted
    EXPIRY_AFTER_RENAME = "expiry-after-rename"  # it is out of the agency's sight, nothing of it is deleted
    TICK_BEFORE_SEND = "tick-before-send"  # of each partition, so that "2" lies between two of them
    TICK_AFTER_SEND = "tick-after-send"  # Kafka has it in all partitions
    STATE_BEFORE_WRITE = "state-before-write"  # the step is folded, nothing of it is written
    STATE_AFTER_WRITE = "state-after-write"  # nothing of it is sent
    SEND_BEFORE = "send-before"  # of each output of a step, so that "2" lies between the first and the second
    SEND_AFTER = "send-after"  # Kafka may have it, or not yet
    ACKNOWLEDGE_AFTER = "acknowledge-after"  # Kafka has it, the outbox still holds it
    TAKEOVER_BEFORE_OPEN = "takeover-before-open"  # the partition is assigned
    TAKEOVER_AFTER_OPEN = "takeover-after-open"  # before the outbox is sent again
    TAKEOVER_AFTER_RESEND = "takeover-after-resend"  # nothing is read yet
    CHECKPOINT_BEFORE_COPY = "checkpoint-before-copy"  # RocksDB's own checkpoint is taken
    CHECKPOINT_BEFORE_PUBLISH = "checkpoint-before-publish"  # all files lie in the temporary directory
    CHECKPOINT_AFTER_PUBLISH = "checkpoint-after-publish"  # before the oldest is dropped
    RESTORE_BEFORE_COPY = "restore-before-copy"  # a newer checkpoint is found
    RESTORE_BEFORE_SWAP = "restore-before-swap"  # the copy is verified
    RESTORE_BETWEEN_SWAPS = "restore-between-swaps"  # the old state is moved away, the new one not yet in its place
    RESTORE_AFTER_SWAP = "restore-after-swap"  # the old state is not removed yet
    LEASE_AFTER_TAKE = "lease-after-take"  # the feed store's, before the position is read
    FEED_BEFORE_CELLS = "feed-before-cells"  # the transaction is open and the fold has folded
    FEED_AFTER_CELLS = "feed-after-cells"  # of each cut: its cells are written, the position is not
    FEED_AFTER_POSITION = "feed-after-position"  # the fold's state is not written
    FEED_BEFORE_COMMIT = "feed-before-commit"  # all of it is written and nothing committed
    FEED_AFTER_COMMIT = "feed-after-commit"  # the worker does not know yet
    ARCHIVE_BEFORE_FILE = "archive-before-file"  # of each file: it is made, and not written
    ARCHIVE_AFTER_FILE = "archive-after-file"  # it is in its place, the manifest does not name it
    ARCHIVE_AFTER_MANIFEST = "archive-after-manifest"  # it names the file
    TRIM_BEFORE_DELETE = "trim-before-delete"  # of each partition: all of it is archived and verified
    TRIM_AFTER_DELETE = "trim-after-delete"  # Kafka has deleted it
    OUTBOX_AFTER_CLAIM = "outbox-after-claim"  # rows of an agency's outbox are put into a request, nothing is sent
    OUTBOX_AFTER_ANSWER = "outbox-after-answer"  # the gateway has answered, no verdict is written
    OUTBOX_AFTER_VERDICTS = "outbox-after-verdicts"  # they are written


Reach = Callable[[CrashPoint], None]
"""Called whenever a crash point is reached."""


def never(point: CrashPoint) -> None:
    """Go on: nothing is rehearsed."""
