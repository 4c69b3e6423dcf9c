"""What became of a record: every state and every reason, and that nobody is told of another agency's records."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from connectors.fates import reasons
from schemas.contracts import FAMILIES
from schemas.words import LANGUAGES
from streams.dataflows import DATAFLOWS
from tests.connectors.doors import CONVENTION, KEYS, Door, opened
from tests.connectors.events import cancellation, event, line
from tests.unit.streams import test_questions

RECORD = "/v1/records/A-17"


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    async with opened(Door()) as door:
        yield door


async def fate(door: Door, path: str = RECORD, agency: str = "gpk") -> dict[str, Any]:
    """Return the one fate that the address answers with."""
    response = await door.ask(path, agency)
    assert response.status_code == 200, response.text
    told = response.json()
    (one,) = told.get("records", [told])
    return dict(one)


def codes(fate: dict[str, Any]) -> list[str]:
    return [each["code"] for each in fate["reasons"]]


async def test_a_counted_record_names_its_cell_and_the_cut_that_shows_it(door: Door) -> None:
    receipt = (await door.post(line())).json()["receipt"]
    door.folded.reconcile()
    told = await fate(door)
    assert (told["state"], codes(told), told["cut"]) == ("counted", ["awaits-cut"], None)
    door.folded.cut()
    told = await fate(door)
    assert (told["state"], told["reasons"], told["cut"]) == ("counted", [], "2025-10-09T08:53:21Z")
    (cell,) = told["counted_in"]
    assert (cell["table"], cell["period"]) == ("F06", "2018-03")
    assert cell["codes"]["CHECKPOINT"] == event()["event"]["checkpoint"]
    (version,) = told["versions"]
    assert (version["receipt"], version["state"], version["door"]) == (receipt, "speaks", "http")
    assert version["accepted_at"] == "2025-10-09T08:53:20.000Z"
    assert version["inbox"]["offset"] == 0
    assert told["as_of"] == {"inbox_behind": 0, "log_behind": 0, "cut": "2025-10-09T08:53:21Z"}


async def test_a_correction_moves_the_record_to_another_cell(door: Door) -> None:
    await door.post(line())
    await door.post(line(header__revision=2, header__op="CORRECT", event__direction="OUT"))
    door.folded.cut()
    told = await fate(door)
    assert [cell["codes"]["DIRECTION"] for cell in told["counted_in"]] == ["OUT"]
    assert [(each["state"], codes(each)) for each in told["versions"]] == [
        ("superseded", ["superseded"]),
        ("speaks", []),
    ]
    assert (told["revision"], told["conflict"]) == (2, False)


async def test_a_repeat_is_a_duplicate_of_its_version(door: Door) -> None:
    receipts = {(await door.post(line())).json()["receipt"] for _ in range(3)}
    door.folded.cut()
    (version,) = (await fate(door))["versions"]
    assert (version["deliveries"], version["duplicates"], {version["receipt"]}) == (3, 2, receipts)


async def test_a_cancelled_record_is_not_counted(door: Door) -> None:
    await door.post(line())
    door.folded.cut()
    await door.post(orjson.dumps(cancellation()))
    door.folded.reconcile()
    told = await fate(door)
    assert (told["state"], codes(told)) == ("cancelled", ["cancelled", "awaits-cut"])
    door.folded.cut()
    told = await fate(door)
    assert (told["state"], codes(told), told["counted_in"]) == ("cancelled", ["cancelled"], [])
    assert [each["state"] for each in told["versions"]] == ["superseded", "cancels"]


async def test_a_conflict_is_shown_to_its_sender(door: Door) -> None:
    receipts = [(await door.post(line(event__direction=each))).json()["receipt"] for each in ("IN", "OUT")]
    door.folded.cut()
    told = await fate(door)
    assert (told["state"], told["conflict"]) == ("counted", True)
    assert sorted((each["state"], *codes(each)) for each in told["versions"]) == [
        ("speaks", "conflict"),
        ("superseded", "conflict"),
    ]
    assert {each["receipt"] for each in told["versions"]} == set(receipts)


async def test_what_another_agency_reports_too_counts_once_and_is_not_told(door: Door) -> None:
    await door.post(line())
    await door.post(line(header__record_no="M-1", header__source_system="MVD-SECRET"), agency="mvd")
    door.folded.cut()
    assert (await fate(door))["state"] == "counted"
    response = await door.ask("/v1/records/M-1", "mvd")
    (told,) = response.json()["records"]
    assert (told["state"], codes(told), told["counted_in"]) == ("not-counted", ["same-event-other-agency"], [])
    for anothers in ("gpk", "A-17", "represented", "reports_of"):
        assert anothers not in response.text


async def test_the_same_event_under_two_own_numbers_counts_once(door: Door) -> None:
    for number in ("A-17", "A-18"):
        await door.post(line(header__record_no=number))
    door.folded.cut()
    told = [await fate(door, f"/v1/records/{number}") for number in ("A-17", "A-18")]
    assert sorted((each["state"], *codes(each)) for each in told) == [
        ("counted",),
        ("not-counted", "same-event-own-report"),
    ]


async def test_what_the_table_leaves_out_is_said_with_its_rule(door: Door) -> None:
    await door.post(line(event__result="REFUSED"))
    door.folded.cut()
    told = await fate(door)
    (outside,) = told["not_counted_in"]
    assert (told["state"], outside["table"], told["reasons"]) == ("not-counted", "F06", [outside["reason"]])
    assert outside["reason"]["text"] == "The table counts only reports whose result is one of: PASSED (passed)."


async def test_a_move_inside_a_district_is_left_out_by_the_tables_own_rule(door: Door) -> None:
    family = "residence.registered"
    own = event(family)["event"]["district"]
    await door.post(line(family, event__from_country="BLR", event__from_district=own), family, "mvd")
    door.folded.cut()
    assert codes(await fate(door, agency="mvd")) == ["move-in-district"]


async def test_a_family_that_no_table_reads(door: Door) -> None:
    read = {family for flow in DATAFLOWS.values() for family in flow.families}
    agency, family = next(
        (code, each)
        for code, agency in CONVENTION.agencies.items()
        for each in agency.families
        if FAMILIES[each].id not in read
    )
    response = await door.post(line(family), family, agency)
    assert response.status_code == 202, response.text
    door.folded.cut()
    told = await fate(door, f"/v1/receipts/{response.json()['receipt']}", agency)
    assert (told["family"], told["state"], codes(told)) == (family, "not-counted", ["no-table"])


async def test_only_refusals(door: Door) -> None:
    await door.post(line(event__mode="ROCKET"))
    door.folded.deduplicate()
    told = await fate(door)
    assert (told["state"], codes(told), told["revision"], told["versions"]) == ("refused", ["only-refused"], None, [])
    (refusal,) = told["refusals"]
    assert refusal["refused_at"] == "2025-10-09T08:53:20.000Z"
    assert [(each["code"], each["field"]) for each in refusal["errors"]] == [("not-in-codelist", "event.mode")]
    assert "ROCKET" not in str(told)


async def test_what_a_table_failed_on_is_set_aside(door: Door) -> None:
    await door.post(line())
    (entry,) = door.inbox.entries
    door.inbox.entries[:] = [entry._replace(core=b"\xc1")]
    door.folded.cut()
    told = await fate(door)
    assert (told["state"], codes(told)) == ("not-counted", ["set-aside"])


async def test_a_record_that_is_not_reconciled_yet_says_how_much_is_before_it(door: Door) -> None:
    await door.post(line())
    door.folded.deduplicate()
    told = await fate(door)
    assert (told["state"], codes(told)) == ("deduplicated", ["awaits-reconciliation"])
    assert told["reasons"][0]["text"].startswith("The newest version is not reconciled yet: 1 messages")


async def test_a_correction_that_is_not_reconciled_yet_is_not_answered_by_the_old_cells(door: Door) -> None:
    await door.post(line())
    door.folded.cut()
    await door.post(line(header__revision=2, header__op="CORRECT", event__direction="OUT"))
    door.folded.deduplicate()
    told = await fate(door)
    assert (told["state"], told["counted_in"]) == ("deduplicated", [])


async def test_a_receipt_proves_what_no_fold_has_heard_of(door: Door) -> None:
    receipt = (await door.post(line())).json()["receipt"]
    door.folded.receive()
    told = await fate(door, f"/v1/receipts/{receipt}")
    assert (told["state"], codes(told), told["as_of"]["inbox_behind"]) == ("accepted", ["awaits-deduplication"], 1)
    response = await door.ask(RECORD)
    assert (response.status_code, response.json()["type"]) == (503, "/v1/errors/record-unsettled")
    assert response.headers["retry-after"] == "1"
    door.folded.cut()
    told = await fate(door, f"/v1/receipts/{receipt}")
    assert (told["state"], told["receipt"], told["record_no"]) == ("counted", receipt, None)


async def test_a_receipt_of_a_correction_waits_though_its_record_is_known(door: Door) -> None:
    await door.post(line())
    door.folded.cut()
    receipt = (await door.post(line(header__revision=2, header__op="CORRECT"))).json()["receipt"]
    door.folded.receive()
    assert (await fate(door, f"/v1/receipts/{receipt}"))["state"] == "accepted"
    assert (await fate(door))["as_of"]["inbox_behind"] == 1


async def test_an_unknown_record_and_receipt(door: Door) -> None:
    for path, code in ((RECORD, "unknown-record"), ("/v1/receipts/" + "A" * 62, "unknown-receipt")):
        response = await door.ask(path)
        assert (response.status_code, response.json()["type"]) == (404, f"/v1/errors/{code}")
    response = await door.ask(f"{RECORD}?family=no.such")
    assert (response.status_code, response.json()["type"]) == (404, "/v1/errors/unknown-family")


@pytest.mark.parametrize("agent", ["deduplicate", "reconcile", "feed"])
async def test_who_is_away_makes_no_answer_wrong(door: Door, agent: str) -> None:
    receipt = (await door.post(line())).json()["receipt"]
    door.folded.cut()
    door.folded.away = agent
    for path in (RECORD, f"/v1/receipts/{receipt}"):
        response = await door.ask(path)
        assert (response.status_code, response.json()["type"]) == (503, "/v1/errors/fates-away")
        assert int(response.headers["retry-after"]) > 0


async def test_many_are_answered_in_the_order_asked(door: Door) -> None:
    await door.post(line())
    receipt = (await door.post(line(header__record_no="a/b"))).json()["receipt"]
    door.folded.cut()
    key = {"X-API-Key": KEYS["gpk"]}
    asked = [{"record_no": name} for name in ("a/b", "nobody", "A-17")]
    answers = (await door.client.post("/v1/records", json={"records": asked}, headers=key)).json()["answers"]
    assert [(each["record_no"], len(each["records"]), each["error"] and each["error"]["code"]) for each in answers] == [
        ("a/b", 1, None),
        ("nobody", 0, "unknown-record"),
        ("A-17", 1, None),
    ]
    assert (await fate(door, "/v1/records/a%2Fb"))["record_no"] == "a/b"
    answers = (await door.client.post("/v1/receipts", json={"receipts": ["x", receipt]}, headers=key)).json()["answers"]
    assert [each["error"] and each["error"]["code"] for each in answers] == ["unknown-receipt", None]
    assert answers[1]["fate"]["receipt"] == receipt


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"records": 1}', b'{"records": [{}]}', b'{"records": [{"record_no": ""}]}']
)
async def test_what_is_no_question_is_refused(door: Door, body: bytes) -> None:
    response = await door.client.post("/v1/records", content=body, headers={"X-API-Key": KEYS["gpk"]})
    assert (response.status_code, response.json()["type"]) == (422, "/v1/errors/bad-question")


async def test_more_than_a_hundred_at_once_are_refused(door: Door) -> None:
    for kind, one in (("records", {"record_no": "x"}), ("receipts", "x")):
        for number, status in ((100, 200), (101, 422)):
            asked = {kind: [one] * number}
            response = await door.client.post(f"/v1/{kind}", json=asked, headers={"X-API-Key": KEYS["gpk"]})
            assert response.status_code == status


@pytest.mark.parametrize("lang", LANGUAGES)
async def test_reasons_come_in_the_language_asked_for(door: Door, lang: str) -> None:
    await door.post(line(event__result="REFUSED"))
    door.folded.cut()
    response = await door.ask(RECORD, **{"Accept-Language": lang})
    assert response.headers["content-language"] == lang
    (told,) = response.json()["records"]
    words = {"en": "PASSED (passed)", "ru": "PASSED (пропущен)", "be": "PASSED (прапушчаны)"}[lang]
    assert told["reasons"][0]["text"] == reasons()("outside-universe", lang).format(field="result", words=words)


def test_every_reason_is_complete_and_reached_by_a_test_and_told_in_the_docs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "fates.md").read_text()
    tests = Path(__file__).read_text() + Path(test_questions.__file__).read_text()
    for code in reasons():
        texts = [reasons()(code, lang) for lang in LANGUAGES]
        assert len(set(filter(None, texts))) == len(LANGUAGES), code
        assert len({tuple(sorted(re.findall(r"{\w+}", text))) for text in texts}) == 1, code
        assert f"`{code}`" in page, code
        assert f'"{code}"' in tests, code


async def test_no_receipt_looks_like_a_formula(door: Door) -> None:
    several = b"\n".join(line(header__record_no=f"A-{n}") for n in range(200))
    answers = await door.post(several, **{"Content-Type": "application/x-ndjson"})
    receipts = [each["receipt"] for each in answers.json()["verdicts"]]
    assert len(set(receipts)) == 200
    assert not any(receipt.startswith(("=", "+", "-", "@")) for receipt in receipts)
