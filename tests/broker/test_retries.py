"""Senders that try again by themselves: connections are cut, the gateway is killed, and every event counts once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest

from migex import Client
from ops.chaos.proxy import Proxy
from ops.ports import free_block
from ops.publish_http import Target, publish_http
from ops.settings import Outbox
from schemas.header import Kind
from tests.broker.doors import Gateway, since
from tests.connectors.events import event
from tests.connectors.outboxes import CROSSING, Home, start
from tests.waiting import until

pytestmark = [pytest.mark.broker, pytest.mark.timeout(600)]

Receipts = list[str | None]
SEED = 4


class Disturbed(threading.Thread):
    """A way to the gateway on which all connections are cut again and again, at moments by chance."""

    def __init__(self, behind: int, longest_secs: float) -> None:
        """`longest_secs` lie between two cuts at most."""
        super().__init__()
        self.port = free_block(1)
        self.cut = 0
        """How many connections were cut."""
        self._behind, self._longest_secs = behind, longest_secs
        self._listens, self._stopped = threading.Event(), threading.Event()

    def __enter__(self) -> str:
        self.start()
        assert self._listens.wait(20)
        return f"http://127.0.0.1:{self.port}"

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self.join()

    def run(self) -> None:
        asyncio.run(self._disturb(Random(SEED)))

    async def _disturb(self, chance: Random) -> None:
        async with Proxy(self.port, self._behind) as proxy:
            self._listens.set()
            while not self._stopped.is_set():
                await asyncio.sleep(chance.uniform(0.02, self._longest_secs))
                self.cut += proxy.connections
                await proxy.cut(1.0, 0.02, chance)


def reports(name: str, count: int) -> list[dict[str, Any]]:
    """Return so many events, each tenth of which names a checkpoint that there is not."""
    wrong = {"event__checkpoint": "NOWHERE"}
    return [event(header__record_no=f"{name}-{n}", **(wrong if n % 10 == 9 else {})) for n in range(count)]


def by_client(gateway: Gateway, url: str, events: list[dict[str, Any]], _: Path) -> Receipts:
    """Send by the Python client."""
    with Client(url, gateway.key, batch=50) as client:
        return [verdict.receipt for verdict in client.publish(CROSSING, events)]


def by_command(gateway: Gateway, url: str, events: list[dict[str, Any]], _: Path) -> Receipts:
    """Send as `migex publish` does; it tells no receipts."""
    target = Target(url, CROSSING, gateway.key)
    tally = asyncio.run(publish_http(map(orjson.dumps, events), target, batch=50))
    assert tally.accepted + tally.refused == len(events)
    return []


def by_outbox(gateway: Gateway, url: str, events: list[dict[str, Any]], directory: Path) -> Receipts:
    """Write into an outbox, whose poller is a process."""
    home = Home(f"sqlite:///{directory}/agency.db")
    key = gateway.settings.secrets / "api-keys" / "gpk.key"
    own = Outbox(database=home.url, gateway=url, key_file=str(key), idle_secs=0.2)
    with closing(home.database):
        home.insert(*events)
        poller = start(gateway.settings.model_copy(update={"outbox": own}))
        try:
            until(lambda: None not in home.answers(), 300)
        finally:
            poller.terminate()
            poller.wait(60)
        return [row["verdict"]["receipt"] for row in home.rows()]


def in_one_go(gateway: Gateway, events: list[dict[str, Any]], key: str) -> Receipts:
    """Send the same once more, undisturbed, as one batch."""
    answer = gateway.post(b"\n".join(map(orjson.dumps, events)), key)
    assert answer.status_code == 200, answer.text
    return [verdict["receipt"] for verdict in answer.json()["verdicts"]]


def once(count: int) -> Counter[int]:
    return Counter({Kind.EVENT: count - count // 10, Kind.REFUSED: count // 10})


def test_what_a_cut_connection_lost_is_sent_again_and_counts_once(gateway: Gateway, tmp_path: Path) -> None:
    gateway.start()
    before, events = gateway.kept(), reports("cut", 600)
    way = Disturbed(gateway.settings.gateway.port, 0.2)
    with way as url:
        told = by_client(gateway, url, events, tmp_path)
    assert since(before, gateway.kept()) == once(600)
    assert told == in_one_go(gateway, events, "in-one-go")
    assert way.cut > 0


@pytest.mark.long
def test_all_senders_at_once_while_the_gateway_is_killed_too(gateway: Gateway, tmp_path: Path) -> None:
    senders: list[Callable[..., Receipts]] = [by_client, by_command, by_outbox]
    gateway.start()
    before, chance = gateway.kept(), Random(SEED)
    sent = [reports(sender.__name__, 4000) for sender in senders]
    way, kills = Disturbed(gateway.settings.gateway.port, 4.0), 0
    with way as url, ThreadPoolExecutor(len(senders)) as working:
        told = [
            working.submit(sender, gateway, url, events, tmp_path) for sender, events in zip(senders, sent, strict=True)
        ]
        while not all(each.done() for each in told) and kills < 5:
            time.sleep(chance.uniform(0.2, 6))
            gateway.kill()
            kills += 1
            gateway.start()
        receipts = [each.result() for each in told]
    after = gateway.kept()
    print(f"{kills} kills, {way.cut} connections cut; {len(after) - len(before)} entries for {3 * 4000} events")
    assert since(before, after) == once(3 * 4000)
    for events, found in zip(sent, receipts, strict=True):
        assert found in ([], in_one_go(gateway, events, events[0]["header"]["record_no"]))
    assert min(way.cut, kills) > 0
