"""The checker: every cell, every record's outcome and the books, against the independent count.

Like the count it compares with (`ops.chaos.reckon`), it imports nothing of the product: a defect that both had would be
seen by neither. What should be there and is not, is lost; what is there and should not be, is double.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ops.chaos.ledger import Ledger
from ops.chaos.reckon import Fate, Reckoning, Version
from ops.chaos.tables import TABLES, derived

_SHOWN = 40
_ZERO = ("quarantined", "broken_frames")
"""Entries of the books that must not appear: nothing that is sent breaks a fold."""

_STANDINGS = {"counted": "speaks", "outside": "speaks", "represented": "represented", "quarantined": "quarantined"}
"""What a worker says of a record -> whether it represents what happened; where it counts stands in its cells."""


@dataclass(slots=True)
class Result:
    """What the comparison found."""

    accepted: int = 0  # deliveries of which a sender was told so
    cells: int = 0
    records: int = 0
    lost: int = 0
    double: int = 0
    differences: list[str] = field(default_factory=list)
    """The first of them, in words, without anything personal."""

    @property
    def exact(self) -> bool:
        """Whether nothing differs."""
        return not self.lost and not self.double

    def differs(self, what: str, missing: int) -> None:
        """Note a difference: so many are missing, or, below zero, too many; 0: nothing differs."""
        self.lost += max(0, missing)
        self.double += max(0, -missing)
        if missing and len(self.differences) < _SHOWN:
            self.differences.append(f"{what}: {abs(missing)} {'lost' if missing > 0 else 'double'}")


def check(ledger: Ledger, reckoned: Reckoning) -> Result:
    """Compare all that was found with what must have come of what was told."""
    result = Result(accepted=reckoned.accepted)
    result.differs("answers that a delivery did not deserve", reckoned.misjudged)
    found = ledger.cells()
    _cells(result, reckoned.cells() | derived(found), found)
    _books(result, reckoned, ledger)
    for fate in reckoned.fates():
        result.records += 1
        _record(result, fate, ledger.fate(fate.record))
    return result


def _cells(result: Result, wanted: Mapping[str, int], found: Mapping[str, int]) -> None:
    keys = sorted({*wanted, *found})
    result.cells = len(keys)
    for key in keys:
        result.differs(f"cell {key}", wanted.get(key, 0) - found.get(key, 0))


def _books(result: Result, reckoned: Reckoning, ledger: Ledger) -> None:
    found = ledger.books()
    for account in sorted({*reckoned.accounts, *found}):
        wanted, book = reckoned.accounts.get(account, {}), found.get(account, {})
        name = " ".join(account)
        for entry in sorted({*wanted, *book, *_ZERO}):
            result.differs(f"books {name}: {entry}", _outside(wanted.get(entry, (0, 0)), book.get(entry, 0)))
        for whole, *parts in (
            ("deliveries", "refused", "duplicate", "new_version"),
            ("new_version", "current", "superseded", "cancelled"),
            ("current", "speaking", "quarantined"),
        ):
            result.differs(
                f"books {name}: {whole} = {' + '.join(parts)}", book.get(whole, 0) - sum(book.get(p, 0) for p in parts)
            )


def _record(result: Result, wanted: Fate, found: Mapping[str, Any] | None) -> None:
    name = f"record {wanted.id}"
    if found is None:
        result.differs(f"{name}: never heard of", len(wanted.versions) or wanted.refused[0])
        return
    _versions(result, name, wanted.versions, found["versions"])
    result.differs(f"{name}: refused deliveries", _outside(wanted.refused, found["refused_deliveries"]))
    cancelled = bool(wanted.versions) and wanted.represented_by is None
    result.differs(f"{name}: cancelled", cancelled - found["cancelled"])
    speaks_for = wanted.represented_by == wanted.id
    result.differs(f"{name}: represented", _differ(_standing(wanted), _STANDINGS.get(found["standing"])))
    theirs = None if speaks_for else wanted.represented_by
    result.differs(f"{name}: by whom it is represented", _differ(theirs, found.get("represented_by")))
    cells = Counter(wanted.cells if speaks_for else [])
    told = Counter(cell for cell in found["cells"] if cell.startswith(TABLES))
    result.differs(f"{name}: not in its cells", (cells - told).total())
    result.differs(f"{name}: in other cells", -(told - cells).total())


def _standing(wanted: Fate) -> str | None:
    if wanted.represented_by is None:
        return None
    return "speaks" if wanted.represented_by == wanted.id else "represented"


def _versions(result: Result, name: str, wanted: list[Version], found: list[Mapping[str, Any]]) -> None:
    """Compare the versions by all that can be known of them outside, then how often each was delivered."""
    must = {(v.revision, v.op, v.recorded_at, v.speaks): v for v in wanted}
    known = {
        (v["revision"], v["op"], round(datetime.fromisoformat(v["recorded_at"]).timestamp() * 1000), v["speaks"]): v
        for v in found
    }
    result.differs(f"{name}: versions", len(must.keys() - known.keys()))
    result.differs(f"{name}: versions", -len(known.keys() - must.keys()))
    result.differs(f"{name}: as many versions", (len(wanted) - len(must)) - (len(found) - len(known)))
    for key in must.keys() & known.keys():
        times = must[key].least, must[key].most
        result.differs(f"{name}: deliveries of a version", _outside(times, known[key]["deliveries"]))


def _outside(between: tuple[int, int], count: int) -> int:
    """Return how many are missing, or, below zero, too many; 0 within the bounds."""
    least, most = between
    return least - count if count < least else min(0, most - count)


def _differ(wanted: str | None, found: str | None) -> int:
    """Return 1 when what should be is not so, -1 when nothing should be there."""
    if wanted == found:
        return 0
    return -1 if wanted is None else 1
