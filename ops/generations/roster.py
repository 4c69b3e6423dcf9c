"""Roster: for which generations a machine runs workers, as the feed store says."""

from __future__ import annotations

import os

from connectors.feed_store import FeedStore, Generation, State
from connectors.feed_store.manifest import LIVE
from ops.crews import Place, Program, crew
from ops.generations import targets
from ops.generations.rules import manifest
from ops.notes import Setbacks
from ops.settings import Settings
from schemas.errors import Misconfigured, Unavailable
from streams.fold import VERSION


class Roster:
    """The workers of all generations that are alive, as the feed store has them; asked again and again."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is opened before the first call."""
        self._settings = settings
        self._store: FeedStore | None = None
        self._places: dict[int, Place] = {}
        self._setbacks = Setbacks()

    def __call__(self) -> dict[str, Program] | None:
        """Return name and program of all workers that should run here; None: nobody can say now, go on as before.

        Prometheus is told of them, see `targets`.
        """
        found: list[Generation] | None = None
        with self._setbacks.borne("Which generations there are is not known now.", Unavailable):
            found = self._alive()
        if found is None:
            return None
        self._places = {each.number: self._place(each) for each in found}
        programs = {
            name: program for each in found for name, program in crew(self._settings, each, self._places[each.number])
        }
        current = next((each.number for each in found if each.state == State.CURRENT), None)
        with self._setbacks.borne("Prometheus cannot be told of the workers."):
            targets.write(self._settings.home / "crews.json", targets.targets(programs, current))
        return programs

    def numbers(self) -> list[int]:
        """Return the generations to work for, the current one first; the settings' own when nobody can say now."""
        try:
            return [each.number for each in self._alive()]
        except Unavailable:
            return [self._settings.generation]
        finally:
            self.close()

    def close(self) -> None:
        """Close the feed store."""
        if self._store is not None:
            self._store.close()
            self._store = None

    def _alive(self) -> list[Generation]:
        """Return the generations to work for, the current one first; those of another program's folds are its own."""
        own = self._settings.generation
        try:
            if self._store is None:
                self._store = FeedStore(self._settings.feed_url, own)
            generations = self._store.generations
            if generations.current() is None:
                generations.enrol(own, manifest(self._settings))
            found = [each for each in generations.all() if each.state in LIVE and each.manifest.folds == VERSION]
        except Misconfigured:  # its workers find that too, and say so in their logs
            return [Generation(own, State.CURRENT, manifest(self._settings), 0)]
        return sorted(found, key=lambda each: (each.state != State.CURRENT, each.number))

    def _place(self, generation: Generation) -> Place:
        known = self._places.get(generation.number)
        if known is not None:
            return known
        taken = {place.number for place in self._places.values()}
        free = next(number for number in range(len(self._places) + 1) if number not in taken)
        building = generation.state == State.BUILDING
        place = Place(free, (os.cpu_count() or 1) if building else self._settings.reconcilers)
        self._places[generation.number] = place
        return place
