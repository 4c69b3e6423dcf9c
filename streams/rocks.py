"""A RocksDB directory: whose it is, who has it open, how it is read; it is only written in whole batches."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import msgspec
from rocksdict import (
    BlockBasedOptions,
    Cache,
    Checkpoint,
    DataBlockIndexType,
    DBCompressionType,
    Options,
    Rdict,
    WriteBatch,
)

from schemas.errors import Broken, Misconfigured, Unavailable

_IDENTITY = b"@i"
_MARK = "DAMAGED"
"""A file in a directory in which damage was found while it was read: whoever opens it next need not find it again."""

DAMAGED = "state-damaged"
"""The error's code of a state that RocksDB finds corrupt."""

CACHE_BYTES = 16 << 20
"""Blocks of one partition's state that are kept in memory."""


class Identity(NamedTuple):
    """Whose state this is; a directory of another cluster, topic or generation is refused."""

    cluster: str
    topic: str
    partition: int
    generation: int
    agent: str

    def check(self, found: Identity | None, directory: Path) -> None:
        """Raise Misconfigured when what was found in the directory is another one's."""
        if found != self:
            theirs, mine = (msgspec.json.encode(i._asdict() if i else None).decode() for i in (found, self))
            raise Misconfigured(
                "foreign-state",
                f"The state {directory} belongs to {theirs}, not to {mine}. Use the home and the directory of "
                "checkpoints that it was made with, or move it away: it is rebuilt from the inbox.",
            )


class Hold:
    """A directory held by one process: whoever comes meanwhile is refused, also while the directory is exchanged.

    The kernel lets go when the process dies, not when it is stopped (SIGSTOP).
    """

    def __init__(self, directory: Path) -> None:
        """Hold it; raises Unavailable while another one does. The lock is a file beside the directory."""
        directory.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(directory.with_name(directory.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.let_go()
            raise locked(directory) from None

    def let_go(self) -> None:
        """Let the next one have it."""
        os.close(self._file)


def locked(directory: Path) -> Unavailable:
    """Return the error for a state that another process has open."""
    return Unavailable("state-locked", f"The state {directory.name} is open elsewhere; it is tried again.")


class Rocks:
    """A RocksDB directory as a view for reading; writes come only as whole batches."""

    remote = True

    def __init__(self, directory: Path, identity: Identity) -> None:
        """Open or create the directory.

        Raises Unavailable while another one has it open, Misconfigured when it is another one's,
        Broken("state-damaged") when it is corrupt or was found to be when it was last read.
        """
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        if (directory / _MARK).exists():
            raise _damaged(directory)
        try:
            self.db = Rdict(str(directory), _options())
        except Exception as error:  # rocksdict raises plain Exception for everything
            if f"{directory}/LOCK: " in str(error):
                raise locked(directory) from error
            if _corrupt(error):
                raise _damaged(directory) from error
            raise _disk(error) from error
        self._check(identity, directory)

    def get(self, key: bytes) -> bytes | None:
        """See `streams.fold.View`."""
        try:
            value: bytes | None = self.db.get(key)
        except Exception as error:
            raise self._failed(error) from error
        return value

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See `streams.fold.View`."""
        try:
            return cast("list[bytes | None]", self.db.get(list(keys))) if keys else []
        except Exception as error:
            raise self._failed(error) from error

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
        try:
            cursor.status()  # raises when it stopped at what cannot be read, not at the end
        except Exception as error:
            raise self._failed(error) from error

    def write(self, batch: WriteBatch) -> None:
        """Write a batch: all of it or nothing; raises OSError when the disk does not take it."""
        try:
            self.db.write(batch)
        except Exception as error:
            raise self._failed(error) from error

    def read_through(self) -> None:
        """Read all of it; raises Broken("state-damaged") after closing it when it is corrupt."""
        try:
            for _ in self.scan(b""):
                pass
        except OSError as error:
            self.close()
            if (self._directory / _MARK).exists():
                raise _damaged(self._directory) from error
            raise

    def put(self, key: bytes, value: bytes) -> None:
        """Refused: a state is only written in batches."""
        raise Broken("unbatched-write", "A state is written by whole batches only.")

    def delete(self, key: bytes) -> None:
        """Refused: a state is only written in batches."""
        raise Broken("unbatched-write", "A state is written by whole batches only.")

    def checkpoint(self, directory: Path) -> None:
        """Write the state as it is now into a directory that does not exist: what never changes by hard links."""
        Checkpoint(self.db).create_checkpoint(str(directory))

    def size(self) -> int:
        """Return the bytes on disk, as RocksDB estimates them, memtables included."""
        names = ("rocksdb.total-sst-files-size", "rocksdb.cur-size-all-mem-tables")
        return sum(int(self.db.property_int_value(name) or 0) for name in names)

    def close(self) -> None:
        """Close it, so that another owner can open it."""
        self.db.close()

    def _failed(self, error: Exception) -> OSError:
        """Return what failed as what it is, so that nobody takes it for the fault of the record that was folded."""
        if _corrupt(error):
            (self._directory / _MARK).touch()
        return _disk(error)

    def _check(self, identity: Identity, directory: Path) -> None:
        stored = self.get(_IDENTITY)
        if stored is None:
            self.db.write(batch_of({_IDENTITY: msgspec.json.encode(identity._asdict())}))
            return
        try:
            identity.check(Identity(**msgspec.json.decode(stored)), directory)
        except Misconfigured:
            self.close()
            raise


def batch_of(writes: Mapping[bytes, bytes | None]) -> WriteBatch:
    """Return writes as one batch; None deletes."""
    batch = WriteBatch(raw_mode=True)
    for key, value in writes.items():
        if value is None:
            batch.delete(key)
        else:
            batch.put(key, value)
    return batch


def _disk(error: Exception) -> OSError:
    return OSError(errno.EIO, f"The state cannot be read or written: {error}")


def _corrupt(error: Exception) -> bool:
    """Whether RocksDB says that what it has read is not what it had written; no other try reads it otherwise."""
    return str(error).startswith("Corruption")


def _damaged(directory: Path) -> Broken:
    return Broken(DAMAGED, f"The state {directory.name} is damaged: it is made anew from a checkpoint and its source.")


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
    # twice as many files before the first level is written anew: a quarter less is written, a tenth less time is taken
    # with random keys of 250 bytes, and reads cost the same
    options.set_level_zero_file_num_compaction_trigger(8)
    options.set_keep_log_file_num(2)
    options.set_max_open_files(256)
    options.set_memtable_prefix_bloom_ratio(0.05)
    options.set_memtable_whole_key_filtering(True)
    options.set_allow_mmap_reads(True)
    blocks = BlockBasedOptions()
    blocks.set_data_block_index_type(DataBlockIndexType.binary_and_hash())
    blocks.set_bloom_filter(10, False)
    blocks.set_block_cache(Cache(CACHE_BYTES))
    options.set_block_based_table_factory(blocks)
    return options
