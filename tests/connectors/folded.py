"""The folds in memory behind a gateway's inbox, each step when the test says so: for questions about records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from connectors.fates import Cuts, Place, Told
from connectors.inbox import MemoryInbox, frame
from schemas.errors import Unavailable
from schemas.frame import encode, tick_frame
from streams import questions
from streams.reconcile.fold import Reconcile
from streams.replay import Log, Replay, Station
from streams.topics import partition
from tests.laws.records import rules

PARTITIONS = 2


class Folded:
    """Sources whose workers do what they are told; `away` names an agent that does not answer."""

    def __init__(self, inbox: MemoryInbox) -> None:
        self._inbox = inbox
        self._taken = 0
        self._tick = 1_760_000_000
        self._cuts: list[int] = []
        self.replay = Replay(rules(), PARTITIONS, PARTITIONS)
        self.away = ""

    def receive(self) -> None:
        """Let the workers know of what the doors kept, and fold nothing of it."""
        for entry in self._inbox.entries[self._taken :]:
            self.replay.inbox.append(partition(entry.partition_key, PARTITIONS), frame([entry]))
        self._taken = len(self._inbox.entries)

    def empty_inbox(self) -> None:
        """Take what the doors kept out of the inbox; what the workers have folded they know."""
        self._inbox.entries.clear()
        self._taken = 0

    def deduplicate(self) -> None:
        self.receive()
        self._run(self.replay.deduplicate, self.replay.inbox)

    def reconcile(self) -> None:
        self.deduplicate()
        self._run(self.replay.reconcile, self.replay.log)

    def cut(self) -> int:
        """Fold everything and close a cut; return its tick."""
        self.receive()
        self._tick += 1
        for number in range(PARTITIONS):
            self.replay.inbox.append(number, encode(tick_frame(self._tick)))
        self._cuts += [cut.tick for cut in self.replay.run()]
        return self._tick

    def _run(self, stations: Iterable[Station], source: Log) -> None:
        for station in stations:
            while station.position < len(source.partitions[station.partition]):
                self.replay.advance(station, source)

    async def present(self) -> Folded:
        return self

    async def records(self, records: Sequence[bytes]) -> Told:
        self._ask("deduplicate")
        found = {}
        for record in records:
            view = self.replay.deduplicate[partition(record, PARTITIONS)].state
            if (known := questions.versions(view, record)) is not None:
                found[record] = known | {"refusals": questions.refusals(view, record)}
        homes = {record: partition(record, PARTITIONS) for record in records}
        return Told(found, {r: self._place(self.replay.deduplicate[n], self.replay.inbox) for r, n in homes.items()})

    async def standings(self, places: Sequence[tuple[int, bytes]]) -> Told:
        self._ask("reconcile")
        found, where = {}, {}
        for block, record in places:
            station = self.replay.reconcile[partition(block.to_bytes(4, "big"), PARTITIONS)]
            assert isinstance(station.fold, Reconcile)
            found[record] = questions.standing(station.state, station.fold, block, record)
            where[record] = self._place(station, self.replay.log)
        return Told(found, where)

    async def cuts(self, ticks: Iterable[int]) -> Cuts:
        self._ask("feed")
        after = {tick: next((cut for cut in self._cuts if cut > tick), None) for tick in ticks}
        return Cuts(self._cuts[-1] if self._cuts else None, after)

    def _ask(self, agent: str) -> None:
        if self.away == agent:
            raise Unavailable("worker-away", f"A {agent} worker does not answer.")

    @staticmethod
    def _place(station: Station, source: Log) -> Place:
        return Place(station.partition, len(source.partitions[station.partition]) - station.position)
