"""Rules: what must hold between the values of an event beyond their shape."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from connectors.cross_rules import Asked
from connectors.places import EPOCH, Parts, Values
from connectors.plan import HEADER, Check, Plan
from connectors.reasons import of_list, reason
from schemas.errors import Reason

EARLIEST_MOMENT = -2_208_988_800_000
"""1900-01-01T00:00Z in ms since 1970: no register that reports here holds older happenings."""

EARLIEST_DATE, LATEST_DATE = date(1800, 1, 1), date(2200, 12, 31)
LATEST_MOMENT = 7_289_654_400_000
"""2201-01-01T00:00Z in ms since 1970."""

AHEAD_MS = 86_400_000
"""A happening may lie this far ahead of the door's clock: clocks differ, and a day bounds every time zone."""

OLDEST = timedelta(days=130 * 366)
"""No person is older than 130 years at a happening."""

_PAST = frozenset({"header.occurred_at", "header.recorded_at"})


def broken(plan: Plan, parts: Parts, asked: Asked) -> list[Reason]:
    """Return the reasons why an event breaks a rule; none: it may come in."""
    reasons = [*_codes(plan, parts, asked.day), *_body(plan, parts), *_moments(plan, parts, asked.accepted_at)]
    reasons += _dates(plan, parts)
    if plan.births is not None and (born := parts[plan.births]) is not None:
        reasons += _birth(born, asked.day, f"{plan.parts[plan.births].prefix}.birth_date")
    if plan.orders:
        reasons += _orders(plan, parts)
    for test in plan.tests:
        reasons += test(parts, asked)
    return reasons


def _body(plan: Plan, parts: Parts) -> list[Reason]:
    """Without a CANCEL an event is whole (specification of the header, `op`)."""
    header = parts[HEADER]
    if header is None or header["op"] == "CANCEL":
        return []
    lacking = [plan.parts[position].prefix for position in plan.needed if parts[position] is None]
    if header["occurred_at"] is None:
        lacking.append("header.occurred_at")
    return [reason("op-needs-body", field, "Required when op is CREATE or CORRECT.") for field in lacking]


def _moments(plan: Plan, parts: Parts, accepted_at: int) -> Iterator[Reason]:
    for part, name, field in plan.moments:
        values = parts[part]
        if values is None or (at := values[name]) is None:
            continue
        if field.path in _PAST:
            if not EARLIEST_MOMENT <= at <= accepted_at + AHEAD_MS:
                yield reason("date-implausible", field.path, "Between 1900 and one day after now.")
        elif not EARLIEST_MOMENT <= at < LATEST_MOMENT:
            yield reason("date-implausible", field.path, "Between 1900 and 2200.")


def _dates(plan: Plan, parts: Parts) -> Iterator[Reason]:
    for part, name, field in plan.dates:
        values = parts[part]
        if values is not None and (on := values[name]) is not None and not EARLIEST_DATE <= on <= LATEST_DATE:
            yield reason("date-implausible", field.path, "Between 1800 and 2200.")


def _birth(values: Values, day: int | None, path: str) -> list[Reason]:
    born, year = values["birth_date"], values["birth_year"]
    if born is None and year is None:
        return [reason("birth-unknown", path, "birth_date or birth_year is given.")]
    if born is None:
        born = date(year, 1, 1) if type(year) is int and 1 <= year <= 9999 else None
    elif year is not None and born.year != year:
        return [reason("birth-contradiction", path, "birth_year is the year of birth_date.")]
    if born is None or day is None:
        return []
    age = day + EPOCH - born.toordinal()
    if age < 0:
        return [reason("date-order", path, "Nobody is born after the happening.")]
    if age > OLDEST.days:
        return [reason("date-implausible", path, "At most 130 years before the happening.")]
    return []


def _orders(plan: Plan, parts: Parts) -> Iterator[Reason]:
    for place, first in plan.orders:
        values, earlier = parts[place.part], parts[first.part]
        if values is None or earlier is None:
            continue
        this, that = values[place.name], earlier[first.name]
        if this is not None and that is not None and this < that:
            yield reason("date-order", place.field.path, "Not before {field}.", field=first.field.path)


def _codes(plan: Plan, parts: Parts, day: int | None) -> list[Reason]:
    listed = plan.validity.ever if day is None else plan.validity.on(day)
    reasons = []
    for check in plan.checks:
        (part, name, field), position = check
        values = parts[part]
        if values is None or (code := values[name]) is None:
            continue
        valid = listed[position]
        if field.type != "array":
            if code not in valid:
                reasons.append(_off_list(plan, check, code, "", day))
        else:
            reasons += [_off_list(plan, check, c, f"[{i}]", day) for i, c in enumerate(code) if c not in valid]
    return reasons


def _off_list(plan: Plan, check: Check, code: str | int, element: str, day: int | None) -> Reason:
    path = f"{check.place.field.path}{element}"
    listed, codes = plan.validity.edition(check.listed, day)
    known = code in plan.validity.ever[check.listed]
    return of_list(plan.family, "code-not-valid-at-date" if known else "not-in-codelist", path, listed, codes)
