"""A trace of about 200 records with every fault that senders make, in rounds, for the crash points.

Most come as entries, as the gateway makes them; some as messages of two agencies, which the Kafka door answers itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from connectors import confluent
from connectors.entry import Entry
from schemas.contracts import FAMILIES
from schemas.header import Header, Kind, Op, record_id
from tests.connectors.events import cancellation, event
from tests.laws.records import CROSSING, Crossing, delivery, digest16

ROUNDS = 8
RECORDS = 170  # of the gateway; twins come on top
LETTERS = 30  # records of the Kafka door

TOPICS = {"gpk": "agency.gpk.border.crossing", "mvd": "agency.mvd.permit.decision"}
_BIRTHS = (19800101, 19810202, 19820303, 19830404)
_AGENCIES = {1: "gpk", 2: "mvd"}


class Letter(NamedTuple):
    """One message of an agency on its own topic."""

    agency: str
    value: bytes


class Round(NamedTuple):
    """What is sent between two ticks."""

    puts: list[list[Entry]]  # each is one request to the gateway
    letters: list[Letter]


Version = Crossing | Entry


def _versions(number: int, first: Crossing) -> Iterator[tuple[int, Version, int]]:
    """Yield after how many rounds, what, and the how-manieth delivery of it; each record has a fault of its own."""
    later = first._replace(revision=2, op=Op.CORRECT, recorded_at=first.recorded_at + 1000)
    other = _BIRTHS[(number + 1) % len(_BIRTHS)]
    twin = first._replace(record=f"{first.record}-twin", agency=3 - first.agency, minute=first.minute + 4)
    faults: dict[int, list[tuple[int, Version, int]]] = {
        0: [(0, first, 0)],
        1: [(0, first, 0), (0, first, 0), (1, first, 1), (2, first, 0)],  # a transport repeat, then sent once more
        2: [(0, first, 0), (1, later._replace(checkpoint="BRUZGI"), 0)],
        3: [(0, first, 0), (1, later._replace(op=Op.CANCEL), 0)],
        4: [(0, later._replace(op=Op.CANCEL), 0), (1, first, 0)],  # the cancellation comes first
        5: [(0, first, 0), (1, later._replace(birth=other), 0)],
        6: [(0, first, 0), (1, later._replace(birth=other), 0), (2, later._replace(revision=3), 0)],
        7: [(0, first, 0), (1, first._replace(minute=first.minute + 60, birth=other), 0)],  # a conflict
        8: [(0, first, 0), (0, twin, 0)],
        9: [(0, first, 0), (0, twin, 0), (2, first._replace(revision=2, op=Op.CANCEL), 0)],
        10: [(0, _refusal(first, 0), 0), (0, _refusal(first, 0), 0), (1, _refusal(first, 1), 0), (1, first, 0)],
        11: [(0, first._replace(number=number), 0), (1, twin._replace(person=-number, number=number, minute=500), 0)],
        12: [(0, first, 0), (1, later._replace(birth=other), 0), (1, later._replace(birth=other), 1)],
        13: [(0, first, 0), (1, first._replace(op=Op.CANCEL, recorded_at=first.recorded_at - 1), 0)],  # loses by date
    }
    yield from faults[number % len(faults)]
    if number == 77:
        yield 0, _unreadable(first._replace(record="unreadable")), 0


def _refusal(crossing: Crossing, nth: int) -> Entry:
    name = digest16("refusal", crossing.record, nth)[:8]
    record = record_id(_AGENCIES[crossing.agency], CROSSING.name, crossing.record)
    header = Header(Kind.REFUSED, 0, crossing.agency, CROSSING.id, 0, 0, 0, 0, 0, 0, 0, 0, record, bytes(16), name)
    return Entry(header, b"\x90", b"")


def _unreadable(crossing: Crossing) -> Entry:
    """Return an entry whose core only a defect of a door could make: it is set aside."""
    return Entry(delivery(crossing).header, b"\xc1", b"")


def _letters() -> Iterator[tuple[int, Letter]]:
    """Yield the round and the message; of some records a correction, a cancellation, a malformed message."""
    for number in range(LETTERS):
        family, agency = (("border.crossing", "gpk"), ("permit.decision", "mvd"))[number % 2]
        about: dict[str, Any] = {"header__record_no": f"L-{number}", "person__document__number": f"AB{number:07}"}
        begin = number * (ROUNDS - 2) // LETTERS

        def letter(value: dict[str, Any], family: str = family, agency: str = agency) -> Letter:
            return Letter(agency, confluent.encode(FAMILIES[family], value))

        yield begin, letter(event(family, **about))
        if number % 3 == 0:
            yield begin + 1, letter(event(family, **about, header__revision=2, header__op="CORRECT", person__sex=2))
        if number % 5 == 0:
            yield begin + 2, letter(cancellation(f"L-{number}", revision=3))
        if number % 4 == 0:
            yield begin, Letter(agency, b"\0\0\0\0\1 not Avro " + bytes([number]))


@cache
def trace() -> tuple[Round, ...]:
    """Return the rounds."""
    sent: list[list[Entry]] = [[] for _ in range(ROUNDS)]
    for number in range(RECORDS):
        first = Crossing(
            f"R-{number}",
            person=1000 + number,
            birth=_BIRTHS[number % len(_BIRTHS)],
            day=17600 + number % 3 * 20,
            minute=number % 12 * 100,
            direction=("IN", "OUT")[number % 2],
            agency=1 + number % 2,
        )
        for after, version, nth in _versions(number, first):
            entry = version if isinstance(version, Entry) else Entry(*delivery(version, nth), b"")
            sent[min(number * ROUNDS // RECORDS + after, ROUNDS - 1)].append(entry)
    rounds = [Round([of[: len(of) // 2], of[len(of) // 2 :]], []) for of in sent]
    for number, letter in _letters():
        rounds[number].letters.append(letter)
    return tuple(rounds)
