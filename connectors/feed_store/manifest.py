"""What a generation is: its number, its state, and the manifest of what it counts by (law L6)."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

SILENT = 2**53
"""A tick that never comes: a generation that speaks from it tells nobody anything."""


class State(StrEnum):
    """What may be done with a generation."""

    BUILDING = "building"  # not as far as the current one yet
    READY = "ready"  # built, and kept up to date while its workers run
    CURRENT = "current"  # the one that readers see
    DROPPING = "dropping"  # its workers end, its rows go
    DROPPED = "dropped"  # its number is not used again


LIVE = (State.CURRENT, State.READY, State.BUILDING)
"""The states in which workers work for it."""


class Manifest(msgspec.Struct, frozen=True):
    """By what a generation counts, and how it began."""

    folds: int  # streams.fold.VERSION
    convention: str  # SHA-256 over the convention's counting part
    codelists: str  # SHA-256 over the code lists
    speaks_from: int = 0  # conflicts before this tick were told by the generation before
    every_from: int = 0  # before this tick only some close a cut, see streams.thinning
    previous: int = 0  # the generation that was current when it began; 0: none
    convention_file: str = ""  # where that convention lay when it began
    link_level: int = 1  # of link keys: cores of earlier levels are lifted to it, so no figure depends on it

    def counts_as(self, other: Manifest) -> bool:
        """Whether both give the same figures from the same inbox."""
        return self.rules() == other.rules()

    def rules(self) -> tuple[int, str, str]:
        """Return what decides over figures."""
        return self.folds, self.convention, self.codelists


class Generation(NamedTuple):
    """One way of counting."""

    number: int
    state: State
    manifest: Manifest
    created_at: int  # ms since 1970-01-01T00:00Z


class Act(NamedTuple):
    """Something that was done with a generation, for whoever asks later."""

    at: int  # ms since 1970-01-01T00:00Z
    what: str  # build, compare, switch, drop, prove
    generation: int
    detail: dict[str, Any]


class Standing(NamedTuple):
    """How far a generation is: its oldest and its newest cut (seconds since 1970; 0: none)."""

    oldest: int
    newest: int
