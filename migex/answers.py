"""Answers: what the gateway said to each event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from migex.batches import Event


@dataclass(frozen=True, slots=True)
class Listed:
    """The code list that refused a value: its name, which edition of it, and the day for which it was asked."""

    list: str
    version: str
    day: str | None  # ISO 8601


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an event was refused: where, what must hold there, and what to do; never the value itself."""

    code: str  # stable; `Client.error` explains it
    field: str  # a path such as event.checkpoint
    rule: str
    remedy: str
    listed: Listed | None

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Reason:
        """Return the reason that the gateway told; raises KeyError or TypeError when it is none."""
        listed = told.get("listed")
        which = Listed(listed["list"], listed["version"], listed["day"]) if listed else None
        return cls(told["code"], told["field"], told["rule"], told["remedy"], which)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to one event."""

    answer: str  # accepted or refused
    record_no: str | None
    revision: int | None
    receipt: str | None  # of an accepted version: the same for the same record, revision and content
    delivery: str | None  # the same when the same request is sent again
    errors: tuple[Reason, ...]
    event: Event = field(repr=False)  # as it was given; not shown, for it is personal

    @property
    def accepted(self) -> bool:
        """Whether the event was taken in."""
        return self.answer == "accepted"

    @classmethod
    def of(cls, told: Mapping[str, Any], event: Event) -> Verdict:
        """Return the verdict that the gateway told about an event; raises KeyError or TypeError when it is none."""
        errors = tuple(Reason.of(each) for each in told["errors"])
        own = (told["answer"], told["record_no"], told["revision"], told.get("receipt"), told.get("delivery"))
        return cls(*own, errors, event)
