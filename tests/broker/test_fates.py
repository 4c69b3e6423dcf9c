"""What would become, and what became of records, asked of a whole system of real processes.

Nothing of a preflight is kept, an operator's decision shows in the feed, and a worker that hangs makes no answer wrong.
"""

from __future__ import annotations

import asyncio
import csv
import io
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from ops import secrets
from ops.access import access
from ops.demo.census import deliveries
from ops.demo.oracle import Account
from ops.settings import Settings, with_free_ports
from schemas.conventions import load
from streams.topics import Topics
from tests.broker.test_system import System
from tests.connectors.events import cancellation, event
from tests.connectors.test_link_decisions import MINE, PAPERS
from tests.connectors.test_rows import flat, table

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]

Fate = dict[str, Any]


class Agency:
    """An agency that reports crossings and asks what became of them."""

    def __init__(self, system: System, code: str) -> None:
        key = secrets.api_key(system.settings.secrets, code)
        self.http = httpx.Client(base_url=system.settings.gateway_url, headers={"X-API-Key": key}, timeout=60)

    def report(self, number: str, revision: int = 1, **changes: Any) -> httpx.Response:
        op = "CREATE" if revision == 1 else "CORRECT"
        return self.send(event(header__record_no=number, header__revision=revision, header__op=op, **changes))

    def send(self, one: dict[str, Any], family: str = "border.crossing") -> httpx.Response:
        headers = {"Content-Type": "application/json"}
        return self.http.post(f"/v1/events/{family}", content=orjson.dumps(one), headers=headers)

    def preflight(self, content: bytes, form: str) -> bytes:
        headers = {"Content-Type": "text/csv", "Accept": form}
        response = self.http.post("/v1/preflight/border.crossing", content=content, headers=headers)
        assert response.status_code == 200, response.text
        return response.content

    def until(self, path: str, true: Callable[[Fate], bool]) -> Fate:
        """Ask until it is true; what is accepted is never said to be unknown."""
        end = time.monotonic() + 60
        while True:
            response = self.http.get(path)
            assert response.status_code in (200, 503), response.text
            told = response.json()
            if response.status_code == 200:
                (one,) = told.get("records", [told])
                if true(one):
                    return dict(one)
            assert time.monotonic() < end, told
            time.sleep(0.2)


def codes(fate: Fate) -> list[str]:
    return [each["code"] for each in fate["reasons"]]


def in_cut(fate: Fate) -> bool:
    return fate["cut"] is not None and fate["state"] != "deduplicated"


@pytest.fixture(scope="module")
def system(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system with a broker of its own (`broker` is asked for its check of Java and Maven)."""
    made = System(with_free_ports(tmp_path_factory.mktemp("fates")))
    began = made.migex("up")
    try:
        assert began.returncode == 0, began.stdout + began.stderr
        yield made
    finally:
        made.migex("down")


def test_what_became_of_records(system: System) -> None:
    gpk, mvd = Agency(system, "gpk"), Agency(system, "mvd")
    receipt = gpk.report("A-1").json()["receipt"]
    by_receipt = gpk.until(f"/v1/receipts/{receipt}", in_cut)
    told = gpk.until("/v1/records/A-1", in_cut)
    assert (told["state"], by_receipt["counted_in"]) == ("counted", told["counted_in"])
    (cell,) = told["counted_in"]
    assert (cell["table"], cell["period"], cell["codes"]["DIRECTION"]) == ("F06", "2018-03", "IN")

    gpk.report("A-1", 2, event__direction="OUT")
    moved = gpk.until("/v1/records/A-1", lambda fate: fate["revision"] == 2 and in_cut(fate))
    assert [each["codes"]["DIRECTION"] for each in moved["counted_in"]] == ["OUT"]

    mvd.report("M-1", event__direction="OUT")
    assert codes(mvd.until("/v1/records/M-1", in_cut)) == ["same-event-other-agency"]
    gpk.send(cancellation("A-1", 3))
    gone = gpk.until("/v1/records/A-1", lambda fate: fate["revision"] == 3 and in_cut(fate))
    assert (gone["state"], codes(gone), gone["counted_in"]) == ("cancelled", ["cancelled"], [])
    assert mvd.until("/v1/records/M-1", lambda fate: fate["state"] == "counted")["counted_in"]

    assert gpk.report("R-1", event__mode="ROCKET").status_code == 422
    refused = gpk.until("/v1/records/R-1", lambda fate: fate["state"] == "refused")
    assert [each["field"] for each in refused["refusals"][0]["errors"]] == ["event.mode"]

    for minute in (15, 45):
        gpk.report("C-1", header__occurred_at=f"2018-03-05T10:{minute}:00+03:00")
    assert gpk.until("/v1/records/C-1", lambda fate: fate["conflict"] and in_cut(fate))["state"] == "counted"
    assert "conflict" in system.migex("trace", "gpk", "C-1").stdout

    for path in ("/v1/records/A-1", "/v1/records/C-1", f"/v1/receipts/{receipt}"):
        assert mvd.http.get(path).status_code == 404, path
    assert gpk.http.get("/v1/records/nobody").json()["type"] == "/v1/errors/unknown-record"


def test_a_worker_that_hangs_makes_no_answer_wrong(system: System) -> None:
    gpk = Agency(system, "gpk")
    gpk.report("B-1")
    gpk.until("/v1/records/B-1", in_cut)
    hanging = system.pid("deduplicate")
    os.kill(hanging, signal.SIGSTOP)
    try:
        receipt = gpk.report("B-2").json()["receipt"]
        away = [gpk.http.get(path) for path in ("/v1/records/B-1", f"/v1/receipts/{receipt}")]
    finally:
        os.kill(hanging, signal.SIGCONT)
    assert [(each.status_code, each.json()["type"]) for each in away] == [(503, "/v1/errors/fates-away")] * 2
    assert all(int(each.headers["retry-after"]) > 0 for each in away)
    assert gpk.until("/v1/records/B-2", in_cut)["state"] in ("counted", "not-counted")
    assert gpk.until(f"/v1/receipts/{receipt}", in_cut)["receipt"] == receipt


def kept(settings: Settings) -> dict[Account, int]:
    """Return how many deliveries of each agency and family lie in the inbox."""
    convention = load(settings.convention)
    inbox = Topics.of(settings.generation, convention)["inbox"]
    return asyncio.run(deliveries(access(settings), inbox, convention))


def test_a_file_is_checked_and_nothing_of_it_published(system: System, tmp_path: Path) -> None:
    gpk, mvd = Agency(system, "gpk"), Agency(system, "mvd")
    crossings = [event(header__record_no=f"P-{n}") for n in range(4)]
    crossings[2] = event(header__record_no="P-2", event__mode="RAIL")
    crossings[3] = event(header__record_no="P-3", event__mode="ROCKET", person__sex=7)
    file, good = tmp_path / "crossings.csv", tmp_path / "good.csv"
    file.write_bytes(table(*map(flat, crossings)))
    good.write_bytes(table(*map(flat, crossings[:3])))
    others = mvd.preflight(file.read_bytes(), "application/json")
    for number in (1, 2):
        gpk.report(f"P-{number}")
    for number in (1, 2):
        gpk.until(f"/v1/records/P-{number}", in_cut)
    before = kept(system.settings)
    assert before["gpk", "border.crossing"] >= 2

    asked = ("--agency", "gpk", "--family", "border.crossing", "--format")
    refused = system.migex("preflight", str(file), *asked, "csv")
    passed = system.migex("preflight", str(good), *asked, "json")
    assert (refused.returncode, passed.returncode) == (1, 0), refused.stderr + passed.stderr
    lines = list(csv.DictReader(io.StringIO(refused.stdout.removeprefix("\ufeff"))))
    assert [(line["row"], line["published"], line["field"]) for line in lines] == [
        ("2", "", ""),
        ("3", "duplicate", ""),
        ("4", "conflict", ""),
        ("5", "", "person.sex"),
        ("5", "", "event.mode"),
    ]
    told, by_http = orjson.loads(passed.stdout), orjson.loads(gpk.preflight(file.read_bytes(), "application/json"))
    assert (told["passed"], told["rows"]) == (True, by_http["rows"][:3])
    assert (by_http["passed"], by_http["rows"][3]["answer"]) == (False, "refused")
    assert by_http["summary"] == orjson.loads(refused.stderr)
    assert by_http["summary"]["published"] == {"duplicate": 1, "conflict": 1, "older": 0}
    assert gpk.preflight(file.read_bytes(), "text/csv").decode().splitlines() == refused.stdout.splitlines()

    assert mvd.preflight(file.read_bytes(), "application/json") == others, "nobody is told of another's records"
    assert orjson.loads(others)["summary"]["published"] == {"duplicate": 0, "conflict": 0, "older": 0}
    assert kept(system.settings) == before
    assert gpk.http.get("/v1/records/P-0").status_code == 404


class Permits:
    """Permits of two records and decisions who they are of, and what the feed says of persons."""

    def __init__(self, system: System) -> None:
        self._agencies = {code: Agency(system, code) for code in ("mvd", "labour", "belstat")}
        self._feed = "http://{}:{}/v1/tables/F11".format(*system.settings.address("feed"))
        people = (PAPERS[0], PAPERS[1] | {"surname": "BABAEV", "given_names": "BATYR"})  # no key in common
        for (agency, number), person in zip((("mvd", "A-1"), ("labour", "A-2")), people, strict=True):
            changes = {f"person__{name}": value for name, value in person.items()}
            permit = event("permit.decision", header__record_no=number, event__permit_no=number, **changes)
            assert self._agencies[agency].send(permit, "permit.decision").status_code == 202
        self.birth = event("permit.decision")["person"]["birth_date"]

    def decide(self, linking: str, revision: int) -> None:
        names = {f"event__{name}": value for name, value in MINE.items()}
        op = "CREATE" if revision == 1 else "CORRECT"
        decision = event("link.decision", header__record_no="D-1", header__revision=revision, header__op=op,
                         event__linking=linking, event__birth_date=self.birth, **names)  # fmt: skip
        assert self._agencies["belstat"].send(decision, "link.decision").status_code == 202

    def withdraw(self, revision: int) -> None:
        told = self._agencies["belstat"].send(cancellation("D-1", revision), "link.decision")
        assert told.status_code == 202

    def until(self, acts: int, persons: int) -> list[dict[str, Any]]:
        """Wait until the feed counts so many; return the observations, without the cut of each."""
        end = time.monotonic() + 60
        while True:
            seen = httpx.get(self._feed, params={"format": "json"}).json()["observations"]
            figures = {m: sum(o["OBS_VALUE"] for o in seen if o["INDICATOR"] == m) for m in ("ACTS", "PERSONS")}
            if figures == {"ACTS": acts, "PERSONS": persons}:
                return [{name: value for name, value in each.items() if name != "CUT"} for each in seen]
            assert time.monotonic() < end, figures
            time.sleep(0.2)


def test_an_operator_joins_two_persons_and_parts_them_again(system: System) -> None:
    permits = Permits(system)
    apart = permits.until(acts=2, persons=2)
    permits.decide("LINK", 1)
    joined = permits.until(acts=2, persons=1)
    permits.withdraw(2)
    assert permits.until(acts=2, persons=2) == apart
    permits.decide("LINK", 3)
    assert permits.until(acts=2, persons=1) == joined
    again = system.migex("rebuild", "--compare")
    assert again.returncode == 0, again.stderr
    assert " 0 differ" in again.stderr


@pytest.mark.long
def test_figures_with_decisions_in_them_are_proved(system: System) -> None:
    permits = Permits(system)
    permits.decide("LINK", 1)
    proved = system.migex("generation", "prove", "1")
    assert proved.returncode == 0, proved.stdout + proved.stderr
    assert "the same to the byte" in proved.stdout
