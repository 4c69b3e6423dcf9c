"""Synthetic events for the tests of the doors."""

from __future__ import annotations

import copy
from typing import Any

import orjson

from connectors.admission import Admission
from schemas import conventions
from schemas.codelists import CodeLists
from schemas.contracts import FAMILIES
from schemas.keys import Secrets

NOW = 1_760_000_000_000
"""The door's clock in these tests: 2025-10-09, in ms since 1970."""

SECRETS = Secrets(link_key=bytes(range(32)), digest_key=bytes(range(32, 64)))

REPORTER = {
    family: min(
        (agency for agency in conventions.load().agencies.values() if family in agency.families),
        key=lambda agency: agency.precedence[family],
    ).code
    for family in FAMILIES
} | {"reference.partner_table": "stat_ru"}  # whose country the example is of
"""Who reports a family in these tests: the agency that takes precedence."""

REMOVE = object()


def admission() -> Admission:
    """Return the admission of the default convention."""
    convention = conventions.load()
    return Admission(convention, CodeLists.load(*convention.codelist_directories), SECRETS)


def event(family: str = "border.crossing", **changes: Any) -> dict[str, Any]:
    """Return the family's example with some values replaced, by path with `__` for the dot; `REMOVE` takes one away."""
    changed: dict[str, Any] = copy.deepcopy(FAMILIES[family].example)
    for path, value in changes.items():
        *owners, name = path.split("__")
        place = changed
        for owner in owners:
            place = place[owner]
        if value is REMOVE:
            del place[name]
        else:
            place[name] = value
    return changed


def own(family: str, agency: str) -> dict[str, Any]:
    """Return the family's example as this agency may send it: of one of its own families, of its own country."""
    sender = conventions.load().agencies[agency]
    if family == "control.total":
        return event(family, event__family=sender.families[0])
    if family == "reference.partner_table" and sender.country is not None:
        partner = next(code for code in ("BLR", "RUS") if code != sender.country)
        return event(family, event__reporter=sender.country, event__partner=partner)
    return event(family)


def line(family: str = "border.crossing", **changes: Any) -> bytes:
    """Return `event` as JSON."""
    return orjson.dumps(event(family, **changes))


def cancellation(record_no: str = "A-17", revision: int = 2) -> dict[str, Any]:
    """Return a bare cancellation."""
    header = {"record_no": record_no, "revision": revision, "op": "CANCEL", "recorded_at": "2018-03-02T08:00:00+03:00"}
    return {"header": header}
