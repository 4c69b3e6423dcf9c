"""Surfaces: where strangers' bytes come in, each with what makes an input for it and what must hold of the answer."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from random import Random
from typing import Any, cast

import orjson
from aiokafka import TopicPartition
from backports import zstd
from prometheus_client import CollectorRegistry

from connectors.agency_topics import Edges, KafkaDoor, Routes
from connectors.gateway import Limits
from connectors.quotas import Quota, Quotas
from connectors.registry import create_app
from connectors.sandbox import Sandbox
from schemas.contracts import FAMILIES
from streams.telemetry import DoorTelemetry
from tests.connectors.doors import ADMISSION, CONVENTION, KEYS, Door
from tests.connectors.events import NOW
from tests.fuzz import avro_bytes, checks, mutants, odd
from tests.fuzz.asgi import Reply, ask
from tests.fuzz.checks import CountingInbox
from tests.fuzz.mutants import SENDER
from tests.fuzz.questions import Questions
from tests.fuzz.tables import Files
from tests.laws.kafka import Consumer, Kafka, Producer, Record

LIMITS = Limits(body_bytes=300_000, event_bytes=20_000, events=40, body_secs=30)


class Gateway:
    """The HTTP door, and what may be sent to it."""

    def __init__(self) -> None:
        """It takes any number of events."""
        self.inbox = CountingInbox()
        self.door = Door(LIMITS, inbox=self.inbox, quotas=Quotas(Quota(events_per_sec=10**9, burst=10**9)))

    async def ndjson(self, chance: Random) -> int:
        """Send lines; each has a verdict, whatever the others hold."""
        family = chance.choice(list(FAMILIES))
        made = [self._line(chance, family) for _ in range(chance.choice((1, 8, 20, 40)))]
        lines = [line.replace(b"\n", b" ") for line in made]
        sent = sum(1 for line in lines if line.strip())
        body = chance.choice((b"\n", b"\r\n", b"\n\n \n")).join(lines)
        reply = await self._post(chance, family, b"application/x-ndjson", body, sent)
        assert reply.status == 200 or sum(map(len, lines)) > 200_000
        return sent

    async def json(self, chance: Random) -> int:
        """Send one event or an array, sometimes torn as a whole."""
        family = chance.choice(list(FAMILIES))
        many = [odd.written(chance, mutants.mutant(chance, family)) for _ in range(chance.choice((1, 1, 3, 20)))]
        body = many[0] if len(many) == 1 else b"[" + b" ,\n".join(many) + b"]"
        if chance.random() < 0.2:
            body = mutants.torn(chance, body)
        await self._post(chance, family, b"application/json", body, None)
        return len(many)

    async def avro(self, chance: Random) -> int:
        """Send an object container file."""
        family = chance.choice(list(FAMILIES))
        await self._post(chance, family, b"application/avro", avro_bytes.file(chance, family), None)
        return 1

    async def requests(self, chance: Random) -> int:
        """Send an event with something wrong in the request around it."""
        family = chance.choice(list(FAMILIES))
        body = _packed(chance, odd.written(chance, mutants.mutant(chance, family)))
        headers = [_header(chance) for _ in range(chance.randrange(6))]
        if chance.random() < 0.9:
            headers.append((b"x-api-key", KEYS[SENDER[family]].encode()))
        if chance.random() < 0.7:
            headers.append((b"content-type", b"application/json"))
        cut = chance.randrange(len(body) + 1)
        chunks = [body[:cut], None if chance.random() < 0.05 else body[cut:]]
        path = chance.choice((*[f"/v1/events/{family}"] * 6, *_PATHS))
        query = chance.choice(("", "", "?on=2018-02-30", "?a=%ff%00", "?&&=;=", "?lang=" + "x" * 3000))
        method = chance.choice(("POST",) * 8 + ("GET", "PUT", "HEAD", "OPTIONS", "DELETE", "QUERY", "\u0130"))
        before = len(self.inbox.entries)
        reply = await ask(self.door.app, method, path + query, headers, chunks)
        if method == "POST" and path.startswith("/v1/events/"):
            checks.answered(reply, self.inbox.entries[before:], None)
        else:
            assert reply.status < 500
            assert len(self.inbox.entries) == before
            checks.unmarked(reply.body)
        return 1

    def _line(self, chance: Random, family: str) -> bytes:
        line = odd.written(chance, mutants.mutant(chance, family))
        return mutants.torn(chance, line) if chance.random() < 0.2 else line

    async def _post(self, chance: Random, family: str, kind: bytes, body: bytes, sent: int | None) -> Reply:
        headers = [(b"x-api-key", KEYS[SENDER[family]].encode()), (b"content-type", kind)]
        headers += [(b"idempotency-key", b"k"), (b"accept-language", chance.choice((b"en", b"ru", b"be")))]
        before = len(self.inbox.entries)
        reply = await ask(self.door.app, "POST", f"/v1/events/{family}", headers, [body])
        checks.answered(reply, self.inbox.entries[before:], sent)
        return reply


def _packed(chance: Random, body: bytes) -> bytes:
    pack = chance.choice((bytes, bytes, gzip.compress, zstd.compress))
    return mutants.torn(chance, pack(body)) if chance.random() < 0.2 else pack(body)


def _header(chance: Random) -> tuple[bytes, bytes]:
    name = chance.choice(_HEADERS)
    return name, chance.choice((*_VALUES, odd.text(chance).encode(errors="surrogatepass")[:5000]))


_HEADERS = (
    b"idempotency-key",
    b"content-type",
    b"content-encoding",
    b"content-length",
    b"transfer-encoding",
    b"accept",
    b"accept-language",
    b"x-api-key",
    b"expect",
    b"host",
    b"cookie",
    b"x-forwarded-for",
    b"range",
)
_VALUES = (
    b"",
    b" ",
    b"gzip",
    b"zstd",
    b"gzip, gzip",
    b"br",
    b"identity",
    b"application/json; charset=windows-1251",
    b"application/x-ndjson;;;=",
    b"application/avro",
    b"text/csv",
    b"multipart/form-data; boundary=x",
    b"application/json\x00",
    b"-1",
    b"99999999999999999999",
    b"\xff\xfe",
    b"k" * 9000,
    b"ru-RU, be;q=nan, en;q=1e999, *;q=-1",
    b",;q=,;;" * 900,
    b"bytes=0-1",
)
_PATHS = (
    "/v1/events/",
    "/v1/events/no.such",
    "/v1/events/\u0130\x00",
    "/v1/events/border.crossing/..",
    "/v1/contracts",
    "/v1/contracts/border.crossing/1",
    "/v1/contracts/border.crossing/99999999999999999999",
    "/v1/contracts/border.crossing/\u0661",
    "/v1/errors",
    "/v1/errors/not-json",
    "/v1/errors/\ufdd0",
    "/ready",
    "/openapi.json",
    "//",
)


class Letters:
    """The Kafka door, and what may lie on agencies' topics; each message has one verdict."""

    def __init__(self) -> None:
        """It reads one topic of each family."""
        self.inbox = CountingInbox()
        self.kafka = Kafka()
        self.topics = {f"migex.agency.{SENDER[name]}.{name}.v1": (SENDER[name], name) for name in FAMILIES}
        verdicts = {agency: f"migex.agency.{agency}.verdicts.v1" for agency, _ in self.topics.values()}
        telemetry = DoorTelemetry(CollectorRegistry(), "kafka", verdicts)
        consumer, producer = cast("Any", Consumer(self.kafka, "door")), cast("Any", Producer(self.kafka))
        self.routes = Routes(self.topics, verdicts)
        edges = Edges(consumer, producer, self.inbox, ADMISSION, telemetry, lambda: NOW / 1000)
        self.door = KafkaDoor(edges, self.routes)

    async def messages(self, chance: Random) -> int:
        """Let a few messages lie on a topic, and hold the verdicts against them."""
        topic, (agency, family) = chance.choice(list(self.topics.items()))
        values = [avro_bytes.message(chance, family) for _ in range(chance.choice((1, 5, 20)))]
        place = TopicPartition(topic, 0)
        before, told = len(self.inbox.entries), len(self.kafka.log(self.routes.verdicts[agency], 0))
        records = [Record(topic, 0, before + nth, 0, value) for nth, value in enumerate(values)]
        await self.door.answer(cast("Any", {place: records}))
        said = self.kafka.log(self.routes.verdicts[agency], 0)[told:]
        verdicts = [orjson.loads(each) for each in said]
        assert [each["source"]["offset"] for each in verdicts] == [each.offset for each in records]
        checks.balanced(verdicts, self.inbox.entries[before:])
        checks.unmarked(b"".join(said), verdicts)
        return len(values)


class Registry:
    """The schema registry, with a sandbox and without, and what may be asked of it."""

    def __init__(self) -> None:
        """Its sandbox lies in memory, and is full soon."""
        sandbox = Sandbox(Path(":memory:"), most=50)
        self.apps = [create_app(CONVENTION, CollectorRegistry(), each) for each in (None, sandbox)]

    async def schemas(self, chance: Random) -> int:
        """Send a schema, or what might be one."""
        subject = chance.choice((*_SUBJECTS, "s-value", odd.text(chance, "s")))
        avsc = avro_bytes.schema(chance, FAMILIES[chance.choice(list(FAMILIES))].avsc)
        text = odd.written(chance, avsc).decode(errors="replace")
        asked: Any = {"schema": text} if chance.random() < 0.9 else {"schema": avsc, "schemaType": odd.value(chance)}
        body = json.dumps(asked).encode()
        if chance.random() < 0.1:
            body = mutants.torn(chance, body)
        place = chance.choice(("/subjects/{}/versions", "/subjects/{}", "/compatibility/subjects/{}/versions/1"))
        path = f"{place.format(subject)}?verbose=true"
        reply = await ask(chance.choice(self.apps), "POST", path, [(b"content-type", b"application/json")], [body])
        assert reply.status < 500, reply.body
        assert reply.status == 307 or isinstance(orjson.loads(reply.body), dict)  # a slash too many is led elsewhere
        return 1


_SUBJECTS = tuple(f"migex.agency.{SENDER[name]}.{name}.v1-value" for name in FAMILIES)

Surface = Callable[[Random], Coroutine[Any, Any, int]]


def surfaces() -> Mapping[str, Surface]:
    """Return the surfaces by name: each sends an input made by chance, checks the answer, and says how many it held."""
    gateway, letters, registry, files, questions = Gateway(), Letters(), Registry(), Files(), Questions()
    return {
        "json": gateway.json,
        "ndjson": gateway.ndjson,
        "avro": gateway.avro,
        "requests": gateway.requests,
        "kafka": letters.messages,
        "schemas": registry.schemas,
        "csv": files.csv,
        "xlsx": files.xlsx,
        "jsonl": files.jsonl,
        "preflight": questions.preflight,
        "records": questions.records,
        "receipts": questions.receipts,
    }
