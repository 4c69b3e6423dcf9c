"""What must be counted, reckoned from the inbox alone and by none of the folds' code."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from schemas import core, frame, header
from schemas.contracts import FAMILIES
from schemas.core import Core
from schemas.header import Header, Kind, Op

_CROSSING = FAMILIES["border.crossing"]
_DIRECTION, _CHECKPOINT = (_CROSSING.core_fields.index(name) for name in ("direction", "checkpoint"))
_TOLERANCE_MS = 10 * 60_000  # two agencies' reports of one crossing (conventions, 5.1)

Account = tuple[int, int, str]
"""Agency, family, entry of the books."""

Place = tuple[str, str, str]
"""Month, direction, checkpoint of crossings."""


class Count(NamedTuple):
    """What the books and the table of crossings must say."""

    books: dict[Account, int]
    crossings: dict[Place, int]


Row = tuple[Header, bytes]


@lru_cache(1 << 14)
def read(value: bytes) -> tuple[int, tuple[Row, ...]]:
    """Return a frame's tick and rows; the same frames come again in every run."""
    held = frame.decode(value)
    cores = frame.split(held.core_sizes, held.cores)
    return held.tick, tuple(zip(header.unpack(held.headers), cores, strict=True))


def before(partitions: Iterable[Sequence[bytes]], tick: int) -> list[Row]:
    """Return all that the partitions hold before they reach a tick for the first time."""
    rows: list[Row] = []
    for partition in partitions:
        for value in partition:
            reached, more = read(value)
            if reached == tick:
                break
            rows.extend(more)
    return rows


def count(rows: Iterable[Row]) -> Count:
    """Return what must be counted when these deliveries have come."""
    books: Counter[Account] = Counter()
    versions: defaultdict[bytes, dict[tuple[int, bytes], Row]] = defaultdict(dict)
    for (record, _), row in {(row[0].record, row[0].delivery): row for row in rows}.items():
        head = row[0]
        books[head.agency, head.family, "deliveries"] += 1
        if head.kind == Kind.REFUSED:
            books[head.agency, head.family, "refused"] += 1
            continue
        known = versions[record].get((head.revision, head.digest))
        if known is not None:
            books[head.agency, head.family, "duplicate"] += 1
        if known is None or head.recorded_at < known[0].recorded_at:
            versions[record][head.revision, head.digest] = row
    current = [best for of_record in versions.values() if (best := _divide(books, of_record)) is not None]
    crossings = _crossings(books, current)
    return Count(dict(+books), crossings)


def _divide(books: Counter[Account], versions: dict[tuple[int, bytes], Row]) -> Row | None:
    """Enter one record's versions in the books; return the one that speaks."""
    best = max(versions.values(), key=lambda row: (row[0].revision, row[0].recorded_at, row[0].digest))
    account = best[0].agency, best[0].family
    books[*account, "new_version"] += len(versions)
    books[*account, "superseded"] += len(versions) - 1
    revisions = Counter(revision for revision, _ in versions)
    books[*account, "conflict"] += sum(times - 1 for times in revisions.values())
    cancelled = best[0].op == Op.CANCEL
    books[*account, "cancelled" if cancelled else "current"] += 1
    return None if cancelled else best


def _crossings(books: Counter[Account], current: list[Row]) -> dict[Place, int]:
    """Count crossings: reports of one document at one checkpoint within ten minutes are one."""
    acts: defaultdict[tuple[Place, int, bytes], list[int]] = defaultdict(list)
    for head, raw in current:
        try:
            told = core.decode(raw)
        except Exception:  # whatever it is, it must have been set aside
            books[head.agency, head.family, "quarantined"] += 1
            continue
        books[head.agency, head.family, "speaking"] += 1
        if head.family == _CROSSING.id:
            acts[_place(told), told.birth, _document(told)].append(told.at)
    found: Counter[Place] = Counter()
    for (place, _, _), times in acts.items():
        times.sort()
        found[place] += 1 + sum(b - a > _TOLERANCE_MS for a, b in pairwise(times))
    return dict(found)


def _place(told: Core) -> Place:
    month = (date(1970, 1, 1) + timedelta(days=told.day)).strftime("%Y-%m")
    return month, str(told.codes[_DIRECTION]), str(told.codes[_CHECKPOINT])


def _document(told: Core) -> bytes:
    return next(key for key in core.link_keys(told.keys) if key[0] == core.DOCUMENT)
