"""Control totals beside what the inbox holds: zero is told from silence, and each difference is shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from connectors.inbox import frame
from ops.totals import held
from schemas import conventions
from streams.control_totals import Total
from streams.fold import Message
from streams.topics import partition
from tests.connectors.events import NOW, admission, cancellation, event

CONVENTION = conventions.load()
CODES = {agency.id: code for code, agency in CONVENTION.agencies.items()}
GPK, MVD = CONVENTION.agencies["gpk"].id, CONVENTION.agencies["mvd"].id
DOOR = admission()
PARTITIONS = 2
FIRST = 17590  # 2018-02-28
Sent = tuple[str, str, dict[str, Any]]


def inbox(*sent: Sent) -> list[Callable[[], Iterable[Message]]]:
    """Return what lies in the inbox when agencies send this, one message an event."""
    values: list[list[Message]] = [[] for _ in range(PARTITIONS)]
    for number, (agency, family, each) in enumerate(sent):
        entry = DOOR.admit(agency, family, each, number.to_bytes(8, "big"), NOW + number)
        own = values[partition(entry.partition_key, PARTITIONS)]
        own.append(Message(len(own), frame([entry])))
    return [partial(iter, messages) for messages in values]


def crossing(number: str, checkpoint: str = "BREST-TERESPOL", day: str = "2018-02-28", agency: str = "gpk") -> Sent:
    at = {"header__record_no": number, "header__occurred_at": f"{day}T23:59:00+03:00"}
    return agency, "border.crossing", event(**at, event__checkpoint=checkpoint)


def total(records: int, number: str = "T-1", agency: str = "gpk", **changes: Any) -> Sent:
    said = {f"event__{name}": value for name, value in ({"records": records} | changes).items()}
    return agency, "control.total", event("control.total", header__record_no=number, **said)


def said(found: list[Total]) -> list[tuple[int, int | None]]:
    return [(each.said, each.held) for each in found]


def test_only_the_agencys_own_records_of_place_and_days_count() -> None:
    found = held(
        inbox(
            crossing("1"),
            crossing("2"),
            crossing("3", "PESCHATKA"),
            crossing("4", day="2018-03-01"),
            crossing("5", agency="mvd"),
            total(2),
            total(3, "T-2", checkpoint=None),
            total(4, "T-3", checkpoint=None, last_day="2018-03-01"),
        ),
        CODES,
    )
    assert said(found) == [(3, 3), (2, 2), (4, 4)]
    assert all(each.agrees for each in found)
    assert found[1] == Total(GPK, "border.crossing", FIRST, FIRST, "BREST-TERESPOL", None, 2, 2)


def test_silence_differs_and_zero_agrees() -> None:
    found = held(inbox(total(5), total(0, "T-2", checkpoint="PESCHATKA"), total(0, "T-3", "mvd")), CODES)
    assert [(each.agency, each.said, each.held, each.agrees) for each in found] == [
        (GPK, 5, 0, False),
        (GPK, 0, 0, True),
        (MVD, 0, 0, True),
    ]


def test_a_record_counts_once_and_as_its_newest_version_says() -> None:
    agency, family, first = crossing("1")
    moved = json.loads(json.dumps(first))
    moved["header"] |= {"revision": 2, "op": "CORRECT", "occurred_at": "2018-03-01T10:00:00+03:00"}
    sent = [crossing("1"), (agency, family, moved), crossing("2"), crossing("2"), crossing("3")]
    cancelled = ("gpk", "border.crossing", cancellation("3"))
    assert said(held(inbox(*sent, cancelled, total(1)), CODES)) == [(1, 1)]
    assert said(held(inbox(*reversed(sent), cancelled, total(1)), CODES)) == [(1, 1)]


def test_a_total_is_corrected_and_cancelled_like_any_record() -> None:
    corrected = total(1)
    corrected[2]["header"] |= {"revision": 2, "op": "CORRECT"}
    assert said(held(inbox(total(9), corrected, crossing("1")), CODES)) == [(1, 1)]
    assert held(inbox(total(9), ("gpk", "control.total", cancellation("T-1"))), CODES) == []


def test_what_cannot_be_counted_is_no_agreement() -> None:
    """Records of an extended stay name no checkpoint."""
    (found,) = held(inbox(total(0, agency="mvd", family="stay.extended")), CODES)
    assert (found.held, found.agrees) == (None, False)
