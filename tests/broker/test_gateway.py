"""Sending again: the gateway is killed or cut off within a batch, and nothing is lost or doubled by trying again."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import orjson
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from ops import secrets, topics
from ops.access import access
from ops.broker import Broker
from ops.settings import Broker as BrokerSettings
from ops.settings import Settings, with_free_ports
from schemas.conventions import load
from schemas.frame import decode
from schemas.header import Header, Kind, unpack
from streams.crash_points import CrashPoint
from streams.topics import Topics
from tests.connectors.events import line

pytestmark = [pytest.mark.broker, pytest.mark.timeout(200)]

EVENTS = 300
PATH = "/v1/events/border.crossing"


class Gateway:
    """A gateway in a process of its own, on a Kafka of its own."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._key = secrets.api_key(settings.secrets, "gpk")
        self.topic = Topics.of(1, load(settings.convention))["inbox"]

    def start(self, crash: tuple[CrashPoint, int] | None = None) -> None:
        """Start it and wait until it answers; `crash`: the nth time that it reaches this point it kills itself."""
        if crash is not None:
            armed = self.settings.home / "run" / "crash-at-gateway"
            armed.parent.mkdir(exist_ok=True)
            armed.write_text(f"{crash[0]}:{crash[1]}")
        with (self.settings.home / "gateway.log").open("ab") as log:
            argv = [sys.executable, "-m", "ops.cli", "gateway"]
            self._process = subprocess.Popen(argv, env=self.settings.inherited(), stdout=log, stderr=log)
        end = time.monotonic() + 60
        while not self.ready():
            assert self._process.poll() is None, (self.settings.home / "gateway.log").read_text()
            assert time.monotonic() < end
            time.sleep(0.1)

    def ready(self) -> bool:
        try:
            return httpx.get(f"{self.settings.gateway_url}/ready").status_code == 200
        except httpx.TransportError:
            return False

    def wait(self) -> int:
        """Wait for its end; return how it ended."""
        assert self._process is not None
        return self._process.wait(60)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(60)

    def post(self, body: bytes, key: str | None) -> httpx.Response:
        return httpx.post(f"{self.settings.gateway_url}{PATH}", content=body, headers=self.headers(key), timeout=60)

    def headers(self, key: str | None) -> dict[str, str]:
        named = {} if key is None else {"Idempotency-Key": key}
        return {"X-API-Key": self._key, "Content-Type": "application/x-ndjson", **named}

    def cut(self, body: bytes, key: str, sent: int) -> None:
        """Send so many bytes of the body, and close the connection without listening."""
        head = [f"POST {PATH} HTTP/1.1", "Host: gateway", f"Content-Length: {len(body)}"]
        head += [f"{name}: {value}" for name, value in self.headers(key).items()]
        with socket.create_connection((self.settings.gateway.host, self.settings.gateway.port)) as line:
            line.sendall("\r\n".join([*head, "", ""]).encode() + body[:sent])

    def kept(self) -> list[Header]:
        """Return all that the inbox holds."""
        return asyncio.run(self._kept())

    async def _kept(self) -> list[Header]:
        found: list[Header] = []
        places = [TopicPartition(self.topic.name, n) for n in range(self.topic.partitions)]
        async with AIOKafkaConsumer(bootstrap_servers=self.settings.broker.bootstrap) as consumer:
            consumer.assign(places)
            await consumer.seek_to_beginning(*places)
            for place, end in (await consumer.end_offsets(places)).items():
                while await consumer.position(place) < end:
                    for message in (await consumer.getmany(place, timeout_ms=1000)).get(place, []):
                        found += unpack(decode(message.value).headers)
        return found


class OnKafka(NamedTuple):
    """A Kafka and the settings of a system that uses it."""

    broker: Broker
    settings: Settings


@pytest.fixture(scope="module")
def on_kafka(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnKafka]:
    """Settings of a system with a Kafka of its own (`broker` is asked for its check of Java and Maven)."""
    home = tmp_path_factory.mktemp("gateway")
    with Broker(home / "kafka") as own:
        settings = with_free_ports(home / "home", rehearsal=True)
        settings = settings.model_copy(update={"broker": BrokerSettings(bootstrap=own.bootstrap)})
        convention = load(settings.convention)
        secrets.make(settings.secrets, convention.agencies)
        asyncio.run(topics.apply(access(settings), Topics.of(1, convention)))
        yield OnKafka(own, settings)


@pytest.fixture
def gateway(on_kafka: OnKafka) -> Iterator[Gateway]:
    made = Gateway(on_kafka.settings)
    yield made
    made.stop()


def batch(name: str) -> bytes:
    lines = [line(header__record_no=f"{name}-{n}") for n in range(EVENTS)]
    lines[7] = line(header__record_no=f"{name}-7", event__checkpoint="NOWHERE")
    return b"\n".join(lines)


def since(before: list[Header], now: list[Header]) -> Counter[int]:
    """Count what came, each delivery once, as deduplicate does."""
    known = {header.delivery for header in before}
    return Counter(kind for _, kind in {(h.delivery, h.kind) for h in now if h.delivery not in known})


ONCE = Counter[int]({Kind.EVENT: EVENTS - 1, Kind.REFUSED: 1})


def receipts(response: httpx.Response) -> list[Any]:
    assert response.status_code == 200, response.text
    told: dict[str, Any] = orjson.loads(response.content)
    assert told["summary"] == {"accepted": EVENTS - 1, "refused": 1, "codes": {"not-in-codelist": 1}}
    return [(each["receipt"], each["delivery"], each["answer"], each["record_no"]) for each in told["verdicts"]]


@pytest.mark.parametrize(
    ("point", "nth"),
    [
        (CrashPoint.FRAME_BEFORE_SEND, 3),  # between two of a batch's frames
        pytest.param(CrashPoint.FRAME_BEFORE_SEND, 1, marks=pytest.mark.long),
        pytest.param(CrashPoint.FRAME_AFTER_SEND, 2, marks=pytest.mark.long),
    ],
)
def test_a_batch_is_sent_again_after_a_kill(gateway: Gateway, point: CrashPoint, nth: int) -> None:
    name = f"killed-{point}-{nth}"
    gateway.start((point, nth))
    before = gateway.kept()
    with pytest.raises(httpx.TransportError):
        gateway.post(batch(name), name)
    assert gateway.wait() == -signal.SIGKILL
    gateway.start()
    first = receipts(gateway.post(batch(name), name))
    assert receipts(gateway.post(batch(name), name)) == first
    assert since(before, gateway.kept()) == ONCE


def test_without_a_key_a_batch_that_is_sent_again_says_nothing_new(gateway: Gateway) -> None:
    gateway.start((CrashPoint.FRAME_BEFORE_SEND, 3))
    before = {header.delivery for header in gateway.kept()}
    body = batch("unnamed")
    with pytest.raises(httpx.TransportError):
        gateway.post(body, None)
    assert gateway.wait() == -signal.SIGKILL
    gateway.start()
    first, again = receipts(gateway.post(body, None)), receipts(gateway.post(body, None))
    assert [(receipt, answer, number) for receipt, _, answer, number in first] == [
        (receipt, answer, number) for receipt, _, answer, number in again
    ]
    came = [h for h in gateway.kept() if h.delivery not in before and h.kind == Kind.EVENT]
    contents = Counter((h.record, h.revision, h.digest) for h in came)
    assert len(contents) == EVENTS - 1, "a record has one content, however often it comes"
    assert set(contents.values()) <= {2, 3}, "what was kept before the kill may be there once more"


def test_a_batch_is_sent_again_after_the_connection_was_cut(gateway: Gateway) -> None:
    gateway.start()
    before = gateway.kept()
    body = batch("cut")
    gateway.cut(body, "cut", len(body) // 2)
    assert httpx.get(f"{gateway.settings.gateway_url}/health").status_code == 200
    assert since(before, gateway.kept()) == Counter(), "half a body is none"
    gateway.cut(body, "cut", len(body))  # all of it came, and nobody hears the answer
    first = receipts(gateway.post(body, "cut"))
    assert receipts(gateway.post(body, "cut")) == first
    assert since(before, gateway.kept()) == ONCE


@pytest.mark.long
def test_while_kafka_is_away_nothing_is_said_to_be_accepted(gateway: Gateway, on_kafka: OnKafka) -> None:
    gateway.start()
    before = gateway.kept()
    node = on_kafka.broker.status()[0].pid
    assert node is not None
    os.kill(node, signal.SIGSTOP)
    try:
        away = gateway.post(batch("away"), "away")
        unready = httpx.get(f"{gateway.settings.gateway_url}/ready", timeout=30)
        alive = httpx.get(f"{gateway.settings.gateway_url}/health")
    finally:
        os.kill(node, signal.SIGCONT)
    assert [each.status_code for each in (away, unready, alive)] == [503, 503, 200]
    assert int(away.headers["retry-after"]) > 0
    assert "verdicts" not in away.json()
    if not gateway.ready():  # its producer was lost, and it ended: the supervisor would start it again
        gateway.stop()
        gateway.start()
    first = receipts(gateway.post(batch("away"), "away"))
    assert receipts(gateway.post(batch("away"), "away")) == first
    assert since(before, gateway.kept()) == ONCE
