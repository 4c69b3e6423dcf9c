"""The one write of aggregate: state, cells and position in one SQL transaction (law L2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
from sqlalchemy import ColumnElement, Connection, func, insert, select, text, update

from connectors.feed_store import bulk
from connectors.feed_store.cells import Causes, split_key
from connectors.feed_store.tables import CELL_NOW, CUT, KV, POSITION
from schemas.errors import Broken, Unavailable
from streams.fold import CutClosed, View
from streams.memory import Overlay

_PAGE = 1000  # pairs read at a time while scanning

_FIRST_POSITION = text(
    "INSERT INTO position (generation, source_partition, next_offset) "
    "VALUES (:generation, :source_partition, :next_offset) ON CONFLICT DO NOTHING"
)
_json = msgspec.json.Encoder()


class Transaction:
    """One step of the writer: a view of the state, the position, and the cuts that closed.

    Nothing is visible to readers before the step is committed. A step that wrote must also have advanced the position,
    because only the guarded position proves that no other writer works on the same partition.
    """

    def __init__(self, connection: Connection, generation: int, partition: int) -> None:
        self._connection = connection
        self._generation = generation
        self._partition = partition
        self._overlay = Overlay(_Stored(connection, generation))
        self._advanced = False
        self._cuts = 0

    @property
    def view(self) -> View:
        """The fold's state; what was put is read back at once."""
        return self._overlay

    def position(self) -> int:
        """Return the next offset of the partials partition to fold; 0 when nothing was folded yet."""
        row = POSITION.c
        found = self._connection.execute(
            select(row.next_offset).where(row.generation == self._generation, row.source_partition == self._partition)
        ).scalar_one_or_none()
        return found or 0

    def advance(self, old: int, new: int) -> None:
        """Move the position from `old` to `new`; raises Unavailable("lease-lost") when another writer moved it."""
        row = POSITION.c
        moved = self._connection.execute(
            update(POSITION)
            .where(row.generation == self._generation, row.source_partition == self._partition, row.next_offset == old)
            .values(next_offset=new)
        ).rowcount
        if not moved and old == 0:
            first = {"generation": self._generation, "source_partition": self._partition, "next_offset": new}
            moved = self._connection.execute(_FIRST_POSITION, first).rowcount
        if not moved:
            raise Unavailable(
                "lease-lost", f"Another process moved the position of partition {self._partition} of partials."
            )
        self._advanced = True

    def write(self, cut: CutClosed) -> None:
        """Store a complete cut: the new values of the cells that changed, and the change of each.

        Raises Broken when the cut is not later than the latest one, since cuts are written in order (law L4).
        """
        generation = self._generation
        latest = self._connection.execute(select(func.max(CUT.c.tick)).where(CUT.c.generation == generation)).scalar()
        if latest is not None and cut.tick <= latest:
            raise Broken("cut-order", f"The cut {cut.tick} came after the cut {latest}.")
        keys = [(generation, *split_key(cell.key)) for cell in cut.cells]
        values = [(cell.facts, _text(cell.measures), _text(cell.causes)) for cell in cut.cells]
        rows = list(zip(keys, values, strict=True))
        changes = [(*key[:3], cut.tick, key[3], *value) for key, value in rows]
        bulk.insert_changes(self._connection, changes)
        bulk.upsert(self._connection, CELL_NOW, [(*key, *value, cut.tick) for key, value in rows])
        self._connection.execute(insert(CUT).values(generation=generation, tick=cut.tick, cells=len(cut.cells)))
        self._cuts += 1

    def flush(self) -> None:
        """Write the state's changes; raises Broken when the step wrote without advancing the position."""
        writes = self._overlay.writes
        if (writes or self._cuts) and not self._advanced:
            raise Broken("unguarded-write", "A step wrote to the feed store without moving its position.")
        put = [(self._generation, key, value) for key, value in writes.items() if value is not None]
        bulk.upsert(self._connection, KV, sorted(put))
        bulk.delete(self._connection, KV, [(self._generation, key) for key, value in writes.items() if value is None])


class _Stored:
    """The state as the table has it; writes belong into the overlay above."""

    remote = True

    def __init__(self, connection: Connection, generation: int) -> None:
        self._connection = connection
        self._generation = generation

    def get(self, key: bytes) -> bytes | None:
        return bulk.values(self._connection, KV, self._generation, [key]).get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        found = bulk.values(self._connection, KV, self._generation, keys)
        return [found.get(key) for key in keys]

    def put(self, key: bytes, value: bytes) -> None:
        bulk.upsert(self._connection, KV, [(self._generation, key, value)])

    def delete(self, key: bytes) -> None:
        bulk.delete(self._connection, KV, [(self._generation, key)])

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        row = KV.c
        query = select(row.key, row.value).where(row.generation == self._generation).order_by(row.key).limit(_PAGE)
        after = row.key >= prefix
        while page := self._connection.execute(query.where(after, *_below(prefix))).all():
            for key, value in page:
                yield bytes(key), bytes(value)
            after = row.key > page[-1].key


def _below(prefix: bytes) -> list[ColumnElement[bool]]:
    """Return the condition that a key stands before all keys behind the prefix; none for a prefix that has no next."""
    stem = prefix.rstrip(b"\xff")
    return [KV.c.key < stem[:-1] + bytes([stem[-1] + 1])] if stem else []


def _text(value: Sequence[int] | Causes) -> str:
    return _json.encode(value).decode()
