"""Every event family through every door on a real Kafka: accepted, refused, duplicate, corrected, cancelled.

The doors are processes; what they have written into the inbox is folded in memory, which says what became of it.
docs/families-by-door.md lists these tests, one a cell.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx
import orjson
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from connectors import confluent
from connectors.feed_store.books import balance, books
from connectors.feed_store.cells import of_change
from docs.families_by_door import DOORS, OUTCOMES
from ops import secrets
from ops.publish_files import verdicts
from ops.settings import Files, Settings
from schemas import conventions
from schemas.codelists import CodeLists
from schemas.contracts import FAMILIES, Family
from schemas.frame import encode, tick_frame
from schemas.header import record_id
from streams.dataflows.definition import Rules
from streams.questions import standing, versions
from streams.replay import Replay
from streams.topics import Topics, partition
from tests.broker.doors import DoorProcess, inbox, on_kafka
from tests.connectors.events import REPORTER, cancellation, event
from tests.waiting import until

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]

CONVENTION = conventions.load()
TOPICS = Topics.of(1, CONVENTION)
INBOX = TOPICS["inbox"]
Verdict = dict[str, Any]
CELLS = [(family, door, outcome) for family in FAMILIES for door in DOORS for outcome in OUTCOMES]


def report(family: str, number: str, revision: int = 1, **changes: Any) -> dict[str, Any]:
    header = {"record_no": number, "revision": revision, "op": "CREATE" if revision == 1 else "CORRECT"}
    return event(family, **{f"header__{name}": value for name, value in header.items()}, **changes)


def mistake(family: Family) -> tuple[dict[str, Any], tuple[str, str]]:
    """Return a change that each door can carry and none may accept, and the reason's code and field."""
    coded = (f for f in family.fields if f.codelist and f.type == "string" and f.path.startswith("event."))
    if field := next(coded, None):
        return {field.path.replace(".", "__"): "NONE"}, ("not-in-codelist", field.path)
    return {"header__occurred_at": None}, ("op-needs-body", "header.occurred_at")


def sendings(family: str, door: str) -> dict[str, list[dict[str, Any]]]:
    """Return what is sent through a door to come to each outcome, each under a record number of its own."""
    number = {outcome: f"{door}-{outcome}" for outcome in OUTCOMES}
    wrong, _ = mistake(FAMILIES[family])
    again: dict[str, Any] = {"header__recorded_at": "2019-01-01T00:00:00Z"}
    return {
        "accepted": [report(family, number["accepted"])],
        "refused": [report(family, number["refused"], **wrong)],
        "duplicate": [report(family, number["duplicate"]), report(family, number["duplicate"], **again)],
        "corrected": [
            report(family, number["corrected"]),
            report(family, number["corrected"], 2, header__source_system="MENDED"),
        ],
        "cancelled": [report(family, number["cancelled"]), cancellation(number["cancelled"])],
    }


Sent = list[tuple[str, dict[str, Any]]]
"""Family and event, in the order of sending."""


def by_http(settings: Settings, sent: Sent) -> list[Verdict]:
    """Post each family's events as one batch; return the verdicts in the order of sending."""
    found: list[Verdict] = []
    with httpx.Client(base_url=settings.gateway_url, timeout=60) as client:
        for family in FAMILIES:
            lines = b"\n".join(orjson.dumps(each) for name, each in sent if name == family)
            key = secrets.api_key(settings.secrets, REPORTER[family])
            headers = {"X-API-Key": key, "Content-Type": "application/x-ndjson"}
            response = client.post(f"/v1/events/{family}", content=lines, headers=headers)
            assert response.status_code == 200, response.text
            found += orjson.loads(response.content)["verdicts"]
    return found


def by_kafka(settings: Settings, sent: Sent) -> list[Verdict]:
    """Write each event to its agency's own topic; return the verdicts in the order of sending."""
    return asyncio.run(_by_kafka(settings.broker.bootstrap, sent))


async def _by_kafka(bootstrap: str, sent: Sent) -> list[Verdict]:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all") as producer:
        acks = []
        for family, each in sent:
            topic = TOPICS.name(f"agency:{REPORTER[family]}:{family}")
            acks.append(await producer.send(topic, confluent.encode(FAMILIES[family], each), partition=0))
        places = [(told.topic, told.partition, told.offset) for told in await asyncio.gather(*acks)]
    told: dict[tuple[str, int, int], Verdict] = {}
    names = {TOPICS.name(f"verdicts:{agency}") for agency in REPORTER.values()}
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap) as consumer, asyncio.timeout(100):
        consumer.assign([TopicPartition(name, 0) for name in names])
        await consumer.seek_to_beginning()
        while not told.keys() >= set(places):
            for messages in (await consumer.getmany(timeout_ms=200)).values():
                for verdict in (orjson.loads(each.value) for each in messages):
                    told[tuple(verdict["source"].values())] = verdict
    return [told[place] for place in places]


def by_file(settings: Settings, sent: Sent) -> list[Verdict]:
    """Drop each family's events as one file; return the verdicts in the order of sending."""
    backs = []
    for family in FAMILIES:
        agency = settings.files_directory / REPORTER[family]
        dropped = agency / "in" / family / "events.jsonl"
        lines = b"\n".join(orjson.dumps(each) for name, each in sent if name == family)
        dropped.with_suffix(".part").write_bytes(lines)
        dropped.with_suffix(".part").rename(dropped)
        backs.append(agency / "done" / family / dropped.name)
    until(lambda: all(back.exists() for back in backs), 100)
    return [verdict for back in backs for verdict in verdicts(back)]


class Door(NamedTuple):
    """A door as its users know it."""

    process: str
    send: Callable[[Settings, Sent], list[Verdict]]


BY: Mapping[str, Door] = {
    "HTTP": Door("gateway", by_http),
    "Kafka": Door("kafka-door", by_kafka),
    "File": Door("file-door", by_file),
}


@contextmanager
def running(settings: Settings) -> Iterator[None]:
    """Run the doors, begun together, until the block ends."""
    doors = [DoorProcess(door.process, settings) for door in BY.values()]
    try:
        for door in doors:
            door.start()
        for door in doors:
            door.until_it_answers()
        yield
    finally:
        for door in doors:
            door.stop()


class Told(NamedTuple):
    """What came of all that was sent."""

    verdicts: Mapping[tuple[str, str, str], list[Verdict]]  # by family, door, outcome
    replay: Replay

    def versions(self, family: str, number: str) -> dict[str, Any]:
        """Return what deduplicate knows of a record."""
        record = record_id(REPORTER[family], family, number)
        station = self.replay.deduplicate[partition(record, INBOX.partitions)]
        found = versions(station.state, record)
        assert found is not None
        return found

    def standing(self, family: str, number: str) -> str:
        """Return what a record counts for."""
        record = record_id(REPORTER[family], family, number)
        block = self.versions(family, number)["block"]
        station = self.replay.reconcile[partition(block.to_bytes(4, "big"), TOPICS.partitions("log"))]
        return str(standing(station.state, station.fold, block, record)["standing"])  # type: ignore[arg-type]


def sent_by_all(settings: Settings) -> dict[tuple[str, str, str], list[Verdict]]:
    """Send everything through every door; return the verdicts by family, door and outcome."""
    verdicts: dict[tuple[str, str, str], list[Verdict]] = {}
    for name, door in BY.items():
        plan = [((f, name, o), each) for f in FAMILIES for o, sent in sendings(f, name).items() for each in sent]
        answered = door.send(settings, [(cell[0], each) for cell, each in plan])
        for (cell, _), verdict in zip(plan, answered, strict=True):
            verdicts.setdefault(cell, []).append(verdict)
    return verdicts


@pytest.fixture(scope="module")
def told(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """Send everything through all doors, on a Kafka of its own (`broker` is asked for its check of Java and Maven)."""
    with on_kafka(tmp_path_factory.mktemp("doors"), files=Files(settle_secs=0, look_secs=0.2)) as (_, settings):
        with running(settings):
            verdicts = sent_by_all(settings)
        yield Told(verdicts, folded(asyncio.run(inbox(settings.broker.bootstrap))))


def folded(frames: Iterable[tuple[int, bytes]]) -> Replay:
    """Return the folds in memory over the inbox as it is on Kafka."""
    replay = Replay(Rules(CONVENTION, CodeLists.load(*CONVENTION.codelist_directories)))
    for number, value in frames:
        replay.inbox.append(number, value)
    for number in range(INBOX.partitions):
        replay.inbox.append(number, encode(tick_frame(int(time.time()) + 60)))
    assert len(replay.run()) == 1
    return replay


@pytest.mark.parametrize(("family", "door", "outcome"), CELLS, ids=["-".join(cell) for cell in CELLS])
def test_a_report(told: Told, family: str, door: str, outcome: str) -> None:
    verdicts, number = told.verdicts[family, door, outcome], f"{door}-{outcome}"
    known = told.versions(family, number)
    deliveries = [version["deliveries"] for version in known["versions"]]
    assert [verdict["record_no"] for verdict in verdicts] == [number] * len(verdicts)
    if outcome == "refused":
        (verdict,) = verdicts
        _, (code, field) = mistake(FAMILIES[family])
        assert (verdict["answer"], verdict["receipt"]) == ("refused", None)
        assert (code, field) in {(each["code"], each["field"]) for each in verdict["errors"]}
        assert (known["refused_deliveries"], deliveries) == (1, [])
        return
    assert {verdict["answer"] for verdict in verdicts} == {"accepted"}
    assert len({verdict["receipt"] for verdict in verdicts}) == (2 if outcome in {"corrected", "cancelled"} else 1)
    assert deliveries == {"accepted": [1], "duplicate": [2], "corrected": [1, 1], "cancelled": [1, 1]}[outcome]
    assert known["cancelled"] == (outcome == "cancelled")
    if outcome == "cancelled":
        assert told.standing(family, number) == "silent"
    else:
        assert [version["speaks"] for version in known["versions"]][-1]
        assert told.standing(family, number) in {"counted", "represented", "outside"}


def test_the_books_balance(told: Told) -> None:
    cells = [of_change(change, 0) for change in told.replay.cells.values()]
    rows = books(cell for cell in cells if cell.table == "BOOKS")
    assert all(equation.difference == 0 for row in rows for equation in balance(row))
    each = sum(len(verdicts) for (_, door, _), verdicts in told.verdicts.items() if door == "HTTP") // len(FAMILIES)
    assert {row.family: row["deliveries"] for row in rows} == {f.id: each * len(BY) for f in FAMILIES.values()}
    assert sum(row["quarantined"] for row in rows) == 0


def test_every_door_is_tried() -> None:
    assert tuple(BY) == DOORS
