"""The poller is killed again and again while an application goes on writing: each row has one verdict in the end."""

from __future__ import annotations

import json
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.outbox.database import DIALECTS
from ops import outbox
from ops.settings import Outbox, Settings
from schemas.header import Kind
from streams.crash_points import CrashPoint
from tests.clients.served import served
from tests.connectors.feed_databases import new_database
from tests.connectors.outboxes import CROSSING, Door, Home, crossing, key_file, start
from tests.waiting import until

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

SEED = 20
KILLS = 12
"""At moments by chance; besides, the poller dies at each of its crash points, at the first and at the third time."""

POINTS = [(point, nth) for point in CrashPoint if point.startswith("outbox-") for nth in (1, 3)]


class Application(threading.Thread):
    """Writes rows until it is told to stop: some few in each transaction, corrections and mistakes among them."""

    def __init__(self, home: Home, chance: random.Random) -> None:
        super().__init__()
        self.written: list[dict[str, Any]] = []  # in the order of the rows' numbers: nobody else writes
        self.stopped = threading.Event()
        self._home = home
        self._chance = chance

    def run(self) -> None:
        while not self.stopped.wait(self._chance.uniform(0, 0.2)):
            made = [self._next(len(self.written) + n) for n in range(self._chance.randint(1, 20))]
            self._home.insert(*made)
            self.written += made

    def _next(self, number: int) -> dict[str, Any]:
        if number % 7 == 3:
            return crossing(f"K-{number - 3}", 2)  # a correction of one that was right
        if number % 11 == 5:
            return crossing(f"K-{number}") | {"event": {"checkpoint": "NOWHERE"}}
        return crossing(f"K-{number}")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_who_kills_the_poller_while_rows_come_changes_nothing(
    dialect: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/agency.db"
    if dialect == "postgresql":
        url = new_database(request.getfixturevalue("postgres"))
    chance, home, door = random.Random(SEED), Home(url), Door()
    with closing(home.database), served(door) as address:  # type: ignore[arg-type]  # any app
        own = Outbox(database=url, gateway=address, key_file=key_file(tmp_path), idle_secs=0.2)
        settings = Settings(home=tmp_path, outbox=own, rehearsal=True)
        with writing(home, chance) as application:
            for crash in chance.sample([*POINTS, *[None] * KILLS], KILLS + len(POINTS)):
                killed_once(settings, door, chance, crash)
        again = start(settings)
        until(lambda: None not in home.answers(), 120)
        again.send_signal(signal.SIGTERM)
        assert again.wait(20) == 0
        verdicts = [row["verdict"] for row in home.rows()]
        kept = {each.header.delivery.hex(): each.header.kind for each in door.inbox.entries}
        found = outbox.status(settings)
        once = posted(address, application.written)
    told = Counter(verdict["answer"] for verdict in verdicts)
    print(f"{len(verdicts)} rows: {dict(told)}; {len(door.keys)} requests")
    assert len(verdicts) == len(application.written)
    assert min(told["accepted"], told["refused"]) > 0
    assert (found["accepted"], found["refused"], found["waiting"]) == (told["accepted"], told["refused"], 0)
    kinds = {"accepted": Kind.EVENT, "refused": Kind.REFUSED}
    assert kept == {verdict["delivery"]: kinds[verdict["answer"]] for verdict in verdicts}
    assert len(kept) == len(verdicts), "each row is a delivery, and nothing else is"
    assert [each["receipt"] for each in once] == [verdict["receipt"] for verdict in verdicts]


@contextmanager
def writing(home: Home, chance: random.Random) -> Iterator[Application]:
    """Let an application write until the block ends."""
    application = Application(home, random.Random(chance.random()))
    application.start()
    try:
        yield application
    finally:
        application.stopped.set()
        application.join()


def killed_once(settings: Settings, door: Door, chance: random.Random, crash: tuple[CrashPoint, int] | None) -> None:
    """Start a poller, and see it die: at a point, or a moment by chance after it has begun to bring rows."""
    if crash is not None:
        armed = settings.home / "run" / "crash-at-outbox"
        armed.parent.mkdir(exist_ok=True)
        armed.write_text(f"{crash[0]}:{crash[1]}")
    before = len(door.keys)
    poller = start(settings)
    try:
        if crash is None:
            until(lambda: len(door.keys) > before, 180)
            time.sleep(chance.uniform(0, 0.5))
        else:
            assert poller.wait(180) == -signal.SIGKILL
    finally:
        poller.kill()
        poller.wait(60)


def posted(address: str, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Send the same events once more by hand; return their verdicts."""
    found: list[dict[str, Any]] = []
    for begin in range(0, len(events), 500):
        body = "\n".join(map(json.dumps, events[begin : begin + 500]))
        headers = {"X-API-Key": "key", "Content-Type": "application/x-ndjson", "Idempotency-Key": f"by-hand-{begin}"}
        answer = httpx.post(f"{address}/v1/events/{CROSSING}", content=body, headers=headers, timeout=60)
        found += answer.json()["verdicts"]
    return found
