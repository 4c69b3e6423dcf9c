"""One partition's state on disk: a fold's changes, its outputs and its source position in one write (law L2).

Outputs go into an outbox in the same write and are sent after it, in order; what was not acknowledged is sent again
after a restart. The start position is read from here, never from a consumer group.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from rocksdict import WriteBatch

from schemas.errors import Broken
from streams.checkpoints import Checkpoints, clear, set_aside
from streams.crash_points import CrashPoint, Reach, never
from streams.fold import Effect, Fold, Message, Send
from streams.memory import Overlay, Warm
from streams.rocks import DAMAGED, Hold, Identity, Rocks, batch_of

_POSITION = b"@o"
_NEXT_OUTPUT = b"@x"
_OUTBOX = b"x"
_TAKEN = ".taken-"

_encode_output = msgspec.msgpack.Encoder().encode
_decode_output = msgspec.msgpack.Decoder(tuple[str, int, bytes]).decode


class Output(NamedTuple):
    """An output of the outbox: its number, ascending, and where it goes."""

    number: int
    topic: str
    partition: int
    value: bytes


def following(messages: Sequence[Message], position: int, partition: int) -> list[Message]:
    """Return the messages from the position on, without repeats of earlier ones.

    Raises Broken when one is missing at the position or between them: the log has a hole or was cut.
    """
    fresh = [message for message in messages if message.offset >= position]
    for expected, message in enumerate(fresh, start=position):
        if message.offset != expected:
            raise Broken("offset-gap", f"Partition {partition}: read offset {message.offset}, not {expected}.")
    return fresh


class Partition:
    """A fold at work on one partition of its source."""

    def __init__(
        self, directory: Path, identity: Identity, fold: Fold, shelf: Checkpoints | None = None, reach: Reach = never
    ) -> None:
        """Open the state, or the newest checkpoint on the shelf if that is further on, which may take long.

        Raises Misconfigured when it is another one's, Unavailable while it is locked or the checkpoints are away,
        Broken("log-shorter") when it was found to be further on than its source.
        """
        self.identity = identity
        self._directory = directory
        self._fold = fold
        self._shelf = shelf
        self._reach = reach
        self._published = 0
        self.saved_at: float | None = None
        """When the newest checkpoint was made, or the state opened if there is none; None: no checkpoints are kept."""
        self.restored = False
        """Whether it began with a checkpoint."""
        self.damaged = False
        """Whether the state that was there is damaged: it was set aside, and is made anew."""
        self._hold = Hold(directory)
        try:
            self._rocks = self._open()
        except BaseException:
            self._hold.let_go()
            raise
        self._warm = Warm(self._rocks, fold.hot)
        self.position = position_of(self._rocks)
        """The next offset to read."""
        self._unacknowledged = [key for key, _ in self._rocks.scan(_OUTBOX)]
        self._acknowledged = 0
        stored = self._rocks.get(_NEXT_OUTPUT)
        self._next_output = int.from_bytes(stored, "big") if stored else 1

    @property
    def view(self) -> Rocks:
        """The state, for questions."""
        return self._rocks

    @property
    def outbox(self) -> int:
        """How many outputs are not acknowledged."""
        return len(self._unacknowledged) - self._acknowledged

    def step(self, messages: Sequence[Message]) -> tuple[list[Output], Sequence[Effect]]:
        """Fold the messages, write everything at once, return what to send and all effects; repeats are skipped.

        Raises Broken when a message lies beyond the next position: the log has a hole or was cut.
        """
        fresh = following(messages, self.position, self.identity.partition)
        if not fresh:
            return [], []
        overlay = Overlay(self._warm)
        effects = self._fold.fold(overlay, fresh)
        batch = batch_of(overlay.writes)
        outputs = self._post(batch, [effect for effect in effects if isinstance(effect, Send)])
        self._forget(batch)
        position = fresh[-1].offset + 1
        batch.put(_POSITION, position.to_bytes(8, "big"))
        self._reach(CrashPoint.STATE_BEFORE_WRITE)
        self._rocks.write(batch)
        self._reach(CrashPoint.STATE_AFTER_WRITE)
        self._warm.written(overlay.writes)
        self.position = position
        return outputs, effects

    def unsent(self) -> list[Output]:
        """Return the outputs that were not acknowledged, oldest first: to be sent again after a start."""
        return [
            Output(int.from_bytes(key[1:], "big"), *_decode_output(value)) for key, value in self._rocks.scan(_OUTBOX)
        ]

    def acknowledge(self) -> None:
        """Note that the oldest output not yet acknowledged has been; it leaves the outbox with the next write."""
        self._acknowledged += 1

    def tend(self) -> None:
        """Nothing is to be done while nothing arrives."""

    def checkpoint(self) -> Callable[[], None] | None:
        """Take a checkpoint now; return what publishes it, to be called away from the event loop and as slow as a copy.

        None: nothing was folded since the last one, or none are kept. What is returned raises OSError when the
        checkpoint cannot be written; it may be called after the state was closed.
        """
        shelf, position = self._shelf, self.position
        if shelf is None or position == self._published:
            return None
        made = Path(tempfile.mkdtemp(prefix=f"{self._directory.name}{_TAKEN}", dir=self._directory.parent))
        self._rocks.checkpoint(made / "taken")

        def publish() -> None:
            try:
                self.saved_at = shelf.publish(made / "taken", position) or shelf.newest()[1]
                self._published = position
            finally:
                shutil.rmtree(made, ignore_errors=True)

        return publish

    def mark(self, end: int) -> None:
        """Mark the partition, whose source ends before the position: nobody may go on with it."""
        if self._shelf is not None:
            where = f"Partition {self.identity.partition} of {self.identity.topic}"
            self._shelf.mark(f"{where} ended at {end}, yet {self.position} messages of it had been applied.")

    def close(self) -> None:
        """Close the state, so that another owner can open it."""
        self._rocks.close()
        self._hold.let_go()

    def size(self) -> int:
        """Return the bytes on disk, as RocksDB estimates them, memtables included."""
        return self._rocks.size()

    def _open(self) -> Rocks:
        """Open the state, after the newest checkpoint took its place if that is further on."""
        for left in self._directory.parent.glob(f"{self._directory.name}{_TAKEN}*"):
            shutil.rmtree(left, ignore_errors=True)
        clear(self._directory)
        rocks = self._opened()
        shelf = self._shelf
        if shelf is None:
            return rocks
        try:
            shelf.check_mark()
            position = position_of(rocks)
            further = shelf.newest()[0] > position
        except BaseException:
            rocks.close()
            raise
        if further:
            rocks.close()
            rocks = self._restored(shelf, position)
        self._published, made_at = shelf.newest()
        self.saved_at = made_at or time.time()
        return rocks

    def _opened(self) -> Rocks:
        """Open the state; a damaged one is set aside, and an empty one takes its place."""
        try:
            return Rocks(self._directory, self.identity)
        except Broken as error:
            if error.code != DAMAGED:
                raise
        set_aside(self._directory)
        self.damaged = True
        return Rocks(self._directory, self.identity)

    def _restored(self, shelf: Checkpoints, beyond: int) -> Rocks:
        """Open what the newest sound checkpoint holds; after damage it is read through, for it may hold that, too."""
        while (position := shelf.restore(self._directory, beyond)) is not None:
            try:
                rocks = Rocks(self._directory, self.identity)
                if self.damaged:
                    rocks.read_through()
            except Broken as error:
                if error.code != DAMAGED:
                    raise
            else:
                self.restored = True
                return rocks
            shelf.distrust(position)
            set_aside(self._directory)
            self.damaged = True
        return Rocks(self._directory, self.identity)

    def _post(self, batch: WriteBatch, sends: Sequence[Send]) -> list[Output]:
        outputs = []
        for send in sends:
            output = Output(self._next_output, send.topic, send.partition, send.value)
            key = _OUTBOX + output.number.to_bytes(8, "big")
            batch.put(key, _encode_output(output[1:]))
            self._unacknowledged.append(key)
            outputs.append(output)
            self._next_output += 1
        if outputs:
            batch.put(_NEXT_OUTPUT, self._next_output.to_bytes(8, "big"))
        return outputs

    def _forget(self, batch: WriteBatch) -> None:
        done, self._acknowledged = self._acknowledged, 0
        for key in self._unacknowledged[:done]:
            batch.delete(key)
        del self._unacknowledged[:done]


def position_of(rocks: Rocks) -> int:
    """Return the next offset to read, as the state has it."""
    stored = rocks.get(_POSITION)
    return int.from_bytes(stored, "big") if stored else 0
