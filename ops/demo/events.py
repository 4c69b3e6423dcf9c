"""What an agency reports about a crossing, version by version, in the event JSON form."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import orjson

from ops.demo.bts import DIRECTION, Port
from ops.demo.people import Person

FAMILY = "border.crossing"
Event = dict[str, Any]
"""An event as its JSON object."""

PURPOSES = (None, "VISIT", "LEISURE", "WORK", None, "TRANSIT", None, "RETURN")


class Version(NamedTuple):
    """One version of one record, as its agency knows it then; times are seconds since 1970-01-01T00:00Z."""

    agency: str
    record_no: str
    revision: int
    op: str
    at: int
    recorded_at: int
    port: Port
    mode: str
    person: Person
    birth: date
    bare: bool  # a cancellation that says no more than which record it cancels


class Clock:
    """Instants as text, in the country's time zone or in UTC."""

    def __init__(self, zone: ZoneInfo, local: frozenset[str]) -> None:
        """`local` are the agencies that write local time with its offset; the others write UTC."""
        self._zone = zone
        self._local = local

    def text(self, at: int, agency: str) -> str:
        """Return the instant as this agency writes it, ISO 8601 with offset."""
        return datetime.fromtimestamp(at, self._zone if agency in self._local else UTC).isoformat()


def event(version: Version, clock: Clock) -> Event:
    """Return the event's JSON object."""
    agency = version.agency
    header = {
        "record_no": version.record_no,
        "revision": version.revision,
        "op": version.op,
        "occurred_at": None if version.bare else clock.text(version.at, agency),
        "recorded_at": clock.text(version.recorded_at, agency),
        "source_system": f"{agency.upper()}-{version.port.code}"[:32],
        "confidentiality_mark": "OFFICIAL",
    }
    if version.bare:
        return {"header": header, "person": None, "event": None}
    return {"header": header, "person": _person(version), "event": _crossing(version)}


def _person(version: Version) -> Event:
    who = version.person
    return {
        "surname": who.surname,
        "given_names": who.given_names,
        "birth_date": version.birth.isoformat(),
        "sex": who.sex,
        "citizenship": list(who.citizenship),
        "personal_no": who.personal_no,
        "document": {"type": "P", "issuer": who.citizenship[0], "number": who.document_no},
    }


def _crossing(version: Version) -> Event:
    port = version.port
    return {
        "direction": DIRECTION,
        "checkpoint": port.code,
        "section": port.section,
        "mode": version.mode,
        "purpose": PURPOSES[version.at % len(PURPOSES)],
        "result": "PASSED",
        "mrz_ok": True,
    }


def line(event: Event) -> bytes:
    """Return the event as one line of JSON, without the line's end."""
    return orjson.dumps(event)
