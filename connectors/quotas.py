"""Quotas: how much one agency may bring through the gateway, so that none can keep the others out."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from schemas.errors import MigexError


@dataclass(frozen=True, slots=True)
class Quota:
    """What one agency may bring."""

    events_per_sec: float = 20_000
    burst: int = 100_000  # events that may come at once after a pause
    requests: int = 16  # under way at the same time


class OverQuota(MigexError):
    """The agency must wait; nothing was taken in or counted."""

    def __init__(self, code: str, retry_after_secs: int) -> None:
        """`code` is one of the error catalogue; the seconds go into the Retry-After header."""
        super().__init__(code, "The agency must wait; nothing was taken in.")
        self.retry_after_secs = retry_after_secs


class Quotas:
    """What each agency has brought, and whether it may bring more.

    A bucket of tokens for each: who has some left may send a batch of any size, and waits until its debt is worked off.
    """

    def __init__(
        self, usual: Quota, others: Mapping[str, Quota] | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        """`others` are agencies with a quota of their own; `now` in seconds of a clock that never goes back."""
        self._usual = usual
        self._others = others or {}
        self._now = now
        self._left: dict[str, tuple[float, float]] = {}  # agency -> tokens, at
        self._under_way: Counter[str] = Counter()

    @contextmanager
    def request(self, agency: str) -> Iterator[None]:
        """Count a request while the body runs; raises OverQuota when the agency must wait."""
        quota = self._of(agency)
        tokens = self._tokens(agency, quota)
        if tokens <= 0:
            raise OverQuota("over-quota", max(1, math.ceil((1 - tokens) / quota.events_per_sec)))
        if self._under_way[agency] >= quota.requests:
            raise OverQuota("too-many-at-once", 1)
        self._under_way[agency] += 1
        try:
            yield
        finally:
            self._under_way[agency] -= 1

    def spend(self, agency: str, events: int) -> None:
        """Count events that the agency has brought; at least one for a request."""
        self._left[agency] = self._tokens(agency, self._of(agency)) - max(1, events), self._now()

    def _of(self, agency: str) -> Quota:
        return self._others.get(agency, self._usual)

    def _tokens(self, agency: str, quota: Quota) -> float:
        tokens, at = self._left.get(agency, (float(quota.burst), 0.0))
        return min(float(quota.burst), tokens + (self._now() - at) * quota.events_per_sec)
