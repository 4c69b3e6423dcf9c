"""The poller: brings the outbox's rows to the gateway, one request after another, and writes the verdicts back.

At least once: a request is written into its rows before it is sent, and what was not answered is sent again under the
same key, so that the gateway counts it once. What fails a request is looked for by halves; a row on which the gateway
itself fails is set aside for a while, with the later ones of its record, and all others go on.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from connectors.outbox.database import Bell, Stop
from connectors.outbox.delivery import Away, Defect, Gateway, Told
from connectors.outbox.table import Batch, OutboxTable
from streams.telemetry import OutboxTelemetry

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """How much goes at once and how long is waited."""

    rows: int = 500
    bytes: int = 4 * 1024 * 1024
    idle_secs: float = 5.0  # at most between two looks, also when no notification comes
    first_wait_secs: float = 0.5  # after the first failure, twice as long after each further one
    longest_wait_secs: float = 60.0
    aside_secs: float = 600.0  # for a row on which the gateway fails


@dataclass(frozen=True, slots=True)
class Edges:
    """What the poller needs from outside."""

    table: OutboxTable
    gateway: Gateway
    telemetry: OutboxTelemetry
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    chance: Callable[[], float] = random.random  # 0 to 1, so that many pollers do not come back all at once


class Poller:
    """Works on one outbox; there must be no other."""

    def __init__(self, edges: Edges, pace: Pace | None = None) -> None:
        """Nothing is read yet."""
        self._edges = edges
        self._pace = pace or Pace()
        self._most = self._pace.rows
        self._failures = 0
        self._show_at = edges.now()

    def run(self, bell: Bell, stop: Stop) -> None:
        """Work until it is asked to end; raises Unavailable when the database does not answer."""
        while not stop.is_set():
            wait = self.step()
            self._show(at_once=wait != 0.0)
            if wait is None:
                bell.wait(self._pace.idle_secs, stop)
            elif wait > 0:
                stop.wait(wait)

    def step(self) -> float | None:
        """Bring one request to its end, and return how many seconds to wait; None: there is nothing to do.

        Raises as `OutboxTable`.
        """
        table, now = self._edges.table, self._edges.now()
        if missing := table.notice(now):
            _log.warning(
                "Numbers are missing in the outbox; `migex outbox status` says whether they may still come.",
                first=missing[0][0],
                last=missing[-1][1],
                runs=len(missing),
            )
        batch = table.claimed() or table.claim(secrets.token_hex(16), now, self._most, self._pace.bytes)
        if batch is None:
            return None
        outcome = self._edges.gateway.send(batch.family, batch.rows, batch.key)
        if isinstance(outcome, Away):
            return self._wait(outcome)
        if isinstance(outcome, Told):
            self._failures = 0
            self._answer(batch, outcome.verdicts)
            return 0.0
        self._narrow(batch)
        return self._pause() if isinstance(outcome, Defect) else 0.0

    def _show(self, *, at_once: bool) -> None:
        """Show how the outbox is; while much is to be brought, only now and then, for it is counted each time."""
        now = self._edges.now()
        if not at_once and now < self._show_at:
            return
        self._show_at = now + timedelta(seconds=self._pace.idle_secs)
        found = self._edges.table.standing(now)
        self._edges.telemetry.rows({"waiting": found.waiting, "claimed": found.claimed, "aside": found.aside})
        self._edges.telemetry.missing({"open": found.missing_open, "void": found.missing_void})
        self._edges.telemetry.oldest(found.oldest_secs or 0.0)

    def _answer(self, batch: Batch, verdicts: Sequence[dict[str, Any]]) -> None:
        self._edges.table.answer(batch, verdicts, self._edges.now())
        self._edges.telemetry.answered([str(verdict["answer"]) for verdict in verdicts])
        self._most = min(self._pace.rows, self._most * 2)

    def _narrow(self, batch: Batch) -> None:
        """Send fewer rows at once; a single one is set aside."""
        if len(batch.rows) > 1:
            self._most = len(batch.rows) // 2
            self._edges.table.release(batch)
            return
        until = self._edges.now() + timedelta(seconds=self._pace.aside_secs)
        _log.error("The gateway fails on one event; it is tried again later.", seq=batch.rows[0].seq)
        self._edges.table.release(batch, until)

    def _wait(self, away: Away) -> float:
        """Note why nobody answers, and return how long to wait."""
        wait = max(away.retry_after_secs or 0.0, self._pause())
        _log.warning("The gateway takes nothing now; the same is sent again.", reason=away.reason, secs=round(wait, 1))
        self._edges.telemetry.failed()
        self._edges.table.trouble(away.reason, self._edges.now())
        return wait

    def _pause(self) -> float:
        """Return how long to wait after one more failure in a row."""
        pace = self._pace
        longest = min(pace.longest_wait_secs, pace.first_wait_secs * 2 ** min(self._failures, 30))
        self._failures += 1
        return float(longest * (0.5 + self._edges.chance() / 2))
