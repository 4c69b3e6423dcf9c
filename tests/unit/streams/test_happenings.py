"""Happenings: which reports of one person tell of one thing, and which of them speaks for it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from schemas import core
from schemas.contracts import FAMILIES
from schemas.core import DOCUMENT, NAME, Core
from schemas.errors import Broken
from streams.reconcile.happenings import Report, happenings, read_report
from tests.laws.records import DAY_MS, digest16, link_key

MINUTE = 60_000
RANKS = {1: 0, 2: 1, 5: 2}


def rank(report: Report) -> int:
    return RANKS.get(report.agency, 9)


def told(record: str, family: str, codes: Mapping[str, Any], **other: object) -> Report:
    """Return a report of a family whose core fields are None unless given."""
    contract = FAMILIES[family]
    at = int(str(other.get("at", 17600 * DAY_MS)))
    document = other.get("document", 1)
    keys = [link_key(NAME, 1), *([] if document is None else [link_key(DOCUMENT, document)])]
    values = tuple(codes.get(name) for name in contract.core_fields)
    made = Core(at // DAY_MS, at, b"".join(sorted(keys)), 19800101, 1, ("UZB",), values)
    agency = int(str(other.get("agency", 1)))
    return Report(digest16(record), agency, contract.id, 0, 1, made, tuple(sorted(keys)), b"")


def crossing(record: str, minute: float = 0, **other: object) -> Report:
    at = 17600 * DAY_MS + int(minute * MINUTE)
    codes = {"direction": "IN", "checkpoint": "BREST"} | {k: v for k, v in other.items() if k in {"direction", "mode"}}
    return told(record, "border.crossing", codes, **{"at": at} | other)


def groups(*reports: Report) -> list[list[bytes]]:
    return [[r.record for r in happening.reports] for happening in happenings(reports, rank)]


def test_ten_minutes_are_within_the_tolerance_and_a_millisecond_more_is_not() -> None:
    assert len(groups(crossing("A"), crossing("B", 10))) == 1
    assert len(groups(crossing("A"), crossing("B", 10 + 1 / MINUTE))) == 2


def test_a_chain_goes_on_while_each_follows_the_one_before() -> None:
    assert [len(g) for g in groups(*[crossing(str(n), 10 * n) for n in range(7)])] == [7]


@pytest.mark.parametrize(
    "other",
    [{"direction": "OUT"}, {"document": 2}, {"document": None}, {"minute": 11}],
    ids=["direction", "document", "no document", "time"],
)
def test_another_natural_key_is_another_happening(other: dict[str, object]) -> None:
    minute = float(str(other.pop("minute", 0)))
    assert len(groups(crossing("A"), crossing("B", minute, **other))) == 2


def test_what_is_no_part_of_the_natural_key_may_differ() -> None:
    assert len(groups(crossing("A", mode="CAR"), crossing("B", mode="BUS", agency=2))) == 1


def test_the_agency_that_takes_precedence_speaks_then_the_least_record_id() -> None:
    first, second = sorted([crossing("A", agency=2), crossing("B", agency=2, minute=1)], key=lambda r: r.record)
    assert groups(second, first) == [[first.record, second.record]]
    border = crossing("C", 5, agency=1)
    assert groups(second, border, first)[0][0] == border.record
    nobody = crossing("D", 2, agency=77)
    assert groups(nobody, second)[0] == [second.record, nobody.record]


def permit(record: str, day: int = 0, **codes: object) -> Report:
    values = {"permit_no": b"P" * 16, "action": "ISSUED", "permit_type": "TEMP_RES"} | codes
    return told(record, "permit.decision", values, at=(17600 + day) * DAY_MS)


def test_a_permit_decision_is_its_number_action_and_day() -> None:
    assert len(groups(permit("A"), permit("B"))) == 1
    assert len(groups(permit("A"), permit("B", day=1))) == 2
    assert len(groups(permit("A"), permit("B", action="EXTENDED"))) == 2
    assert len(groups(permit("A"), permit("B", permit_no=b"Q" * 16))) == 2
    assert len(groups(permit("A"), permit("B", permit_type="PERM_RES"))) == 1


def test_a_registration_is_its_district_and_day_whatever_the_document() -> None:
    def registered(record: str, district: str, at: int, document: int) -> Report:
        return told(record, "residence.registered", {"district": district}, at=at, document=document)

    noon = 17600 * DAY_MS + 12 * 60 * MINUTE
    assert len(groups(registered("A", "5101", noon, 1), registered("B", "5101", noon + 6 * 60 * MINUTE, 2))) == 1
    assert len(groups(registered("A", "5101", noon, 1), registered("B", "5102", noon, 1))) == 2


def test_families_do_not_mix() -> None:
    left = told("A", "residence.registered", {"district": "5101"})
    right = told("B", "residence.deregistered", {"district": "5101"})
    assert len(groups(left, right)) == 2


def test_happenings_come_in_the_order_of_events() -> None:
    late, early = crossing("A", 500), crossing("B", 3)
    assert groups(late, early) == [[early.record], [late.record]]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.sampled_from((1, 2, 5)), st.sampled_from(("IN", "OUT"))), max_size=8),
    st.randoms(use_true_random=False),
)
def test_happenings_do_not_depend_on_the_order_of_the_reports(
    given_: list[tuple[int, int, str]], order: random.Random
) -> None:
    reports = [crossing(str(n), minute, agency=a, direction=d) for n, (minute, a, d) in enumerate(given_)]
    shuffled = list(reports)
    order.shuffle(shuffled)
    assert groups(*reports) == groups(*shuffled)


def test_a_core_of_an_older_contract_has_nothing_in_the_fields_that_came_later() -> None:
    made = crossing("A").core
    raw = core.encode(replace(made, codes=made.codes[:2]))
    report = read_report(digest16("A"), (1, FAMILIES["border.crossing"].id, 1, 0), raw)
    assert report.code("checkpoint") == "BREST"
    assert report.code("result") is None


@pytest.mark.parametrize(("family", "raw"), [(1, b"\xc1"), (1, b""), (99, core.encode(crossing("A").core))])
def test_bytes_that_are_no_report_are_broken(family: int, raw: bytes) -> None:
    with pytest.raises(Broken):
        read_report(digest16("A"), (1, family, 1, 0), raw)
