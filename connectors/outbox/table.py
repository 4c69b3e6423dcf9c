"""The outbox's table: which rows go next, what became of them, and which numbers are missing.

What was sent is marked in each row, and no position says "all before is done": so a row that commits late, under a
lower number than others that were sent already, is sent when it comes. A missing number is only shown. It is *open*
while a transaction that was under way when it was noticed may still bring it, then *void*: it was rolled back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, bindparam, text

from connectors.outbox.database import Database
from streams.crash_points import CrashPoint, Reach, never

GAPS_SHOWN = 20
"""Runs of missing numbers that are named, the newest; all of them are counted."""

_NUMBERS = 10_000
"""Numbers looked through for gaps at once."""

_READY = """
FROM migex_outbox o
WHERE o.sent_at IS NULL AND o.batch IS NULL AND (o.retry_at IS NULL OR o.retry_at <= :now)
  AND o.seq <= (SELECT highest FROM migex_outbox_poller)
  AND NOT EXISTS (SELECT 1 FROM migex_outbox e WHERE e.sent_at IS NULL AND e.family = o.family
                  AND e.record_no = o.record_no AND e.seq < o.seq AND e.retry_at > :now)
"""
_OLDEST = f"SELECT o.family {_READY} ORDER BY o.seq LIMIT 1"
_NEXT = f"SELECT o.seq, CAST(o.event AS TEXT) {_READY} AND o.family = :family ORDER BY o.seq LIMIT :most"
_CLAIM = """
UPDATE migex_outbox SET batch = :batch, claimed_at = :now, attempts = attempts + 1, retry_at = NULL
WHERE seq IN :rows AND batch IS NULL
"""
_LATE = """
WITH came AS (SELECT seq FROM migex_outbox WHERE sent_at IS NULL AND batch = :batch AND attempts = 1)
UPDATE migex_outbox_gap SET late = late + (SELECT count(*) FROM came WHERE seq BETWEEN first_seq AND last_seq)
WHERE last_seq >= :first AND first_seq <= :last
  AND EXISTS (SELECT 1 FROM came WHERE seq BETWEEN first_seq AND last_seq)
"""
_MISSING = """
SELECT CASE WHEN horizon IS NULL OR horizon <= :running THEN 'void' ELSE 'open' END AS state,
       last_seq - first_seq + 1 - late AS missing, first_seq, last_seq, late
FROM migex_outbox_gap
"""
_SUMS = f"SELECT state, sum(missing) AS missing, sum(late) AS late FROM ({_MISSING}) runs GROUP BY state"  # noqa: S608  # ours, as the next
_GAPS = f"""
SELECT first_seq, last_seq, missing, state FROM ({_MISSING}) runs
WHERE missing > 0 ORDER BY last_seq DESC LIMIT {GAPS_SHOWN}
"""  # noqa: S608
_CLAIMED = """
SELECT batch, family, seq, CAST(event AS TEXT) AS event FROM migex_outbox
WHERE sent_at IS NULL
  AND batch = (SELECT batch FROM migex_outbox WHERE sent_at IS NULL AND batch IS NOT NULL ORDER BY seq LIMIT 1)
ORDER BY seq
"""
_ANSWER = "UPDATE migex_outbox SET sent_at = :now, answer = :answer, verdict = {verdict} WHERE seq = :seq"
_RELEASE = "UPDATE migex_outbox SET batch = NULL, retry_at = :until WHERE batch = :batch AND sent_at IS NULL"
_CONTACT = "UPDATE migex_outbox_poller SET answered_at = :now, error = NULL, error_at = NULL"
_TROUBLE = "UPDATE migex_outbox_poller SET error = :error, error_at = :now"
_COUNTS = """
SELECT count(*) AS unsent, min(created_at) AS oldest,
       sum(CASE WHEN batch IS NULL THEN 0 ELSE 1 END) AS claimed,
       sum(CASE WHEN retry_at > :now THEN 1 ELSE 0 END) AS aside
FROM migex_outbox WHERE sent_at IS NULL
"""


class Row(NamedTuple):
    """One event that waits."""

    seq: int
    event: str


class Batch(NamedTuple):
    """Rows that go in one request, in their order; `key` is the request's Idempotency-Key."""

    key: str
    family: str
    rows: list[Row]


@dataclass(frozen=True, slots=True)
class Gap:
    """A run of numbers of which some are missing."""

    first_seq: int
    last_seq: int
    missing: int  # how many of them
    state: str  # open: a transaction under way may still bring them; void: nobody will


@dataclass(frozen=True, slots=True)
class Standing:
    """The outbox as it is now; the ages are in seconds, None: there is no such thing."""

    waiting: int  # neither sent nor in a request
    claimed: int  # in the request under way
    aside: int  # of the waiting: the gateway failed on them, they are tried again later
    oldest_secs: float | None  # age of the oldest row that is not sent
    missing_open: int  # numbers that a transaction under way may still bring
    missing_void: int  # numbers that nobody will bring: rolled back, or deleted unsent
    late: int  # numbers that came after higher ones had been seen
    answered_secs: float | None  # since the gateway last answered
    error: str | None  # why it does not answer now
    gaps: Sequence[Gap] = ()  # at most GAPS_SHOWN; empty as well: nobody asked
    accepted: int | None = None  # None: nobody asked
    refused: int | None = None


class OutboxTable:
    """What the poller reads and writes; each method raises as `Database.writing`."""

    def __init__(self, database: Database, reach: Reach = never) -> None:
        """`database` is closed by the caller."""
        self._database = database
        self._writing = database.writing
        self._reach = reach
        verdict = "CAST(:verdict AS jsonb)" if database.dialect == "postgresql" else ":verdict"
        self._answer = text(_ANSWER.format(verdict=verdict))

    def claimed(self) -> Batch | None:
        """Return the request that was begun and not finished, as it was; None: there is none."""
        with self._writing() as connection:
            found = connection.execute(text(_CLAIMED)).all()
        return Batch(found[0].batch, found[0].family, [Row(r.seq, r.event) for r in found]) if found else None

    def claim(self, key: str, now: datetime, most: int, most_bytes: int) -> Batch | None:
        """Put the oldest rows of one family into a request and return it; None: nothing waits.

        Rows of a record go in their order: none goes while an earlier one of its record is set aside.
        """
        at = self._database.instant(now)
        with self._writing() as connection:
            family = connection.execute(text(_OLDEST), {"now": at}).scalar()
            waiting = {"family": family, "now": at, "most": most}
            rows = [Row(*found) for found in connection.execute(text(_NEXT), waiting)]
        rows = _fitting(rows, most_bytes)
        if family is None or not rows:
            return None
        with self._writing() as connection:
            chosen = {"batch": key, "now": at, "rows": [row.seq for row in rows]}
            connection.execute(text(_CLAIM).bindparams(bindparam("rows", expanding=True)), chosen)
            connection.execute(text(_LATE), {"batch": key, "first": rows[0].seq, "last": rows[-1].seq})
        self._reach(CrashPoint.OUTBOX_AFTER_CLAIM)
        return Batch(key, family, rows)

    def answer(self, batch: Batch, verdicts: Sequence[Mapping[str, Any]], now: datetime) -> None:
        """Write each row's verdict; the rows are done."""
        self._reach(CrashPoint.OUTBOX_AFTER_ANSWER)
        at = self._database.instant(now)
        told = [
            {"seq": row.seq, "now": at, "answer": verdict["answer"], "verdict": orjson.dumps(verdict).decode()}
            for row, verdict in zip(batch.rows, verdicts, strict=True)
        ]
        with self._writing() as connection:
            connection.execute(self._answer, told)
            connection.execute(text(_CONTACT), {"now": at})
        self._reach(CrashPoint.OUTBOX_AFTER_VERDICTS)

    def release(self, batch: Batch, until: datetime | None = None) -> None:
        """Take rows out of a request that is given up; `until`: set them aside that long."""
        at = None if until is None else self._database.instant(until)
        with self._writing() as connection:
            connection.execute(text(_RELEASE), {"batch": batch.key, "until": at})

    def trouble(self, error: str, now: datetime) -> None:
        """Note why the gateway does not answer."""
        with self._writing() as connection:
            connection.execute(text(_TROUBLE), {"error": error, "now": self._database.instant(now)})

    def notice(self, now: datetime) -> list[tuple[int, int]]:
        """Note which numbers are missing among those that came since the last time; first and last of each run."""
        found: list[tuple[int, int]] = []
        while self._notice(now, found) == _NUMBERS:
            pass
        return found

    def standing(self, now: datetime, *, totals: bool = False) -> Standing:
        """Return how the outbox is; with `totals` also what was sent, which reads the whole table, and the gaps."""
        with self._writing() as connection:
            counts = connection.execute(text(_COUNTS), {"now": self._database.instant(now)}).one()
            answered = _totals(connection) if totals else {}
            running = {"running": self._oldest_transaction(connection)}
            missing = {row.state: row for row in connection.execute(text(_SUMS), running)}
            gaps = [Gap(*row) for row in connection.execute(text(_GAPS), running)] if totals else []
            poller = connection.execute(text("SELECT answered_at, error FROM migex_outbox_poller")).one()
        return Standing(
            waiting=counts.unsent - int(counts.claimed or 0),
            claimed=int(counts.claimed or 0),
            aside=int(counts.aside or 0),
            oldest_secs=_age(counts.oldest, now),
            missing_open=int(missing["open"].missing) if "open" in missing else 0,
            missing_void=int(missing["void"].missing) if "void" in missing else 0,
            late=sum(int(row.late) for row in missing.values()),
            answered_secs=_age(poller.answered_at, now),
            error=poller.error,
            gaps=gaps,
            accepted=answered.get("accepted", 0) if totals else None,
            refused=answered.get("refused", 0) if totals else None,
        )

    def _notice(self, now: datetime, missing: list[tuple[int, int]]) -> int:
        """Look through the next numbers, add the runs of missing ones, and return how many there were."""
        with self._writing() as connection:
            highest = connection.execute(text("SELECT highest FROM migex_outbox_poller")).scalar_one()
            found = connection.execute(
                text("SELECT seq FROM migex_outbox WHERE seq > :highest ORDER BY seq LIMIT :most"),
                {"highest": highest, "most": _NUMBERS},
            )
            numbers = [int(seq) for (seq,) in found]
            if not numbers:
                return 0
            horizon = self._next_transaction(connection)
            at = self._database.instant(now)
            runs = _gaps(highest, numbers)
            gaps = [{"first": first, "last": last, "at": at, "horizon": horizon} for first, last in runs]
            if gaps:
                connection.execute(
                    text(
                        "INSERT INTO migex_outbox_gap (first_seq, last_seq, noticed_at, horizon)"
                        " VALUES (:first, :last, :at, :horizon)"
                    ),
                    gaps,
                )
            connection.execute(text("UPDATE migex_outbox_poller SET highest = :highest"), {"highest": numbers[-1]})
        missing += runs
        return len(numbers)

    def _next_transaction(self, connection: Connection) -> int | None:
        """Return a number above that of every transaction now under way; None where there is one writer at a time."""
        if self._database.dialect == "sqlite":
            return None
        return int(connection.execute(text("SELECT pg_snapshot_xmax(pg_current_snapshot())::text")).scalar_one())

    def _oldest_transaction(self, connection: Connection) -> int:
        """Return the number of the oldest transaction now under way."""
        if self._database.dialect == "sqlite":
            return 0
        return int(connection.execute(text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text")).scalar_one())


def _totals(connection: Connection) -> dict[str, int]:
    found = connection.execute(text("SELECT answer, count(*) FROM migex_outbox WHERE sent_at IS NOT NULL GROUP BY 1"))
    return {str(answer): int(count) for answer, count in found}


def _gaps(before: int, numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Return first and last of each run of numbers that is missing."""
    found = []
    for number in numbers:
        if number > before + 1:
            found.append((before + 1, number - 1))
        before = number
    return found


def _fitting(rows: list[Row], most_bytes: int) -> list[Row]:
    """Return the first rows that fit; one at least."""
    size = 0
    for number, row in enumerate(rows):
        size += len(row.event.encode()) + 1
        if size > most_bytes and number > 0:
            return rows[:number]
    return rows


def _age(at: datetime | str | None, now: datetime) -> float | None:
    if at is None:
        return None
    since = datetime.fromisoformat(at) if isinstance(at, str) else at
    return max(timedelta(0), now - since).total_seconds()
