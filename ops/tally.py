"""Tally: what a sender was told about its deliveries; compared with what the doors counted and what the books say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Tally:
    """The verdicts of one sender, counted as they come."""

    accepted: int = 0
    refused: int = 0
    unsendable: int = 0  # Kafka takes no message of that size: it was never delivered
    codes: Counter[str] = field(default_factory=Counter)  # reasons of refusals by code; one refusal may have several

    @property
    def sent(self) -> int:
        """Deliveries that got a verdict."""
        return self.accepted + self.refused

    def told(self, verdict: Mapping[str, Any]) -> None:
        """Count one verdict, or one problem that refuses a delivery."""
        if verdict["answer"] == "accepted":
            self.accepted += 1
        else:
            self.refused += 1
            self.codes.update(each["code"] for each in verdict["errors"])

    def __iadd__(self, other: Tally) -> Tally:
        """Add another sender's counts."""
        self.accepted += other.accepted
        self.refused += other.refused
        self.unsendable += other.unsendable
        self.codes += other.codes
        return self

    def lines(self) -> Iterable[str]:
        """Yield the tally for people to read."""
        yield f"sent {self.sent:,}   accepted {self.accepted:,}   refused {self.refused:,}"
        for code, count in self.codes.most_common():
            yield f"  {code}  {count:,}"
        if self.unsendable:
            yield f"not sent, because Kafka takes no message that large: {self.unsendable:,}"
