"""Sending again: the gateway is killed or cut off within a batch, and nothing is lost or doubled by trying again."""

from __future__ import annotations

import os
import signal
from collections import Counter
from typing import Any

import httpx
import orjson
import pytest

from schemas.header import Kind
from streams.crash_points import CrashPoint
from tests.broker.doors import Gateway, OnKafka, since
from tests.connectors.events import line

pytestmark = [pytest.mark.broker, pytest.mark.timeout(200)]

EVENTS = 300


def batch(name: str) -> bytes:
    lines = [line(header__record_no=f"{name}-{n}") for n in range(EVENTS)]
    lines[7] = line(header__record_no=f"{name}-7", event__checkpoint="NOWHERE")
    return b"\n".join(lines)


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
def test_while_kafka_is_away_nothing_is_said_to_be_accepted(gateway: Gateway, place: OnKafka) -> None:
    gateway.start()
    before = gateway.kept()
    node = place.broker.status()[0].pid
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
