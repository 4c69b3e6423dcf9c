"""No identity goes beyond a door (law L8): every real process on a real Kafka, and all that they write is searched."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import httpx
import pytest
import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from connectors.outbox.database import Database
from connectors.rows import SUFFIXES
from ops import secrets, system
from ops.access import access
from ops.archive import admin_client
from ops.processes import PROCESSES
from ops.settings import Checkpoints, Files, Outbox, Settings, with_free_ports
from schemas.conventions import load
from streams.topics import Topics
from tests.laws import canaries
from tests.laws.canaries import STEMS, Canary, found

pytestmark = [pytest.mark.broker, pytest.mark.timeout(600)]

_log = structlog.get_logger(__name__)

SAMPLE, IDENTITIES = 150, 1000
REQUEST = 500
BY_OUTBOX = "mvd"
"""Whose outbox it is; each has a poller of its own."""
BY_FILE = ("gpk", "labour")
"""Who drops files and has them checked, of a sample; a folder of each of an agency's families gets a dozen files."""
PLANTED = "migex.planted"
"""A topic of ours that holds a canary, so that one knows that the search sees."""


class Town:
    """A whole system, and what the agencies have of it."""

    def __init__(self, home: Path) -> None:
        self.agencys, self.scratch = home / "agencys", home / "scratch"
        self.agencys.mkdir()
        self.folders = self.agencys / "files"
        files = Files(directory=str(self.folders), settle_secs=0.2, look_secs=0.1)
        self.settings = with_free_ports(home / "ours", checkpoints=Checkpoints(secs=1.0), files=files)
        convention = load(self.settings.convention)
        self.agencies = tuple(convention.agencies)
        self.topics = Topics.of(self.settings.generation, convention)
        self.told: list[bytes] = []

    def key(self, agency: str) -> str:
        return secrets.api_key(self.settings.secrets, agency)

    def by_http(self, sent: Sequence[Canary]) -> int:
        """Send them as NDJSON, and what Avro can say as a file; return how many deliveries that were."""
        deliveries = 0
        with httpx.Client(base_url=self.settings.gateway_url, timeout=60) as client:
            for agency, family, own in canaries.of_each_family(sent):
                bodies = [
                    ("application/x-ndjson", b"\n".join(each.json() for each in own[begin : begin + REQUEST]))
                    for begin in range(0, len(own), REQUEST)
                ]
                for kind, body in (*bodies, ("application/avro", canaries.avro_file(family, own))):
                    headers = {"X-API-Key": self.key(agency), "Content-Type": kind}
                    answer = client.post(f"/v1/events/{family}", content=body, headers=headers)
                    assert answer.status_code == 200, answer.text
                    self.told.append(repr(answer.headers).encode() + answer.content)
                    deliveries += len(answer.json()["verdicts"])
        return deliveries

    async def by_kafka(self, sent: Sequence[Canary]) -> int:
        """Write each into its agency's topic; return how many deliveries that were."""
        async with AIOKafkaProducer(bootstrap_servers=self.settings.broker.bootstrap) as producer:
            for each in sent:
                await producer.send(self.topics.name(f"agency:{each.agency}:{each.family}"), each.message())
            await producer.flush()
        return len(sent)

    def by_file(self, sent: Sequence[Canary]) -> int:
        """Drop them as files of every kind, whole and broken; return how many rows, or whole files, were answered."""
        back = canaries.drop(self.folders, sent)
        until(lambda: all((folder / "summary.json").exists() for folder in back), 400)
        self.told += canaries.given_back(self.folders, back)
        return sum((folder / "verdicts.jsonl").read_bytes().count(b"\n") for folder in back)

    def by_preflight(self, sent: Sequence[Canary]) -> None:
        """Have such files checked over HTTP, and one by the command; nothing of it is a delivery."""
        with httpx.Client(base_url=self.settings.gateway_url, timeout=60) as client:
            for agency, family, own in canaries.of_each_family(sent):
                for number, (name, content) in enumerate(canaries.dropped(family, own).items()):
                    kind, form = SUFFIXES.get(Path(name).suffix, ""), ("text/csv", "application/json")[number % 2]
                    headers = {"X-API-Key": self.key(agency), "Content-Type": kind, "Accept": form}
                    answer = client.post(f"/v1/preflight/{family}", content=content, headers=headers)
                    assert answer.status_code < 500, answer.text
                    self.told.append(repr(answer.headers).encode() + answer.content)
        file = self.agencys / "checked.csv"
        file.write_bytes(canaries.dropped(family, own)["right.csv"])
        words = ("preflight", str(file), "--agency", agency, "--family", family)
        argv = [sys.executable, "-m", "ops.cli", *words]
        told = subprocess.run(argv, env=self.settings.inherited(), capture_output=True, check=False)
        assert b"accepted" in told.stdout
        self.told += [told.stdout, told.stderr]

    def by_outbox(self, sent: Sequence[Canary]) -> int:
        """Write them into an agency's database, from which the poller's process brings them."""
        own = [each for each in sent if each.agency == BY_OUTBOX]
        key = self.settings.secrets / "api-keys" / f"{BY_OUTBOX}.key"
        url = f"sqlite:///{self.agencys}/{BY_OUTBOX}.db"
        with closing(Database(url)) as database:
            canaries.fill_outbox(database, own)
            outbox = Outbox(database=url, key_file=str(key), idle_secs=0.2)
            poller = self._started("outbox", self.settings.model_copy(update={"outbox": outbox}))
            until(lambda: not any(told.startswith(b"None") for told in canaries.told_by_outbox(database)[:-1]))
            poller.send_signal(signal.SIGTERM)
            assert poller.wait(30) == 0
            self.told += canaries.told_by_outbox(database)
        return len(own)

    def _started(self, name: str, settings: Settings) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-m", "ops.cli", name, "run"]
        with (settings.home / "logs" / f"{name}.log").open("ab") as log:
            return subprocess.Popen(argv, env={**os.environ, **settings.environment()}, stdout=log, stderr=log)

    def numbers(self) -> dict[str, bytes]:
        """Return what each process shows of itself, and what the feed shows."""
        pages = {name: "http://{}:{}/metrics".format(*self.settings.address(name)) for name in PROCESSES}
        feed = "http://{}:{}".format(*self.settings.address("feed"))
        pages |= {path: feed + path for path in ("/v1/books", "/v1/tables/F06", "/v1/tables/F01", "/v1/cuts")}
        return {name: httpx.get(address).content for name, address in pages.items()}

    def received(self) -> float:
        """Return how many deliveries the doors say that they have answered."""
        return sum(
            sample.value
            for name in ("gateway", "kafka-door", "file-door")
            for family in text_string_to_metric_families(self.numbers()[name].decode())
            for sample in family.samples
            if sample.name == "migex_receipts_total"
        )

    def booked(self) -> int:
        """Return how many deliveries the books know."""
        feed = "http://{}:{}".format(*self.settings.address("feed"))
        return sum(row["counts"].get("deliveries", 0) for row in httpx.get(f"{feed}/v1/books").json()["books"])

    async def kept(self) -> dict[str, bytes]:
        """Return all that lies in Kafka, unpacked, but for the agencies' own topics."""
        async with admin_client(access(self.settings)) as admin:
            topics = {each["topic"]: each["partitions"] for each in await admin.describe_topics()}
        found: dict[str, bytes] = {}
        async with AIOKafkaConsumer(bootstrap_servers=self.settings.broker.bootstrap) as consumer:
            for topic in sorted(topic for topic in topics if not own_input(topic)):
                places = [TopicPartition(topic, each["partition"]) for each in topics[topic]]
                consumer.assign(places)
                await consumer.seek_to_beginning(*places)
                parts = []
                for place, end in (await consumer.end_offsets(places)).items():
                    while await consumer.position(place) < end:
                        for message in (await consumer.getmany(place, timeout_ms=1000)).get(place, []):
                            parts += [message.key or b"", message.value or b"", repr(message.headers).encode()]
                found[topic] = b"\n".join(parts)
        return found

    async def plant(self, text: bytes) -> None:
        """Put a text into a topic of ours as it is, and once more packed."""
        async with admin_client(access(self.settings)) as admin:
            await admin.create_topics([NewTopic(PLANTED, 1, 1)])
        for packing in (None, "gzip"):
            async with AIOKafkaProducer(
                bootstrap_servers=self.settings.broker.bootstrap, compression_type=packing
            ) as producer:
                await producer.send_and_wait(PLANTED, text, headers=[("said", text)])

    def files(self) -> tuple[dict[str, bytes], bytes, bytes]:
        """Return our files, as they are and opened; those of the agencies' own topics; and that of the planted one."""
        ours: dict[str, bytes] = {}
        inputs, planted = [], []
        for name, data in canaries.files(self.settings.home):
            parts = Path(name).parts
            if any(map(own_input, parts)):
                inputs.append(data)
            elif any(part.startswith(PLANTED) for part in parts):
                planted.append(data)
            else:
                ours[name] = data
        return ours | dict(canaries.contents(self.settings.home, self.scratch)), b"".join(inputs), b"".join(planted)


def own_input(place: str) -> bool:
    """Whether a topic, or a directory of Kafka's, is what an agency writes itself."""
    return place.startswith("migex.agency.") and ".verdicts." not in place


def until(true: Callable[[], bool], secs: float = 120.0) -> None:
    end = time.monotonic() + secs
    while not true():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.2)


@pytest.fixture
def town(broker: str, tmp_path: Path) -> Iterator[Town]:
    """A system with a Kafka of its own (`broker` is asked for its check of Java and Maven)."""
    made = Town(tmp_path)
    system.up(made.settings, Console(quiet=True))
    yield made
    system.down(made.settings, Console(quiet=True))


LONG = [pytest.mark.long, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("count", [SAMPLE, pytest.param(IDENTITIES, marks=LONG)])
def test_no_canary_gets_beyond_a_door(town: Town, count: int) -> None:
    some = town.agencies if count == IDENTITIES else BY_FILE
    sent = {door: [*canaries.canaries(count, town.agencies, door)] for door in ("http", "kafka", "outbox")}
    sent |= {door: [*canaries.canaries(count, some, door)] for door in ("file", "preflight")}
    deliveries = town.by_http(sent["http"]) + town.by_outbox(sent["outbox"]) + town.by_file(sent["file"])
    deliveries += asyncio.run(town.by_kafka(sent["kafka"]))
    until(lambda: town.received() == deliveries == town.booked())
    town.by_preflight(sent["preflight"])
    shelf = town.settings.checkpoints_directory
    until(lambda: bool([*shelf.rglob("manifest.json")]))
    assert town.received() == deliveries == town.booked(), "what is checked is no delivery"
    asyncio.run(town.plant(STEMS[1].encode()))
    said = {"answers": b"\n".join(town.told), **town.numbers(), **asyncio.run(town.kept())}
    planted = said.pop(PLANTED)
    system.down(town.settings, Console(quiet=True))
    ours, inputs, planted_in_files = town.files()
    said |= ours
    leaks = {where: leak for where, data in said.items() if (leak := found(data))}
    _log.info("Searched.", deliveries=deliveries, places=len(said), bytes=sum(map(len, said.values())))
    assert leaks == {}
    assert found(inputs), "not even the agencies' topics hold one: nothing was tried"
    assert_all_was_looked_at(town, said)
    text = STEMS[1].encode()
    assert (planted.count(text), planted.count(repr(text)[2:-1].encode())) == (2, 2), "packed ones, and headers, too"
    assert found(planted_in_files)


def assert_all_was_looked_at(town: Town, said: Mapping[str, bytes]) -> None:
    """Every kind of place was there; and what is planted in a file, a RocksDB or a SQLite is found in it."""
    roles = ["inbox", "log", "partials", *(f"verdicts:{agency}" for agency in town.agencies)]
    assert [role for role in roles if not said[town.topics.name(role)]] == []
    looked = " ".join(said)
    for place in ("migex.inbox.v1-", "logs/gateway.log", "logs/outbox.log", "logs/file-door.log", "feed.db opened",
                  "checkpoints/g1/reconcile", "state", "kafka-door", "/v1/books"):  # fmt: skip
        assert place in looked, f"{place} was not looked at: {looked}"
    planted = canaries.planted(town.settings.home, b64encode(STEMS[1].encode()))
    again = (*canaries.files(town.settings.home), *canaries.contents(town.settings.home, town.scratch))
    assert planted - {where for where, data in again if found(data)} == set()
