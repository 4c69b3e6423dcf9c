"""The Python client against the gateway as it is served: verdicts in order, and one delivery through every fault."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

import migex
from connectors.gateway import Limits
from connectors.rows import SUFFIXES
from migex.batches import MOST_BYTES, batches
from migex.checks import FORMS
from schemas.header import Kind
from tests.clients.served import served
from tests.connectors.doors import KEYS, Door
from tests.connectors.events import event, line
from tests.connectors.test_rows import flat, table

CROSSING = "border.crossing"


class Faulty(httpx.HTTPTransport):
    """A line to the gateway that fails now and then."""

    def __init__(self, door: Door, faults: tuple[str, ...]) -> None:
        super().__init__()
        self._door = door
        self._faults = iter(faults)
        self._one = threading.Lock()
        self.sent: list[httpx.Request] = []
        self.asked: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        with self._one:
            self.sent.append(request)
            fault = next(self._faults, "")
            if fault == "refuses":
                raise httpx.ConnectError("no one listens")
            self._door.inbox.away = fault == "away"
            response = super().handle_request(request)
            if fault == "cut":
                raise httpx.ReadError("cut off after the gateway took it in")
            if "Retry-After" in response.headers:
                self.asked.append(response.headers["Retry-After"])
                response.headers["Retry-After"] = "0"
            return response


class Town:
    """A gateway that is served, and clients of it."""

    def __init__(self, url: str, door: Door) -> None:
        self.url = url
        self.door = door

    def client(self, *faults: str, agency: str = "gpk", **options: Any) -> migex.Client:
        self.line = Faulty(self.door, faults)
        return migex.Client(self.url, KEYS.get(agency, "wrong"), http=httpx.Client(transport=self.line), **options)

    def books(self) -> Counter[int]:
        """Count deliveries by kind, transport repeats once, as deduplicate does."""
        return Counter(kind for _, kind in {(e.header.delivery, e.header.kind) for e in self.door.inbox.entries})


@pytest.fixture(scope="module")
def gateway() -> Iterator[tuple[str, Door]]:
    door = Door(Limits(body_bytes=300_000, event_bytes=20_000, events=200))
    with served(door.app) as url:
        yield url, door


@pytest.fixture
def town(gateway: tuple[str, Door]) -> Town:
    url, door = gateway
    door.folded.empty_inbox()
    return Town(url, door)


EVENTS: list[migex.Event] = [event(header__record_no=f"A-{n}") for n in range(350)]
EVENTS[120] = event(header__record_no="A-120", event__mode="ROCKET", person__sex=4)
EVENTS[121] = b"no json"
EVENTS[122] = json.dumps(event(header__record_no="A-122"), indent=1).encode()
EVENTS[123] = b'{"a":\n1'


def test_every_event_has_its_verdict_in_order(town: Town) -> None:
    with town.client(batch=100) as client:
        told = list(client.publish(CROSSING, EVENTS))
    assert [each.event for each in told] == EVENTS
    assert [n for n, each in enumerate(told) if not each.accepted] == [120, 121, 123]
    assert [each.record_no for each in told[:3]] == ["A-0", "A-1", "A-2"]
    assert all(each.receipt for each in told if each.accepted)
    assert town.books() == {Kind.EVENT: 347, Kind.REFUSED: 3}
    assert {request.headers["content-encoding"] for request in town.line.sent[:1]} == {"gzip"}


def test_a_refusal_says_where_what_and_what_to_do(town: Town) -> None:
    with town.client() as client:
        (verdict,) = client.publish(CROSSING, [EVENTS[120]])
        assert [(each.code, each.field) for each in verdict.errors] == [
            ("not-in-codelist", "person.sex"),
            ("not-in-codelist", "event.mode"),
        ]
        (mode,) = [each for each in verdict.errors if each.field == "event.mode"]
        assert mode.rule
        assert mode.remedy
        assert mode.listed is not None
        assert mode.listed.list == "MODE"
        assert set(client.codes(CROSSING, mode.listed.list, at="2018-03-01")) >= {"ROAD", "RAIL"}
        assert client.error(mode.code)["code"] == mode.code
    assert "ROCKET" not in repr(verdict)


def test_rules_come_in_the_language_asked_for(town: Town) -> None:
    told = {}
    for language in ("en", "ru", "be"):
        with town.client(language=language) as client:
            (verdict,) = client.publish(CROSSING, [EVENTS[120]])
            told[language] = verdict.errors[0].rule
    assert len(set(told.values())) == 3


def test_faults_of_the_line_count_nothing_twice_and_lose_nothing(town: Town) -> None:
    with town.client("refuses", "away", "cut", "cut", "", "away", "cut", batch=50) as client:
        told = list(client.publish(CROSSING, EVENTS))
    assert [each.event for each in told] == EVENTS
    assert town.books() == {Kind.EVENT: 347, Kind.REFUSED: 3}
    assert len(town.door.inbox.entries) > 350, "some came twice, under the same name"
    assert town.line.asked == ["5", "5"]


def test_the_same_events_are_the_same_delivery_unless_another_run_is_named(town: Town) -> None:
    for run in ("", "", "again"):
        with town.client() as client:
            (verdict,) = client.publish(CROSSING, [event()], run=run)
            assert verdict.accepted
    assert len(town.door.inbox.entries) == 3
    assert town.books() == {Kind.EVENT: 2}


def test_days_and_instants_may_be_those_of_python(town: Town) -> None:
    plain = event()
    typed = event(
        header__occurred_at=datetime.fromisoformat(plain["header"]["occurred_at"]),
        person__birth_date=date.fromisoformat(plain["person"]["birth_date"]),
    )
    with town.client() as client:
        first, second = client.publish(CROSSING, [plain, typed])
        assert first.receipt == second.receipt is not None
        with pytest.raises(TypeError, match="no set"):
            list(client.publish(CROSSING, [event(event__mode={"ROAD"})]))
        with pytest.raises(ValueError, match="float"):
            list(client.publish(CROSSING, [event(event__mode=float("nan"))]))


def test_a_batch_that_is_too_large_for_the_gateway_goes_in_halves(town: Town) -> None:
    events = [line(header__record_no=f"B-{n}") for n in range(450)]
    events[7] = line(event__mode="x" * 400_000)
    with town.client(batch=450) as client:
        told = list(client.publish(CROSSING, events))
    assert [n for n, each in enumerate(told) if not each.accepted] == [7]
    assert [each.code for each in told[7].errors] == ["too-large"]
    assert town.books()[Kind.EVENT] == 449


@pytest.mark.parametrize(
    ("agency", "family", "code", "status"),
    [
        ("nobody", CROSSING, "unauthorised", 401),
        ("gpk", "permit.decision", "not-entitled", 403),
        ("gpk", "no such family", "unknown-family", 404),
    ],
)
def test_what_every_event_would_meet_is_an_error(town: Town, agency: str, family: str, code: str, status: int) -> None:
    with town.client(agency=agency) as client, pytest.raises(migex.GatewayRefuses) as told:
        list(client.publish(family, EVENTS))
    assert (told.value.code, told.value.status) == (code, status)


def test_what_is_no_gateway_is_named_so() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, text="Welcome to nginx"))
    with (
        migex.Client("http://gateway", "key", http=httpx.Client(transport=transport)) as client,
        pytest.raises(migex.GatewayRefuses, match="no gateway of migex"),
    ):
        list(client.publish(CROSSING, [event()]))


def test_patience_ends_and_a_closed_client_waits_no_longer(town: Town) -> None:
    for fault in ("refuses", "away"):
        with town.client(*[fault] * 10_000, patience_secs=0.3) as client, pytest.raises(migex.GatewayAway):
            list(client.publish(CROSSING, [event()]))
    client = town.client(*["refuses"] * 10_000, patience_secs=600)
    threading.Timer(0.3, client.close).start()
    began = time.monotonic()
    with pytest.raises(migex.GatewayAway):
        list(client.publish(CROSSING, [event()]))
    assert time.monotonic() - began < 100


def test_the_gateway_says_how_long_to_wait(town: Town) -> None:
    answers = iter([httpx.Response(429, headers={"Retry-After": "1"}), httpx.Response(200, json=[])])
    http = httpx.Client(transport=httpx.MockTransport(lambda _: next(answers)))
    began = time.monotonic()
    with migex.Client("http://gateway", "key", http=http) as client:
        assert client.contracts() == []
    assert time.monotonic() - began >= 1


def test_contracts_are_shown(town: Town) -> None:
    with town.client() as client:
        assert CROSSING in {each["family"] for each in client.contracts()}
        assert client.contract(CROSSING)["name"]
        assert client.contract(CROSSING, form="example") == event()
        with pytest.raises(migex.GatewayRefuses) as told:
            client.contract("nothing")
        assert told.value.status == 404


def test_what_became_of_records_is_asked_for_by_number_and_by_receipt(town: Town) -> None:
    with town.client() as client:
        (verdict,) = client.publish(CROSSING, [event(header__record_no="F-1")])
        assert verdict.receipt is not None
        town.door.folded.cut()
        numbers = [f"F-{n}" for n in range(150)]
        told = list(client.records(numbers, family=CROSSING))
        assert [each["record_no"] for each in told] == numbers
        assert [each["record_no"] for each in told if not each["error"]] == ["F-1"]
        (fate,) = told[1]["records"]
        (by_receipt,) = client.receipts([verdict.receipt])
        assert fate["state"] == by_receipt["fate"]["state"] == "counted"
        with pytest.raises(migex.GatewayRefuses) as wrong:
            list(client.records(["F-1"], family="nothing"))
        assert wrong.value.code == "unknown-family"


def test_what_would_be_said_is_told_before_anything_is_sent(town: Town, tmp_path: Path) -> None:
    pretty = b'{"header":\n1,\r\n"a": "'
    with town.client() as client:
        list(client.publish(CROSSING, [event(header__record_no="P-1")]))
        town.door.folded.deduplicate()
        town.door.folded.empty_inbox()
        events = [event(header__record_no=f"P-{n}") for n in (1, 2, 2)]
        typed = event(header__record_no="P-3", person__birth_date=date(1980, 5, 17), event__mode="ROCKET")
        told = client.preflight(CROSSING, [*events, b"", EVENTS[122], typed, pretty + b'b"}', pretty + b'\n"}'])
        rows = [[each.row, each.accepted, each.in_file, each.of_row, each.published] for each in told.findings]
        assert rows == [
            [1, True, None, None, "duplicate"],
            [2, True, None, None, None],
            [3, True, "duplicate", 2, None],
            [4, True, None, None, None],
            [5, False, None, None, None],
            [6, False, None, None, None],
            [7, False, None, None, None],
        ]
        listed = told.findings[4].errors[0].listed
        assert listed is not None
        assert (listed.list, told.findings[4].errors[0].field) == ("MODE", "event.mode")
        codes = [[each.code for each in finding.errors] for finding in told.findings[5:]]
        assert codes[0] != codes[1] == ["not-json"], "a line break stays as right or as wrong as it was"
        assert (told.passed, told.unasked, told.summary["refused"]) == (False, None, 3)

        file = tmp_path / "crossings.CSV"
        file.write_bytes(table(flat(event()), flat(event(header__record_no="P-4"))) + b'"')
        told = client.preflight(CROSSING, file)
        assert [(each.row, each.record_no) for each in told.findings] == [(2, "A-17"), (3, "P-4")]
        assert (told.passed, [each.code for each in told.broken]) == (False, ["bad-table"])
        assert client.preflight(CROSSING, str(file)) == told
        assert client.preflight(CROSSING, []).passed
    assert town.door.inbox.entries == []


def test_a_check_that_cannot_be_made_is_an_error(town: Town, tmp_path: Path) -> None:
    (tmp_path / "crossings.csv").write_text("neither,nor")
    with town.client() as client:
        for name, error in (("crossings.doc", ValueError), ("none.csv", OSError), ("crossings.csv", migex.MigexError)):
            with pytest.raises(error):
                client.preflight(CROSSING, tmp_path / name)
        town.door.folded.away = "deduplicate"
        try:
            assert client.preflight(CROSSING, [event()]).unasked == "worker-away"
        finally:
            town.door.folded.away = ""
    with town.client(agency="lodging") as other, pytest.raises(migex.GatewayRefuses, match="not-entitled"):
        other.preflight(CROSSING, [event()])


def test_every_form_of_a_file_is_known() -> None:
    assert FORMS == SUFFIXES


def test_batches_have_bounds_and_lose_nothing() -> None:
    long = b'"' + b"x" * MOST_BYTES + b'"'
    events: list[migex.Event] = [b'"a"', b"", b"  ", long, b'"b"', b'"c"', b'"d\n"', b'"e"']
    found = list(batches(events, 2))
    assert [each.lines for each in found] == [(b'"a"',), (long,), (b'"b"', b'"c"'), (b'"d\n"',), (b'"e"',)]
    assert [each.content_type for each in found][2:4] == ["application/x-ndjson", "application/json"]
