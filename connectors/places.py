"""Places: where the values of an event stand, once it is cut into its records."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, NamedTuple

from schemas.contracts import Field

EPOCH = date(1970, 1, 1).toordinal()

Values = dict[str, Any]
Parts = Sequence[Values | None]
"""The records of one event in the order of `Plan.parts`: the whole, header, perhaps person and document, event."""


class Place(NamedTuple):
    """Where a value stands: position of its part, name, and the contract's words about it."""

    part: int
    name: str
    field: Field

    def value(self, parts: Parts) -> Any:
        """Return the value; None where it, or the record that holds it, is absent."""
        values = parts[self.part]
        return None if values is None else values[self.name]
