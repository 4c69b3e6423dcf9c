"""One partition's state on disk: a fold's changes, its outputs and its source position in one write (law L2).

Outputs go into an outbox in the same write and are sent after it, in order; what was not acknowledged is sent again
after a restart. The start position is read from here, never from a consumer group.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import msgspec
from rocksdict import BlockBasedOptions, Cache, DataBlockIndexType, DBCompressionType, Options, Rdict, WriteBatch

from schemas.errors import Broken, Misconfigured, Unavailable
from streams.fold import Effect, Fold, Message, Send
from streams.memory import Overlay

_POSITION = b"@o"
_NEXT_OUTPUT = b"@x"
_IDENTITY = b"@i"
_OUTBOX = b"x"

_encode_output = msgspec.msgpack.Encoder().encode
_decode_output = msgspec.msgpack.Decoder(tuple[str, int, bytes]).decode


class Identity(NamedTuple):
    """Whose state this is; a directory of another cluster, topic or generation is refused."""

    cluster: str
    topic: str
    partition: int
    generation: int
    agent: str


class Output(NamedTuple):
    """An output of the outbox: its number, ascending, and where it goes."""

    number: int
    topic: str
    partition: int
    value: bytes


class Rocks:
    """A RocksDB directory as a view for reading; writes come only as whole batches."""

    def __init__(self, directory: Path) -> None:
        """Open or create the directory; raises Unavailable while another one has it open."""
        directory.mkdir(parents=True, exist_ok=True)
        try:
            self.db = Rdict(str(directory), _options())
        except Exception as error:  # rocksdict raises plain Exception for everything
            if "lock" not in str(error).lower():
                raise
            raise Unavailable(
                "state-locked", f"The state {directory.name} is open elsewhere; it is tried again."
            ) from error

    def get(self, key: bytes) -> bytes | None:
        """See `streams.fold.View`."""
        value: bytes | None = self.db.get(key)
        return value

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See `streams.fold.View`."""
        return cast("list[bytes | None]", self.db.get(list(keys))) if keys else []

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """See `streams.fold.View`."""
        cursor = self.db.iter()
        cursor.seek(prefix)
        while cursor.valid():
            key = cursor.key()
            if not key.startswith(prefix):
                return
            yield key, cursor.value()
            cursor.next()
        cursor.status()  # raises when it stopped at what cannot be read, not at the end

    def put(self, key: bytes, value: bytes) -> None:
        """Refused: a state is only written in batches."""
        raise Broken("unbatched-write", "A state is written by whole batches only.")

    def delete(self, key: bytes) -> None:
        """Refused: a state is only written in batches."""
        raise Broken("unbatched-write", "A state is written by whole batches only.")


def _options() -> Options:
    # Filters on the heap and a bloom filter: with filters in the block cache a miss took 13 to 190 µs instead of 1.
    # No compression: most of the keys and half of the values are digests. A bloom filter over the memtable, a hash
    # index in the blocks and mapped files halved what a read costs (misses 2.1 to 0.7 µs, hits 5 to 3 µs).
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_compression_type(DBCompressionType.none())
    options.set_write_buffer_size(16 << 20)
    options.set_max_write_buffer_number(3)
    options.set_max_background_jobs(2)
    options.set_keep_log_file_num(2)
    options.set_max_open_files(256)
    options.set_memtable_prefix_bloom_ratio(0.05)
    options.set_memtable_whole_key_filtering(True)
    options.set_allow_mmap_reads(True)
    blocks = BlockBasedOptions()
    blocks.set_data_block_index_type(DataBlockIndexType.binary_and_hash())
    blocks.set_bloom_filter(10, False)
    blocks.set_block_cache(Cache(16 << 20))
    options.set_block_based_table_factory(blocks)
    return options


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

    def __init__(self, directory: Path, identity: Identity, fold: Fold) -> None:
        """Open the state; raises Misconfigured when it is another one's, Unavailable while it is locked."""
        self._rocks = Rocks(directory)
        self._fold = fold
        self.identity = identity
        self._check(directory)
        stored = self._rocks.get(_POSITION)
        self.position = int.from_bytes(stored, "big") if stored else 0
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
        overlay = Overlay(self._rocks)
        effects = self._fold.fold(overlay, fresh)
        batch = WriteBatch(raw_mode=True)
        for key, value in overlay.writes.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        outputs = self._post(batch, [effect for effect in effects if isinstance(effect, Send)])
        self._forget(batch)
        position = fresh[-1].offset + 1
        batch.put(_POSITION, position.to_bytes(8, "big"))
        self._rocks.db.write(batch)
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

    def close(self) -> None:
        """Close the state, so that another owner can open it."""
        self._rocks.db.close()

    def size(self) -> int:
        """Return the bytes on disk, as RocksDB estimates them, memtables included."""
        names = ("rocksdb.total-sst-files-size", "rocksdb.cur-size-all-mem-tables")
        return sum(int(self._rocks.db.property_int_value(name) or 0) for name in names)

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

    def _check(self, directory: Path) -> None:
        mine = msgspec.json.encode(self.identity._asdict())
        stored = self._rocks.get(_IDENTITY)
        if stored is None:
            batch = WriteBatch(raw_mode=True)
            batch.put(_IDENTITY, mine)
            self._rocks.db.write(batch)
        elif stored != mine:
            self.close()
            raise Misconfigured(
                "foreign-state",
                f"The state {directory} belongs to {stored.decode()}, not to {mine.decode()}. Use the home it was made "
                "with, or move it away: it is rebuilt from the inbox.",
            )
