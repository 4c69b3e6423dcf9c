"""Looks at the system while it works: the books at the newest cut, and how old that cut is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from prometheus_client.parser import text_string_to_metric_families

from connectors.feed_store import BookRow, Cell, FeedStore
from ops import status
from ops.crews import addresses
from ops.demo.oracle import ENTRIES, ZERO_ENTRIES, Account, unbalanced
from ops.settings import Settings
from schemas.contracts import FAMILIES
from schemas.conventions import Convention
from streams.dataflows.f06 import F06

_AGE = "migex_cut_age_seconds"
_UNKNOWN = "unknown"

Books = dict[Account, dict[str, int]]
"""Counts by entry, of each agency and family."""


class Watch:
    """Reads the feed store as any reader does: the current generation, whichever that is now; it writes nothing."""

    def __init__(self, settings: Settings, convention: Convention) -> None:
        """Open the feed store; raises Unavailable when the database does not answer."""
        self._settings = settings
        self._store = FeedStore(settings.feed_url, settings.generation)
        self._agencies = {agency.id: code for code, agency in convention.agencies.items()}
        self._families = {family.id: name for name, family in FAMILIES.items()}

    def close(self) -> None:
        """Close the feed store."""
        self._store.close()

    def books(self) -> Books:
        """Return the books at the newest cut."""
        return {self._account(row): {e: row[e] for e in ENTRIES + ZERO_ENTRIES} for row in self._store.shown().books()}

    def cells(self) -> list[Cell]:
        """Return all cells of F06 at the newest cut."""
        return self._store.shown().cells(F06.id)

    def _account(self, row: BookRow) -> Account:
        return self._agencies.get(row.agency, _UNKNOWN), self._families.get(row.family, _UNKNOWN)

    async def until_balanced(
        self, told: Callable[[], dict[Account, int] | None], progress: Callable[[int], None], secs: float
    ) -> bool:
        """Wait until the books know every delivery that the senders were told of, and balance (law L5).

        `told` returns None while deliveries are still under way. Returns False when the books do not balance within
        `secs` after that.
        """
        end = None
        while True:
            answered = told()
            books = await asyncio.to_thread(self.books)
            progress(sum(book["deliveries"] for book in books.values()))
            counted = {account: book["deliveries"] for account, book in books.items() if book["deliveries"]}
            if counted == answered and not any(unbalanced(book) for book in books.values()):
                return True
            if answered is not None:
                end = end or time.monotonic() + secs
                if time.monotonic() > end:
                    return False
            await asyncio.sleep(0.5)

    async def cut_ages(self, ages: list[float]) -> None:
        """Add the age of the newest cut to the list twice a second until cancelled; nothing while aggregate is away."""
        while True:
            for text in await asyncio.to_thread(self._metrics):
                ages.extend(cut_age(text))
            await asyncio.sleep(0.5)

    def _metrics(self) -> list[str]:
        """Return the metrics of the aggregate workers that answer."""
        places = addresses(self._settings, "aggregate", self._store.shown().generation)
        return [text for place in places if (text := status.get(*place, "/metrics")) is not None]


def cut_age(metrics: str) -> list[float]:
    """Return the cut's age in seconds as a process' metrics state it; empty before the first cut."""
    return [
        sample.value
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if sample.name == _AGE and sample.value < 3600
    ]
