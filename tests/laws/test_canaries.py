"""No identity goes beyond a door (law L8): a thousand canaries go through each, right and broken; none is found again.

Doors, workers, states on RocksDB, checkpoints and the feed store on SQLite are the real ones; Kafka is in memory
(tests/broker/test_canaries.py has the real one, and the real processes). Another door is one more line in `DOORS`.
"""

from __future__ import annotations

import asyncio
import json
import logging
from base64 import b64encode, urlsafe_b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import orjson
import pytest
import structlog
from prometheus_client import CollectorRegistry, Counter, generate_latest
from starlette.types import ASGIApp

from connectors.admission import Admission
from connectors.agency_topics import Edges as KafkaEdges
from connectors.agency_topics import KafkaDoor, Routes
from connectors.body_keys import BodyKeys
from connectors.callers import Callers
from connectors.entry import Entry
from connectors.fates import Cuts, Place, Told
from connectors.file_door.door import Edges as FileEdges
from connectors.file_door.door import FileDoor, Terms
from connectors.gateway import Edges, create_app
from connectors.outbox.database import Database
from connectors.outbox.delivery import Gateway
from connectors.outbox.poller import Edges as OutboxEdges
from connectors.outbox.poller import Poller
from connectors.outbox.table import OutboxTable
from connectors.preflight_routes import PreflightRoutes
from connectors.quotas import Quota, Quotas
from connectors.rows import SUFFIXES
from connectors.sealing import Sealer
from ops.processes import PROCESSES
from schemas import core as cores
from schemas.errors import Refused
from streams import questions
from streams.partition import Partition
from streams.telemetry import DoorTelemetry, FileTelemetry, OutboxTelemetry
from tests.connectors.events import NOW, SECRETS, line
from tests.laws import canaries
from tests.laws.canaries import STEMS, Canary, found
from tests.laws.processes import AGENCIES, INBOX, LOG, Agent, Fate, Feed, Life, Ticks, World
from tests.laws.records import rules

IDENTITIES = 1000
SAMPLE = 150
REQUEST = 100
"""Events of one request."""

_log = structlog.get_logger(__name__)


class Town:
    """A system in pieces, and everything that it has said."""

    def __init__(self, home: Path, admission: type[Admission] = Admission) -> None:
        self.scratch, self.agencys = home / "scratch", home / "agencys"
        self.agencys.mkdir()
        self.world = World(home / "ours", Fate(), lambda _: False, Partition)
        self.world.home.mkdir()
        self.life = Life("doors", self.world.fate)
        keys = BodyKeys(self.world.home / "secrets")
        keys.make()
        self.admission = admission(rules().convention, rules().lists, SECRETS, Sealer(keys.obtain))
        self.metrics = CollectorRegistry()
        self.clock = Ticks(self.world)
        self.agents = [Agent(self.world, "deduplicate", "inbox", INBOX), Agent(self.world, "reconcile", "log", LOG)]
        self.feed = Feed(self.world, "aggregate", "partials", 1)
        self.told: list[bytes] = []
        self.own: set[str] = set()
        """Topics that are the agencies' own input."""

    def telemetry(self, door: str) -> DoorTelemetry:
        return DoorTelemetry(self.metrics, door, [*AGENCIES.values()])

    async def count(self) -> None:
        """Tick, fold everything, publish checkpoints, and ask about a record as an operator does."""
        await self.clock.tick()
        while sum([await agent.fold() for agent in (*self.agents, self.feed)]):
            pass
        for agent in self.agents:
            await agent.publish()
        for agent in self.agents:
            for state in self.states(agent):
                for key, value in state.view.scan(b""):
                    self.told.append(key + b"\0" + value)
                    if agent.name == "deduplicate" and len(key) == 17:
                        self.told.append(orjson.dumps(questions.versions(state.view, key[1:]), default=str))

    def states(self, agent: Agent) -> Iterator[Partition]:
        assert agent.worker is not None
        for place in agent.worker.workplaces.values():
            assert isinstance(place, Partition)
            yield place

    def close(self) -> None:
        for agent in (*self.agents, self.feed):
            agent.fall()


Door = Callable[[Town, Sequence[Canary]], Awaitable[list[bytes]]]
"""Sends all canaries and returns whatever it is answered with."""


def gateway(town: Town) -> ASGIApp:
    keys = {sha256(agency.encode()).hexdigest(): agency for agency in AGENCIES.values()}
    callers, quotas = Callers(lambda: keys), Quotas(Quota())
    edges = Edges(
        admission=town.admission,
        inbox=town.world.inbox(town.life),
        callers=callers,
        telemetry=town.telemetry("http"),
        quotas=quotas,
        pages=[PreflightRoutes(town.admission, Known(town), (callers, quotas), lambda: NOW / 1000).router],
        now=lambda: NOW / 1000,
    )
    return create_app(edges)


class Known:
    """What the town's deduplicate knows of records, for those who check a file."""

    def __init__(self, town: Town) -> None:
        self._town = town

    async def present(self) -> Known:
        return self

    async def records(self, records: Sequence[bytes]) -> Told:
        views = [state.view for state in self._town.states(self._town.agents[0])]
        asked = ((record, questions.versions(view, record)) for view in views for record in records)
        return Told({record: told for record, told in asked if told}, dict.fromkeys(records, Place(0, 0)))

    async def standings(self, places: Sequence[tuple[int, bytes]]) -> Told:
        raise AssertionError("whoever checks a file does not ask what it counts for")

    async def cuts(self, ticks: Iterable[int]) -> Cuts:
        raise AssertionError("whoever checks a file does not ask for cuts")


async def by_http(town: Town, sent: Sequence[Canary]) -> list[bytes]:
    transport = httpx.ASGITransport(gateway(town), raise_app_exceptions=False)
    told = []
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        for agency, family, own in canaries.of_each_family(sent):
            for begin in range(0, len(own), REQUEST):
                lines = b"\n".join(each.json() for each in own[begin : begin + REQUEST])
                told.append(await _post(client, agency, family, lines, "application/x-ndjson"))
            whole = canaries.avro_file(family, own)
            for body in (whole, whole[:-20], whole.replace(b"migex", b"other", 1)):
                told.append(await _post(client, agency, family, body, "application/avro"))
            told.append(await _post(client, agency, family, own[-1].json(), "application/json"))
            told.append(await _post(client, agency, f"{family}.{canaries.STEMS[0]}", own[0].json(), "application/json"))
    return told


async def _post(client: httpx.AsyncClient, agency: str, family: str, body: bytes, form: str) -> bytes:
    answer = await client.post(
        f"/v1/events/{family}", content=body, headers={"X-API-Key": agency, "Content-Type": form}
    )
    assert answer.status_code < 500, answer.text
    return repr(answer.headers).encode() + answer.content


async def by_preflight(town: Town, sent: Sequence[Canary]) -> list[bytes]:
    """Have the events checked as files of every kind, whole and torn; return the reports, as JSON and as CSV."""
    transport = httpx.ASGITransport(gateway(town), raise_app_exceptions=False)
    told = []
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        for agency, family, own in canaries.of_each_family(sent):
            for number, (name, content) in enumerate(canaries.dropped(family, own).items()):
                kind = SUFFIXES.get(Path(name).suffix, "application/msword")
                form = ("application/json", "text/csv")[number % 2]
                headers = {"X-API-Key": agency, "Content-Type": kind, "Accept": form}
                answer = await client.post(f"/v1/preflight/{family}", content=content, headers=headers)
                assert answer.status_code < 500, answer.text
                told.append(repr(answer.headers).encode() + answer.content)
    return told


async def by_kafka(town: Town, sent: Sequence[Canary]) -> list[bytes]:
    world, life = town.world, town.life
    topics = {(each.agency, each.family): f"agency.{each.agency}.{each.family}" for each in sent}
    town.own.update(topics.values())
    for number, each in enumerate(sent):
        world.kafka.append(topics[each.agency, each.family], number % 2, each.message())
        if number % 50 == 0:  # bytes of another form altogether
            world.kafka.append(topics[each.agency, each.family], 0, each.json())
    consumer = world.consumer(life, "kafka-door", [*topics.values()])
    edges = KafkaEdges(
        consumer, world.producer(life), world.inbox(life), town.admission, town.telemetry("kafka"), lambda: NOW / 1000
    )
    verdicts = {agency: f"verdicts.{agency}" for agency in AGENCIES.values()}
    door = KafkaDoor(edges, Routes({topic: way for way, topic in topics.items()}, verdicts))
    while batches := await consumer.getmany(max_records=REQUEST):
        await door.answer(batches)
    return [value for topic in verdicts.values() for value in world.kafka.log(topic, 0)]


async def by_outbox(town: Town, sent: Sequence[Canary]) -> list[bytes]:
    telemetry = OutboxTelemetry(town.metrics)
    with httpx.Client(transport=_Across(gateway(town)), base_url="http://gateway") as client:
        return [
            told
            for agency in AGENCIES.values()
            for told in await asyncio.to_thread(_brought, town, client, telemetry, agency, sent)
        ]


def _brought(
    town: Town, client: httpx.Client, telemetry: OutboxTelemetry, agency: str, sent: Sequence[Canary]
) -> list[bytes]:
    """Fill an agency's outbox, have all of it brought, and return what it then says beside the events."""
    with closing(Database(f"sqlite:///{town.agencys}/{agency}.db")) as database:
        canaries.fill_outbox(database, [each for each in sent if each.agency == agency])
        table = OutboxTable(database)
        poller = Poller(OutboxEdges(table, Gateway(client, lambda: agency), telemetry))
        while poller.step() is not None:
            pass
        return canaries.told_by_outbox(database)


class _Across(httpx.BaseTransport):
    """Brings requests of another thread to an app of this one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._loop = asyncio.get_running_loop()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return asyncio.run_coroutine_threadsafe(self._answer(request), self._loop).result()

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        answer = await self._app.handle_async_request(request)
        return httpx.Response(answer.status_code, headers=answer.headers, content=await answer.aread())


async def by_file(town: Town, sent: Sequence[Canary]) -> list[bytes]:
    """Drop the events as lines and as Avro, and files that are none; what comes back beside them is an answer."""
    root = town.agencys / "files"
    families = {agency: sorted({each.family for each in sent if each.agency == agency}) for agency in AGENCIES.values()}
    told = FileTelemetry(town.metrics, [*families])
    inbox = town.world.inbox(town.life)
    edges = FileEdges(town.admission, inbox, town.telemetry("file"), told, lambda: NOW / 1000)
    door = FileDoor(edges, Terms(root, families, settle_secs=0.0))
    door.prepare()
    back = canaries.drop(root, sent)
    for agency in families:
        await door.turn(agency, asyncio.Event())
        await door.turn(agency, asyncio.Event())
    assert {folder for folder in back if not (folder / "summary.json").exists()} == set()
    kept = {folder: orjson.loads((folder / "summary.json").read_bytes())["accepted"] for folder in back}
    assert {folder for folder, accepted in kept.items() if bool(accepted) is (folder.parts[-3] == "failed")} == set()
    return canaries.given_back(root, back)


DOORS: dict[str, Door] = {"http": by_http, "kafka": by_kafka, "outbox": by_outbox, "file": by_file}
"""Every door, by the way in which it takes events."""

PROCESS_OF = {"gateway": ("http", "outbox"), "kafka-door": ("kafka",), "file-door": ("file",)}
"""Who answers at a door."""


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    made = Town(tmp_path)
    yield made
    made.close()


def accepted(town: Town, door: str) -> float:
    labels = {"door": "http" if door == "outbox" else door, "answer": "accepted"}
    values = (town.metrics.get_sample_value("migex_receipts_total", labels | {"agency": a}) for a in AGENCIES.values())
    return sum(value or 0.0 for value in values)


def leaks(town: Town, logged: str) -> dict[str, str]:
    """Return where a canary is, and in which form, of all that is ours."""
    said = {
        "answers, states and questions": b"\n".join(town.told),
        "metrics": generate_latest(town.metrics),
        "log": logged.encode(),
        **{
            f"{topic} {number}": b"\n".join(town.world.kafka.log(topic, number))
            for topic, number in town.world.kafka.places()
            if topic not in town.own
        },
        **dict(canaries.files(town.world.home)),
        **dict(canaries.contents(town.world.home, town.scratch)),
    }
    looked = {name.split("/")[0] for name in said}
    assert looked >= {"a", "checkpoints", "feed.db", "feed.db opened", "secrets", "metrics", "log"}, looked
    return {where: leak for where, data in said.items() if (leak := found(data))}


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Return all that was logged and printed; httpx's lines are those of the agency's client."""
    caplog.set_level(logging.DEBUG)
    return lambda: "\n".join([*(repr(vars(r)) for r in caplog.records if r.name != "httpx"), *capsys.readouterr()])


@pytest.mark.parametrize("count", [SAMPLE, pytest.param(IDENTITIES, marks=pytest.mark.long)])
@pytest.mark.parametrize("door", DOORS)
async def test_no_canary_gets_beyond_a_door(town: Town, door: str, count: int, logged: Callable[[], str]) -> None:
    sent = [*canaries.canaries(count, (*AGENCIES.values(),), door)]
    town.told += await DOORS[door](town, sent)
    await town.count()
    assert accepted(town, door) >= 0.95 * count, "hardly an event was accepted: nothing is tried here"
    assert b"door-defect" not in b"".join(town.told)
    assert leaks(town, logged()) == {}


@pytest.mark.parametrize("count", [SAMPLE, pytest.param(IDENTITIES, marks=pytest.mark.long)])
async def test_no_canary_of_a_file_that_is_checked_is_kept(town: Town, count: int, logged: Callable[[], str]) -> None:
    sent = [*canaries.canaries(count, (*AGENCIES.values(),), "preflight")]
    await town.count()
    kafka = town.world.kafka
    before = {place: len(kafka.log(*place)) for place in kafka.places()}
    town.told += await by_preflight(town, sent)
    rows = b"".join(town.told)
    assert rows.count(b'"answer":"accepted"') >= 0.95 * count < rows.count(b",accepted,"), "hardly an event was read"
    assert {place: len(kafka.log(*place)) for place in kafka.places()} == before
    assert accepted(town, "http") == 0
    await town.count()
    assert leaks(town, logged()) == {}


class Talkative(Admission):
    """Logs what it is given."""

    def admit(self, *given: Any, **more: Any) -> Entry:
        _log.info("An event came.", said=given[2])
        return super().admit(*given, **more)


class Open(Admission):
    """Forgets to seal, and keeps the event as it came."""

    def admit(self, *given: Any, **more: Any) -> Entry:
        body = given[2] if isinstance(given[2], bytes) else repr(given[2]).encode()
        return super().admit(*given, **more)._replace(body=b64encode(body))


class Copying(Admission):
    """Puts a name into what the folds keep."""

    def admit(self, *given: Any, **more: Any) -> Entry:
        entry = super().admit(*given, **more)
        said = given[2] if isinstance(given[2], dict) else orjson.loads(given[2])
        if not entry.core or "person" not in said or "surname" not in said["person"]:
            return entry
        known = cores.decode(entry.core)
        kept = {name: getattr(known, name) for name in known.__struct_fields__}
        name = said["person"]["surname"].encode().hex()
        return entry._replace(core=cores.encode(cores.Core(**kept | {"education": name})))


class Telling(Admission):
    """Answers with the value that it does not like."""

    def entitled(self, agency: str, family: str) -> Any:
        try:
            return super().entitled(agency, family)
        except Refused as refusal:
            raise Refused(tuple(replace(each, rule=f"{family} is none.") for each in refusal.reasons)) from None


@pytest.mark.parametrize(
    ("mutant", "where"), [(Talkative, "log"), (Open, "migex.inbox"), (Copying, "a/reconcile"), (Telling, "answers")]
)
async def test_a_leak_is_found(tmp_path: Path, mutant: type[Admission], where: str, logged: Callable[[], str]) -> None:
    town = Town(tmp_path, mutant)
    try:
        town.told += await by_http(town, [*canaries.canaries(40, (*AGENCIES.values(),), "http")])
        await town.count()
        assert [place for place in leaks(town, logged()) if place.startswith(where)]
    finally:
        town.close()


PLANTED = f"{STEMS[1]}абвг"


@pytest.mark.parametrize("form", [PLANTED.encode(), b64encode(b"x" + PLANTED.upper().encode())])
async def test_what_is_planted_in_any_place_is_found_there(town: Town, form: bytes, logged: Callable[[], str]) -> None:
    assert await by_http(town, [*canaries.canaries(20, (*AGENCIES.values(),), "http")])
    await town.count()
    town.close()
    town.told.append(form)
    topics = [f"{town.world.topics.name(role)} 0" for role in ("inbox", "log", "partials")] + ["verdicts.gpk 0"]
    for topic in topics:
        town.world.kafka.append(topic.split()[0], 0, b"before" + form + b"after")
    in_files = canaries.planted(town.world.home, form)
    _log.info("Planted.", said=PLANTED)
    Counter("planted", "Planted.", ["said"], registry=town.metrics).labels(PLANTED).inc()
    seen = leaks(town, logged())
    assert seen.keys() >= {"answers, states and questions", "log", "metrics", *topics, *in_files}
    kinds = {place.split("/")[0] for place in in_files}
    assert kinds >= {"a", "checkpoints", "feed.db opened", "planted"}, kinds


def test_a_canary_is_found_in_whatever_form_it_is() -> None:
    for number, one in enumerate(canaries.canaries(60, ("gpk", "mvd"), "x")):
        person = one.said.get("person")
        if person is None or number % 2:
            continue
        name, text = person["surname"], one.json()
        for form in (
            text, name.encode(), name.lower().encode(), name.upper().encode(), name.encode("utf-16-le"),
            name.encode().hex().encode(), orjson.dumps({"a": name}), repr(name.encode()).encode(), ascii(name).encode(),
            json.dumps(name).encode(), quote(name).encode(), name.encode("cp1251"), name.encode("utf-16-be"),
        ):  # fmt: skip
            assert found(b"before " + form + b" after"), form
        for shift in range(3):
            coded = b64encode(b"x" * shift + name.encode() + b"and more")
            assert found(coded)
            assert found(urlsafe_b64encode(b"x" * shift + name.encode() + b"and more"))
    assert found(line()) is None
    assert found(bytes(range(256)) * 10) is None


def test_every_door_that_takes_events_is_tried() -> None:
    doors = {name for name in PROCESSES if name == "gateway" or name.endswith("door")}
    assert doors == {*PROCESS_OF}, "add what takes events to DOORS"
    assert {door for tried in PROCESS_OF.values() for door in tried} == {*DOORS}
