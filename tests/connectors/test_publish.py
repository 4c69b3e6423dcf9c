"""Publish: what senders are told is what the inbox holds, through both doors and with faults on the way."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from connectors.callers import Callers
from connectors.gateway import Edges, Limits, create_app
from connectors.inbox import MemoryInbox
from migex.batches import MOST_BYTES
from ops import publish
from ops.publish import publish_http, publish_kafka
from ops.publish_http import Target
from ops.publish_kafka import Road
from ops.settings import Settings
from schemas.contracts import FAMILIES
from schemas.errors import Misconfigured, Unavailable
from schemas.header import Kind
from streams.kafka import Kafka
from streams.telemetry import DoorTelemetry
from tests.connectors.events import NOW, admission, event, line
from tests.connectors.test_agency_topics import CROSSING, Town

ADMISSION = admission()
TARGET = Target("http://gateway", CROSSING, "key")

LINES = [line(header__record_no=f"A-{n}") for n in range(1203)]
LINES[10:10] = [b"", b"   \n"]
LINES[700] = b"no json"
LINES[701] = line(header__record_no="A-bad", event__mode="ROCKET", person__sex=4)
LINES[702] = b'{"x": "' + b"y" * 70_000 + b'"}'
REFUSED = {"not-json": 1, "not-in-codelist": 2, "too-large": 1}


class Gateway:
    """The real gateway over an inbox in memory, behind a line that fails now and then."""

    def __init__(self, faults: Iterable[str] = (), **limits: Any) -> None:
        self.inbox = MemoryInbox()
        self.faults = iter(faults)
        metrics = CollectorRegistry()
        callers = Callers(lambda: {sha256(b"key").hexdigest(): "gpk"})
        telemetry = DoorTelemetry(metrics, "http", ["gpk"])
        self.app = create_app(
            Edges(ADMISSION, self.inbox, callers, telemetry, limits=Limits(**limits), now=lambda: NOW / 1000)
        )

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=_Line(self))

    def books(self) -> Counter[int]:
        """Count deliveries by kind, transport repeats once, as deduplicate does."""
        return Counter(kind for _, kind in {(e.header.delivery, e.header.kind) for e in self.inbox.entries})


class _Line(httpx.ASGITransport):
    def __init__(self, gateway: Gateway) -> None:
        super().__init__(gateway.app)
        self._gateway = gateway

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        fault = next(self._gateway.faults, "")
        if fault == "refuses":
            raise httpx.ConnectError("no one listens")
        self._gateway.inbox.away = fault == "away"
        response = await super().handle_async_request(request)
        if fault == "cut":
            raise httpx.ReadError("cut off after the gateway took it in")
        return response


async def test_every_line_is_told_and_kept() -> None:
    gateway = Gateway()
    steps: list[int] = []
    tally = await publish_http(LINES, TARGET, client=gateway.client(), advance=steps.append)
    assert (tally.accepted, tally.refused, tally.sent) == (1200, 3, 1203)
    assert dict(tally.codes) == REFUSED
    assert gateway.books() == {Kind.EVENT: 1200, Kind.REFUSED: 3}
    assert sum(steps) == 1203


async def test_faults_of_the_line_count_nothing_twice_and_lose_nothing() -> None:
    gateway = Gateway(["refuses", "away", "cut", "cut", "", "away", "cut"])
    tally = await publish_http(LINES, TARGET, client=gateway.client())
    assert (tally.accepted, tally.refused) == (1200, 3)
    assert gateway.books() == {Kind.EVENT: 1200, Kind.REFUSED: 3}
    assert len(gateway.inbox.entries) > 1203, "some came twice, under the same name"


async def test_a_second_run_is_a_second_delivery() -> None:
    gateway = Gateway()
    for _ in range(2):
        await publish_http([line()], TARGET, client=gateway.client())
    assert gateway.books() == {Kind.EVENT: 2}


async def test_a_line_beyond_the_gateways_body_is_one_refused_delivery() -> None:
    gateway = Gateway(body_bytes=1_000_000)
    tally = await publish_http([line(), b"x" * (MOST_BYTES + 1), line()], TARGET, client=gateway.client())
    assert (tally.accepted, tally.refused, dict(tally.codes)) == (2, 1, {"too-large": 1})
    assert gateway.books() == {Kind.EVENT: 2, Kind.REFUSED: 1}


async def test_a_line_break_within_an_event_does_not_split_it() -> None:
    pretty = json.dumps(event(), indent=1).encode()
    torn = b'{"a":\n1'
    gateway = Gateway()
    tally = await publish_http([pretty, torn], TARGET, client=gateway.client())
    assert (tally.accepted, tally.refused) == (1, 1)


async def test_what_would_fail_for_ever_is_not_tried_again() -> None:
    for target in (TARGET._replace(api_key="wrong"), TARGET._replace(family="permit.decision")):
        with pytest.raises(Misconfigured, match="answered 40"):
            await publish_http([line()], target, client=Gateway().client())


async def test_patience_ends() -> None:
    for fault in ("refuses", "away"):
        with pytest.raises(Unavailable):
            await publish_http([line()], TARGET, client=Gateway([fault] * 1000).client(), patience_secs=0.5)


def test_files_hold_lines_or_one_json_text(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"n":1}\n\nnot json\r\n{"n":2}')
    (tmp_path / "b.jsonl").write_bytes(b'  [{"n": 3},\n {"n": 4}]')
    (tmp_path / "c.json").write_bytes(b'{\n "n": 5\n}')
    files = [tmp_path / name for name in ("a.jsonl", "b.jsonl", "c.json")]
    assert [each.strip() for each in publish.events(files)] == [
        b'{"n":1}', b"not json", b'{"n":2}', b'{"n":3}', b'{"n":4}', b'{"n":5}',
    ]  # fmt: skip
    for name, text in (("d.json", b"{"), ("e.jsonl", b"[1,")):
        (tmp_path / name).write_bytes(text)
        with pytest.raises(Misconfigured, match=name):
            list(publish.events([tmp_path / name]))
    with pytest.raises(Misconfigured, match="cannot be read"):
        list(publish.events([tmp_path / "missing"]))


async def test_agency_and_family_are_checked_first(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with pytest.raises(Misconfigured, match="choose one of gpk"):
        await publish.publish([], CROSSING, "nobody", "http", settings)
    with pytest.raises(Misconfigured, match=r"border\.crossing"):
        await publish.publish([], "permit.decision", "gpk", "kafka", settings)


@pytest.mark.broker
async def test_over_kafka_every_line_gets_its_verdict(broker: str) -> None:
    town = Town(broker)
    await town.lay_out()
    await town.send(town.crossings, b"another sender's message")
    road = Road(Kafka(broker), town.crossings, town.routes.verdicts["gpk"], FAMILIES[CROSSING])
    lines = [*LINES, b"z" * 3_000_000]
    async with town.door():
        tally = await publish_kafka(lines, road)
    assert (tally.accepted, tally.refused, tally.unsendable) == (1200, 3, 1)
    assert dict(tally.codes) == {"malformed-avro": 1, "not-in-codelist": 2, "too-large": 1}
    assert Counter(each.header.kind for each in town.inbox.entries) == {Kind.EVENT: 1200, Kind.REFUSED: 4}


@pytest.mark.broker
async def test_over_kafka_a_door_that_starts_late_is_waited_for_and_an_absent_one_is_named(broker: str) -> None:
    town = Town(broker)
    await town.lay_out()
    road = Road(Kafka(broker), town.crossings, town.routes.verdicts["gpk"], FAMILIES[CROSSING])
    with pytest.raises(Unavailable, match="1 events have no verdict"):
        await publish_kafka([line()], road, patience_secs=1)
    sending = asyncio.create_task(publish_kafka([line(header__record_no="B")], road))
    await asyncio.sleep(1)
    async with town.door():
        tally = await sending
    assert (tally.accepted, tally.refused) == (1, 0)
    assert len(town.inbox.entries) == 2
