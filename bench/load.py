"""A loaded inbox for the benchmarks: frames of synthetic border crossings, as the doors would have written them.

1 M originals make about 1.14 M records: 10 % duplicates, 3 % corrections (half of them of the birth date, so that the
record moves to another block), 1 % cancellations, some versions before their original; five crossings a person.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b

from schemas import core, frame, header
from schemas.contracts import FAMILIES
from schemas.header import Header, Kind, Op
from streams.topics import partition

RECORDS_AN_ORIGINAL = 1.14
CROSSING = FAMILIES["border.crossing"]
DAY_MS = 86_400_000
FIRST_DAY = 17_532  # 2018-01-01
_PLACES = [f"BCP{n:03d}" for n in range(50)]
_MODES = ("CAR", "BUS", "RAIL", "AIR")
_NATIONS = ("DEU", "FRA", "POL", "UKR", "UZB", "TUR", "IND", "BRA", "USA", "CHN", "KAZ", "KGZ")


def _digest(*parts: object) -> bytes:
    return blake2b(repr(parts).encode(), digest_size=16).digest()


def _birth(person: int, wrong: bool = False) -> int:
    chance = random.Random(person)
    year, month, day = chance.randrange(1940, 2010), chance.randrange(1, 13), chance.randrange(1, 28)
    return (year - wrong) * 10_000 + month * 100 + day


def _entry(number: int, revision: int, op: Op, *, wrong: bool = False, delivery: int = 0) -> tuple[Header, bytes]:
    chance = random.Random(number)
    person = chance.randrange(max(1, number // 5 + 200))
    day = FIRST_DAY + chance.randrange(365)
    at = day * DAY_MS + chance.randrange(DAY_MS)
    birth = _birth(person, wrong)
    keys = b"".join(bytes([kind]) + _digest(kind, person) for kind in (core.PERSONAL_NO, core.DOCUMENT, core.NAME))
    values = {
        "direction": chance.choice(("IN", "OUT")),
        "checkpoint": chance.choice(_PLACES),
        "section": "PL",
        "mode": chance.choice(_MODES),
        "purpose": None,
        "result": "PASSED",
    }
    codes = tuple(values[name] for name in CROSSING.core_fields)
    nation = _NATIONS[person % len(_NATIONS)]
    body = core.encode(core.Core(day, at, keys, birth, 1 + person % 2, (nation,), codes))
    top = Header(
        kind=Kind.EVENT,
        op=op,
        agency=1,
        family=CROSSING.id,
        revision=revision,
        seq=0,
        block=0 if op == Op.CANCEL else birth,
        schema_id=CROSSING.schema_id,
        link_key_id=1,
        body_key_id=0,
        recorded_at=at + 3_600_000,
        accepted_at=at + 7_200_000,
        record=_digest("record", number),
        digest=_digest("content", number, op, wrong),
        delivery=_digest(number, revision, delivery)[:8],
    )
    return top, b"" if op == Op.CANCEL else body


def entries(originals: int, seed: int = 7, first: int = 0) -> Iterator[tuple[Header, bytes]]:
    """Yield the deliveries, originals with their duplicates, corrections and cancellations mixed in.

    Records are numbered from `first` on.
    """
    chance = random.Random(seed)
    waiting: list[tuple[Header, bytes]] = []
    for number in range(first, first + originals):
        draw = chance.random()
        if draw < 0.03:
            wrong = draw < 0.015
            pair = [_entry(number, 1, Op.CREATE, wrong=wrong), _entry(number, 2, Op.CORRECT)]
            if chance.random() < 0.2:
                pair.reverse()
            yield pair[0]
            waiting.append(pair[1])
        else:
            yield _entry(number, 1, Op.CREATE)
            if draw > 0.99:
                waiting.append(_entry(number, 2, Op.CANCEL))
        if chance.random() < 0.10:
            waiting.append(_entry(number, 1, Op.CREATE, wrong=draw < 0.015, delivery=1))
        if len(waiting) > 500:
            chance.shuffle(waiting)
            yield from waiting[:250]
            del waiting[:250]
    yield from waiting


def frames(
    originals: int, partitions: int, size: int = frame.MAX_RECORDS, ops: Counter[Op] | None = None, *, first: int = 0
) -> Iterator[tuple[int, int, bytes]]:
    """Yield (partition, records, frame) until all entries are out; `ops` is told how many there were of each kind."""
    rows: list[list[tuple[Header, bytes]]] = [[] for _ in range(partitions)]
    for top, body in entries(originals, first=first):
        if ops is not None:
            ops[Op(top.op)] += 1
        where = partition(top.record, partitions)
        rows[where].append((top, body))
        if len(rows[where]) == size:
            yield where, size, _frame(rows[where])
            rows[where] = []
    for where, rest in enumerate(rows):
        if rest:
            yield where, len(rest), _frame(rest)


def _frame(rows: list[tuple[Header, bytes]]) -> bytes:
    cores = [body for _, body in rows]
    bodies = [b"\x00" * 130 for _ in rows]  # about the stored Avro body of a crossing
    tops = header.pack([top for top, _ in rows])
    return frame.encode(
        frame.Frame(-1, 0, -1, 0, tops, frame.sizes(cores), b"".join(cores), frame.sizes(bodies), b"".join(bodies), b"")
    )
