"""Scratch: a view in a RocksDB directory that nobody opens again, for a fold whose state may outgrow memory."""

from __future__ import annotations

from pathlib import Path
from shutil import rmtree
from types import TracebackType

from rocksdict import WriteOptions

from streams.memory import Overlay
from streams.rocks import Identity, Rocks, batch_of


class Scratch(Overlay):
    """A view whose writes stay in memory until `commit`; its directory is removed at the end."""

    def __init__(self, directory: Path) -> None:
        """Make the directory."""
        self._directory = directory
        self._rocks = Rocks(directory, Identity("", "", 0, 0, "rebuild"))
        self._careless = WriteOptions()
        # after a crash everything is built anew; the stub calls the attribute a method
        self._careless.disable_wal = True  # type: ignore[assignment, method-assign]
        super().__init__(self._rocks)

    def __enter__(self) -> Scratch:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._rocks.db.close()
        rmtree(self._directory)

    def commit(self) -> None:
        """Write what was put since the last time, in one batch."""
        self._rocks.db.write(batch_of(self.writes), self._careless)
        self.writes.clear()
