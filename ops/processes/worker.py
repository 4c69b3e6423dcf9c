"""An agent's process: one of deduplicate, reconcile, aggregate at work on Kafka."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable
from typing import Any

import structlog
from aiokafka.admin import AIOKafkaAdminClient
from prometheus_client import CollectorRegistry

from connectors.archive import Archive
from connectors.feed_partition import FeedPartition
from connectors.feed_store.store import FeedStore
from ops import secrets
from ops.crews import MEMBER_PORTS
from ops.generations.rules import enrolled
from ops.logs import config
from ops.processes.absence import kafka_needed
from ops.processes.rehearsal import Rehearsal
from ops.settings import Settings
from ops.trespass import checked_access
from ops.worker_http import state_server
from schemas.codelists import CodeLists
from schemas.contracts import FAMILIES
from schemas.conventions import Convention, load
from schemas.errors import Misconfigured
from streams import questions
from streams.aggregate import Aggregate
from streams.books import ENTRIES
from streams.checkpoints import Checkpoints
from streams.dataflows.definition import Rules
from streams.deduplicate import Deduplicate
from streams.fold import CutClosed, Fold
from streams.kafka import Kafka
from streams.partition import Partition
from streams.reconcile.fold import Reconcile
from streams.rocks import Identity
from streams.telemetry import AgentTelemetry
from streams.thinning import Thinned
from streams.topics import Topics, partition
from streams.worker import Worker
from streams.workplace import Assignment, Workplace

_log = structlog.get_logger(__name__)

BEGINS = "A worker begins."
"""What the log says when everything is read and open that has nothing to do with partitions."""

SOURCES = {"deduplicate": "inbox", "reconcile": "log", "aggregate": "partials"}
"""Agent -> role of the topic it reads."""


def run(settings: Settings, agent: str, member: int = 0) -> None:
    """Work as one agent until SIGTERM; `member` numbers the workers of one agent, from 0.

    Raises Misconfigured for an unknown agent, for a state or feed store of another cluster, and for a generation that
    nobody began or that counts otherwise than this program; Unavailable when no broker answers.
    """
    if agent not in SOURCES:
        raise Misconfigured("unknown-agent", f"There is no agent {agent!r}: choose one of {', '.join(SOURCES)}.")
    with kafka_needed(settings):
        office = _Office(settings, agent, member)
    worker = Worker(office.assignment)
    office.attend(worker)
    gc.freeze()
    _log.info(BEGINS, member=office.assignment.member)
    gc.disable()  # the folds make many short-lived tuples and no cycles; the worker collects between steps
    worker.run(config(settings.logs.level))


class _Office:
    """What an agent's process is made of, from the settings."""

    def __init__(self, settings: Settings, agent: str, member: int) -> None:
        self._settings = settings
        self._agent = agent
        self._member = member
        self._generation = enrolled(settings)
        level = self._generation.manifest.link_level if agent == "reconcile" else 1
        self._lift = secrets.lifting(settings.secrets, level)
        self._convention = load(settings.convention)
        self._rules = Rules(self._convention, CodeLists.load(*self._convention.codelist_directories))
        self._topics = Topics.of(settings.generation, self._convention)
        self._source = self._topics.name(SOURCES[agent])
        self._kafka = asyncio.run(checked_access(settings, agent, self._topics))
        self._cluster = asyncio.run(_cluster_id(self._kafka))
        self._registry = CollectorRegistry()
        self._telemetry = AgentTelemetry(self._registry, agent, tuple(self._convention.agencies))
        self._store = self._open_store() if agent == "aggregate" else None
        self._name = f"{settings.host}.{agent}-{member}"
        self._rehearsal = Rehearsal(settings, f"{agent}-{member}" if member else agent)
        archive = Archive(settings.archive_directory, self._cluster, self._source)
        self.assignment = Assignment(
            agent=agent,
            source=self._source,
            topics=self._topics,
            kafka=self._kafka,
            member=self._name,
            open=self._open,
            telemetry=self._telemetry,
            agencies={agency.id: code for code, agency in self._convention.agencies.items()},
            on_cut=self._show_books(self._store, self._convention, self._telemetry) if self._store else None,
            archive=archive.read if agent == "deduplicate" else None,
            checkpoint_secs=settings.checkpoints.secs,
            reach=self._rehearsal.reach,
        )

    def attend(self, worker: Worker) -> None:
        """Answer metrics and questions while the worker works."""
        host, port = self._settings.address(self._agent)
        desk = _Desk(worker, self._reconcile(0), self._topics)

        @worker.app.task  # type: ignore[untyped-decorator]
        async def attend() -> None:
            self._rehearsal.listen()
            async with state_server(self._registry, desk.answer, host, port + self._member * MEMBER_PORTS):
                await worker.app.wait_for_stopped()

    def _open_store(self) -> FeedStore:
        store = FeedStore(self._settings.feed_url, self._settings.generation)
        store.check_identity(self._cluster, self._source)
        return store

    def _open(self, number: int) -> Workplace:
        reach = self._rehearsal.reach
        if self._store is not None:
            fold = Aggregate(self._topics.partitions("log"))
            return FeedPartition(self._store, number, fold, self._store.lease(self._name), reach)
        settings, agent = self._settings, self._agent
        stage: Fold = self._deduplicate(number) if agent == "deduplicate" else self._reconcile(number)
        identity = Identity(self._cluster, self._source, number, settings.generation, agent)
        root, damaged = settings.checkpoints_directory, self._telemetry.damaged
        shelf = Checkpoints(root, identity, self._name, damaged, reach)
        began = time.monotonic()
        directory = settings.state / f"g{settings.generation}" / agent / f"p{number}"
        place = Partition(directory, identity, stage, shelf, reach)
        if place.damaged:
            self._telemetry.state_damaged()
            _log.error("A state was damaged and is made anew.", partition=number, aside=f"{directory.name}.damaged")
        if place.restored:
            _log.info(
                "A partition begins with a checkpoint.",
                partition=number,
                position=place.position,
                bytes=place.size(),
                secs=round(time.monotonic() - began, 2),
            )
        return place

    def _deduplicate(self, number: int) -> Fold:
        codes = {agency.id: code for code, agency in self._convention.agencies.items()}
        begun = self._generation.manifest
        return Thinned(Deduplicate(number, self._topics.partitions("log"), codes, begun.speaks_from), begun.every_from)

    def _reconcile(self, number: int) -> Reconcile:
        return Reconcile(number, self._topics.partitions("inbox"), self._rules, self._lift)

    @staticmethod
    def _show_books(store: FeedStore, convention: Convention, telemetry: AgentTelemetry) -> Callable[[CutClosed], None]:
        """Return what sets the books' gauges at each cut, from the store: a restart has seen few of the counts."""
        codes = {agency.id: code for code, agency in convention.agencies.items()}
        names = {family.id: name for name, family in FAMILIES.items()}

        def show(_: CutClosed) -> None:
            for row in store.books():
                for entry in ENTRIES:
                    agency, family = codes.get(row.agency, "unknown"), names.get(row.family, "unknown")
                    telemetry.books(agency, family, entry, row[entry])

        return show


class _Desk:
    """Answers questions about records from the states that this worker owns."""

    def __init__(self, worker: Worker, stage: Reconcile, topics: Topics) -> None:
        self._worker = worker
        self._stage = stage
        self._topics = topics

    def answer(self, path: str, query: dict[str, str]) -> dict[str, Any] | None:
        """Return the answer to a question about records; None: there is no such question.

        `partitions` asks which are open here, and how many there are. `records` (ids) and `blocks` (block-id) take
        several, joined by commas, and leave out what is not owned or not known; with `fates/` before them the answer
        tells the two apart: `open` has the partitions, each with its `position` and how many messages are `behind` it,
        as of the same moment as what was `found`; records come with their refusals.
        """
        asked = path.rpartition("/")[2]
        own = self._worker.assignment
        if asked == "partitions":
            return {
                "partitions": sorted(self._worker.workplaces),
                "partitions_of": self._topics.partitions(SOURCES[own.agent]),
            }
        if asked not in ("records", "blocks"):
            return None
        with_refusals = path.startswith("/fates/")
        found: dict[str, Any] = {}
        for each in query["ids"].split(","):
            block, _, record = each.rpartition("-")
            told = self._record(record, with_refusals) if asked == "records" else self._block(block, record)
            if told is not None:
                found[record] = told
        if not with_refusals:
            return found
        return {"generation": self._topics.generation, "open": self._open(), "found": found}

    def _open(self) -> dict[str, Any]:
        places = {number: self._owned(number) for number in self._worker.workplaces}
        return {
            str(number): {"position": place.position, "behind": self._worker.behind(number)}
            for number, place in places.items()
            if place is not None
        }

    def _record(self, name: str, with_refusals: bool) -> dict[str, Any] | None:
        record = bytes.fromhex(name)
        place = self._owned(partition(record, self._topics.partitions("inbox")))
        if place is None or (known := questions.versions(place.view, record)) is None:
            return None
        return known | {"refusals": questions.refusals(place.view, record)} if with_refusals else known

    def _block(self, named: str, name: str) -> dict[str, Any] | None:
        block = int(named)
        place = self._owned(partition(block.to_bytes(4, "big"), self._topics.partitions("log")))
        return None if place is None else questions.standing(place.view, self._stage, block, bytes.fromhex(name))

    def _owned(self, number: int) -> Partition | None:
        place = self._worker.workplaces.get(number)
        return place if isinstance(place, Partition) else None


async def _cluster_id(kafka: Kafka) -> str:
    admin = AIOKafkaAdminClient(**kafka.options())
    await admin.start()
    try:
        return str((await admin.describe_cluster())["cluster_id"])
    finally:
        await admin.close()
