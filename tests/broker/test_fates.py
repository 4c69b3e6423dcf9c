"""What became of records, asked of a whole system of real processes; a worker that hangs makes no answer wrong."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import orjson
import pytest

from ops import secrets
from ops.settings import with_free_ports
from tests.broker.test_system import System
from tests.connectors.events import cancellation, event

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

    def send(self, one: dict[str, Any]) -> httpx.Response:
        headers = {"Content-Type": "application/json"}
        return self.http.post("/v1/events/border.crossing", content=orjson.dumps(one), headers=headers)

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
    assert gpk.until("/v1/records/C-1", lambda fate: fate["conflict"])["state"] == "counted"
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
