"""Site: what the commands about generations share: the settings, the open feed store, and its generations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import NamedTuple

from connectors.feed_store import FeedStore, Generation, Generations
from ops.settings import Settings
from schemas.errors import Reason, Refused


class Site(NamedTuple):
    """One system's settings and feed store."""

    settings: Settings
    store: FeedStore

    @property
    def generations(self) -> Generations:
        """The generations of the store."""
        return self.store.generations

    def current(self) -> int:
        """Return the generation that readers see; raises Refused before there is one."""
        found = self.generations.current()
        if found is None:
            rule = "Nothing has been counted here yet."
            raise Refused((Reason("generation-none", "generation", rule, "Start the system first: `migex up`."),))
        return found

    def generation(self, number: int) -> Generation:
        """Return a generation whose figures are there; raises Refused for another."""
        self.store.shown(number)
        found = self.generations.find(number)
        assert found is not None  # noqa: S101 - or it had been refused
        return found


@contextmanager
def site(settings: Settings) -> Iterator[Site]:
    """Open the feed store; raises Misconfigured or Unavailable."""
    with closing(FeedStore(settings.feed_url, settings.generation)) as store:
        yield Site(settings, store)
