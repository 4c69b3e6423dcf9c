"""The outbox: each row is answered once, late commits too, whatever dies or is away; on both databases."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import text

from connectors.outbox.database import DIALECTS, Database
from connectors.outbox.delivery import Gateway
from connectors.outbox.poller import Edges, Pace, Poller
from connectors.outbox.table import Gap, OutboxTable, Standing
from ops import outbox
from ops.settings import Outbox, Settings
from schemas.errors import Misconfigured, Unavailable
from streams.crash_points import CrashPoint, Reach, never
from streams.telemetry import OutboxTelemetry
from tests.clients.served import served
from tests.connectors.events import NOW, event
from tests.connectors.feed_databases import new_database
from tests.connectors.outboxes import CROSSING, DEFECT, Door, Home, crossing, insert, key_file, start
from tests.house import tree
from tests.waiting import until

POINTS = [point for point in CrashPoint if point.startswith("outbox-")]


@pytest.fixture(params=DIALECTS)
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Home]:
    url = f"sqlite:///{tmp_path}/agency.db"
    if request.param == "postgresql":
        url = new_database(request.getfixturevalue("postgres"))
    made = Home(url)
    with closing(made.database):
        yield made


@pytest.fixture(scope="module")
def street() -> Iterator[tuple[Door, str]]:
    door = Door()
    with served(door) as address:  # type: ignore[arg-type]  # any app
        yield door, address


@pytest.fixture
def door(street: tuple[Door, str]) -> Door:
    """The door as if nobody had come yet."""
    made, _ = street
    made.inbox.entries.clear()
    made.statuses, made.loses, made.keys, made.defect = [], [], [], True
    made.clock = NOW / 1000
    return made


@pytest.fixture
def work(home: Home, door: Door, street: tuple[Door, str]) -> Iterator[Callable[..., Poller]]:
    """Makes pollers of the home's outbox."""
    with httpx.Client(base_url=street[1], timeout=10) as client:

        def poller(reach: Reach = never, **pace: Any) -> Poller:
            table = OutboxTable(home.database, reach)
            gateway = Gateway(client, lambda: "key")
            telemetry = OutboxTelemetry(CollectorRegistry())
            return Poller(Edges(table, gateway, telemetry, lambda: home.now, lambda: 1.0), Pace(**pace))

        yield poller


def until_idle(poller: Poller) -> list[float]:
    """Let it work until nothing is left, and return how long it would have waited."""
    waits = []
    while (wait := poller.step()) is not None:
        waits.append(wait)
        assert len(waits) < 300
    return [wait for wait in waits if wait]


def standing(home: Home) -> Standing:
    return OutboxTable(home.database).standing(home.now, totals=True)


def test_each_row_gets_its_own_verdict(home: Home, door: Door, work: Callable[..., Poller]) -> None:
    home.insert(crossing("A-1"), event(header__record_no="A-2", event__mode="ROCKET"), crossing("A-3"), "[]")
    home.insert({"x": 1}, family="no.such")
    home.insert({"x": 1}, {"y": 1}, family="permit.decision")  # which this agency may not report
    assert until_idle(work()) == []
    rows = home.rows()
    assert [row["answer"] for row in rows] == ["accepted", "refused", "accepted", *["refused"] * 4]
    assert rows[0]["verdict"]["receipt"]
    assert rows[1]["verdict"]["errors"][0]["field"] == "event.mode"
    assert [row["verdict"]["errors"][0]["code"] for row in rows[4:]] == ["unknown-family", *["not-entitled"] * 2]
    assert door.records() == [("A-1", 1), ("A-3", 1)]
    found = standing(home)
    assert (found.waiting, found.claimed, found.accepted, found.refused, found.error) == (0, 0, 2, 5, None)


def test_what_is_no_json_harms_nobody(door: Door, work: Callable[..., Poller], home: Home) -> None:
    if home.database.dialect != "sqlite":
        pytest.skip("PostgreSQL's jsonb takes nothing else than JSON")
    home.insert(crossing("B-1"), "no json", "", " \n ", "\x00", crossing("B-2"))
    with home.writing() as connection:
        connection.execute(text("INSERT INTO migex_outbox (family, event) VALUES (:f, x'fffe7b')"), {"f": CROSSING})
    until_idle(work())
    assert home.answers() == ["accepted", *["refused"] * 4, "accepted", "refused"]


@pytest.mark.parametrize(
    "family", ["", "/", "a/b", "..", ".", "?x=1#", "%2F", "\u044f" * 5000, "a\nb", "border.crossing/"]
)
def test_a_family_that_is_no_name_stops_nobody(
    home: Home, door: Door, work: Callable[..., Poller], family: str
) -> None:
    home.insert({"x": 1}, family=family)
    home.insert(crossing("F-1"))
    assert until_idle(work()) == []
    refused, accepted = home.rows()
    assert (refused["answer"], accepted["answer"]) == ("refused", "accepted")
    assert refused["verdict"]["errors"][0]["code"] == "unknown-family"


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("deaths", [{1}, {2}, {1, 2}, {2, 3}])
def test_it_dies_anywhere_and_each_row_counts_once(
    home: Home, door: Door, work: Callable[..., Poller], point: CrashPoint, deaths: set[int]
) -> None:
    home.insert(*(crossing(f"C-{n}") for n in range(6)))
    reached = 0

    def reach(here: CrashPoint) -> None:
        nonlocal reached
        reached += here == point
        if here == point and reached in deaths:
            raise _Crash

    for _ in deaths:
        with pytest.raises(_Crash):
            until_idle(work(reach, rows=2))
    home.insert(crossing("C-6"))
    until_idle(work(rows=2))
    assert door.records() == [(f"C-{n}", 1) for n in range(7)]
    assert set(home.answers()) == {"accepted"}


class _Crash(Exception):
    """The process dies."""


def test_a_lost_answer_is_asked_for_again_under_the_same_key(
    home: Home, door: Door, work: Callable[..., Poller]
) -> None:
    home.insert(*(crossing(f"D-{n}") for n in range(3)))
    door.loses, door.statuses = [True], []
    assert len(until_idle(work())) == 1
    assert len(door.keys) == 2
    assert len(set(door.keys)) == 1
    assert len(door.inbox.entries) == 6  # kept twice, under the same delivery ids
    assert door.records() == [(f"D-{n}", 1) for n in range(3)]


def test_while_the_gateway_is_away_the_same_request_waits(home: Home, door: Door, work: Callable[..., Poller]) -> None:
    home.insert(crossing("E-1"))
    door.statuses = [503, 502, 429, 401, 404]  # no gateway says 404 like that: a proxy did
    poller = work(first_wait_secs=1, longest_wait_secs=3)
    assert poller.step() == 7.0  # as Retry-After asks
    found = standing(home)
    assert (found.claimed, found.waiting) == (1, 0)
    assert found.error is not None
    assert "503" in found.error
    assert until_idle(poller) == [2.0, 3.0, 3.0, 3.0]
    assert len(set(door.keys)) == 1
    assert (home.answers(), standing(home).error) == (["accepted"], None)


def test_a_row_on_which_the_gateway_fails_stops_its_own_record_only(
    home: Home, door: Door, work: Callable[..., Poller]
) -> None:
    poison = crossing(DEFECT)
    home.insert(*(crossing(f"G-{n}") for n in range(5)), poison, *(crossing(f"H-{n}") for n in range(5)))
    home.insert(crossing(DEFECT, 2), crossing("I-1"))
    poller = work(aside_secs=100)
    until_idle(poller)
    assert [row["seq"] for row in home.rows() if row["answer"] is None] == [6, 12]
    assert standing(home).aside == 1
    door.defect = False
    assert poller.step() is None
    home.now += timedelta(seconds=101)
    until_idle(poller)
    assert set(home.answers()) == {"accepted"}
    assert [record for record in door.records() if record[0] == DEFECT] == [(DEFECT, 1), (DEFECT, 2)]


def test_a_body_that_is_too_large_is_one_rows_matter(home: Home, door: Door, work: Callable[..., Poller]) -> None:
    huge = crossing("J-2")
    huge["event"]["remark"] = "x" * (9 << 20)
    home.insert(crossing("J-1"), huge, crossing("J-3"))
    until_idle(work(bytes=20 << 20))
    rows = home.rows()
    assert [row["answer"] for row in rows] == ["accepted", "refused", "accepted"]
    assert rows[1]["verdict"]["errors"][0]["code"] == "too-large"


def test_many_write_at_once_and_each_record_keeps_its_order(
    home: Home, door: Door, work: Callable[..., Poller]
) -> None:
    made = [[crossing(f"K-{writer}-{n % 5}", 1 + n // 5) for n in range(40)] for writer in range(3)]
    poller, done = work(rows=7), threading.Event()

    def write(events: list[dict[str, Any]]) -> None:
        for each in events:
            home.insert(each)

    def bring() -> None:
        while not done.is_set():
            if poller.step() is None:
                time.sleep(0.01)

    working = threading.Thread(target=bring)
    working.start()
    writers = [threading.Thread(target=write, args=(events,)) for events in made]
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    done.set()
    working.join()
    until_idle(poller)
    assert home.answers() == ["accepted"] * 120
    records = door.records()
    assert len(records) == 120
    for writer in range(3):
        for n in range(5):
            own = [revision for number, revision in records if number == f"K-{writer}-{n}"]
            assert own == list(range(1, 9))


def test_what_commits_late_is_sent_and_what_never_comes_is_shown(
    home: Home, door: Door, work: Callable[..., Poller]
) -> None:
    if home.database.dialect != "postgresql":
        pytest.skip("SQLite has one writer at a time: nothing commits late, and numbers are taken back")
    poller = work()
    with home.database.engine.connect() as slow, home.database.engine.connect() as idle:
        insert(slow, crossing("L-1"))  # it has its number, and takes its time
        home.insert(crossing("L-2"))
        until_idle(poller)
        assert door.records() == [("L-2", 1)]
        assert (standing(home).missing_open, standing(home).missing_void) == (1, 0)
        assert standing(home).gaps == [Gap(1, 1, 1, "open")]
        slow.commit()
        until_idle(poller)
        assert door.records() == [("L-2", 1), ("L-1", 1)]
        found = standing(home)
        assert (found.missing_open, found.missing_void, found.late) == (0, 0, 1)
        idle.execute(text("SELECT pg_current_xact_id()"))  # somebody is at work all the time
        insert(slow, crossing("L-3"))
        home.insert(crossing("L-4"))
        until_idle(poller)
        slow.rollback()
        assert (standing(home).missing_open, standing(home).missing_void) == (1, 0)
        idle.commit()
    assert (standing(home).missing_open, standing(home).missing_void) == (0, 1)
    assert standing(home).gaps == [Gap(3, 3, 1, "void")]
    assert door.records() == [("L-2", 1), ("L-1", 1), ("L-4", 1)]


def test_rows_that_were_deleted_unsent_are_missed(
    home: Home, work: Callable[..., Poller], capsys: pytest.CaptureFixture[str]
) -> None:
    home.insert(*(crossing(f"M-{n}") for n in range(5)))
    with home.writing() as connection:
        connection.execute(text("DELETE FROM migex_outbox WHERE seq IN (1, 2, 4)"))
    until_idle(work())
    found = standing(home)
    assert (found.missing_open, found.missing_void) == (0, 3)
    assert found.gaps == [Gap(4, 4, 1, "void"), Gap(1, 2, 2, "void")]
    assert "Numbers are missing in the outbox" in capsys.readouterr().out


def test_rows_that_were_deleted_with_their_verdict_are_not_missed(home: Home, work: Callable[..., Poller]) -> None:
    poller = work(rows=1)
    for number in range(4):
        home.insert(crossing(f"Q-{number}"))
        until_idle(poller)
        with home.writing() as connection:
            connection.execute(text("DELETE FROM migex_outbox WHERE sent_at IS NOT NULL"))
    assert (standing(home).missing_void, standing(home).gaps) == (0, [])


def test_a_notification_wakes_it_and_a_stop_ends_it(home: Home) -> None:
    stop = threading.Event()
    with home.database.bell() as bell:
        threading.Timer(0.3, home.insert, [crossing("N-1")]).start()
        bell.wait(60, stop)
        assert home.answers() == [None]  # it came, and was not waited out
        threading.Timer(0.3, stop.set).start()
        bell.wait(60, stop)
    assert stop.is_set()


def test_two_pollers_never_work_at_once(home: Home) -> None:
    stop = threading.Event()
    with closing(Database(home.url)) as other:
        with home.database.alone(stop) as first:
            assert first
            threading.Timer(0.3, stop.set).start()
            with other.alone(stop) as second:
                assert not second
        with other.alone(threading.Event()) as second:
            assert second


def test_a_killed_poller_comes_back_and_nothing_is_lost_or_double(
    home: Home, door: Door, street: tuple[Door, str], tmp_path: Path
) -> None:
    own = Outbox(database=home.url, gateway=street[1], key_file=key_file(tmp_path), idle_secs=0.2)
    settings = Settings(home=tmp_path, outbox=own)
    home.insert(*(crossing(f"P-{n}") for n in range(1500)))
    killed = start(settings)
    until(lambda: len(door.inbox.entries) > 500)
    killed.kill()
    killed.wait()
    assert None in home.answers(), "it was through before it was killed"
    again = start(settings)
    until(lambda: None not in home.answers())
    assert outbox.status(settings)["accepted"] == 1500
    again.send_signal(signal.SIGTERM)
    assert again.wait(20) == 0
    assert sorted(door.records()) == sorted((f"P-{n}", 1) for n in range(1500))


@pytest.mark.parametrize("home", ["postgresql"], indirect=True)
def test_a_database_that_goes_away_is_waited_for(
    home: Home, postgres: str, door: Door, street: tuple[Door, str], tmp_path: Path
) -> None:
    own = Outbox(database=home.url, gateway=street[1], key_file=key_file(tmp_path), idle_secs=0.2)
    settings = Settings(home=tmp_path, outbox=own)
    running, name = start(settings), home.database.engine.url.database
    home.insert(crossing("R-1"))
    until(lambda: home.answers() == ["accepted"])
    home.database.close()
    with psycopg.connect(postgres, autocommit=True) as server:
        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        server.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        until(lambda: "outbox-away" in (tmp_path / "outbox.log").read_text())
        assert running.poll() is None
        assert "outbox-away" in outbox.line(settings)
        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    home.insert(crossing("R-2"))
    until(lambda: home.answers() == ["accepted"] * 2)
    running.send_signal(signal.SIGTERM)
    assert running.wait(20) == 0
    assert outbox.line(settings) == "outbox: 0 rows wait; 0 were refused"
    assert door.records() == [("R-1", 1), ("R-2", 1)]


def test_the_examples_report_what_their_registers_do(home: Home, door: Door, work: Callable[..., Poller]) -> None:
    home.script((tree.ROOT / "examples" / "outbox" / f"{home.database.dialect}.sql").read_text())
    door.clock = time.time()  # the registers say when they recorded it
    until_idle(work())
    assert [row["verdict"].get("errors") for row in home.rows()] == [[]] * 4
    told = [(row["verdict"]["record_no"], row["verdict"]["revision"]) for row in home.rows()]
    assert told == [("OUT-1", 1), ("OUT-2", 1), ("OUT-1", 2), ("OUT-2", 2)]


def test_what_is_missing_is_named(home: Home, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="MIGEX_OUTBOX__DATABASE"):
        outbox.status(Settings(home=tmp_path))
    with pytest.raises(Misconfigured, match="MIGEX_OUTBOX__DATABASE"):
        Database("mysql://x/y")
    with home.writing() as connection:
        connection.execute(text("DROP TABLE migex_outbox_poller"))
    with pytest.raises(Misconfigured, match="migex outbox sql"):
        standing(home)
    away = Database("postgresql://127.0.0.1:1/none?connect_timeout=2")
    with closing(away), pytest.raises(Unavailable, match="does not answer"):
        OutboxTable(away).claimed()
