"""Verdicts: what a sender is told about one delivery; each delivery gets exactly one (law L5)."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal, NamedTuple

import orjson
import structlog

from connectors.admission import Admission
from connectors.entry import Entry
from connectors.places import Values
from connectors.reasons import WHOLE, reason
from connectors.receipts import Receipt
from schemas import core as cores
from schemas.errors import Misconfigured, Reason, Refused, Unavailable
from schemas.header import Door
from streams.telemetry import DoorTelemetry

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a delivery through Kafka lies in the agency's own topic."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to one delivery."""

    answer: Literal["accepted", "refused"]
    record_no: str | None
    revision: int | None
    receipt: str | None  # of an accepted version: the same for the same record, revision and content
    delivery: str  # hexadecimal digits; the same for transport repeats
    errors: tuple[Reason, ...]
    source: Source | None

    def encode(self) -> bytes:
        """Return the verdict as JSON."""
        return orjson.dumps(self)


class Arrival(NamedTuple):
    """How a delivery came."""

    agency: str
    family: str
    delivery: bytes  # 8 bytes, the same for transport repeats
    accepted_at: int  # the door's clock, ms since 1970
    source: Source | None = None
    door: Door = Door.UNKNOWN


class Answer(NamedTuple):
    """What a delivery comes to: an entry for the inbox, a verdict for the sender."""

    entry: Entry
    verdict: Verdict


def delivery_id(*parts: bytes) -> bytes:
    """Return the 8 bytes that name a delivery, the same whenever the parts are the same."""
    return blake2b(b"\x1f".join(parts), digest_size=8, person=b"migex-delivery").digest()


def answer(admission: Admission, arrival: Arrival, event: Values | Refused) -> Answer:
    """Return the one answer to a delivery; never raises for anything that was sent, only when it cannot be sealed.

    `event` is what the door read from the bytes, or why it could not.
    """
    if isinstance(event, Refused):
        return refused(admission, arrival, event.reasons)
    agency, family, delivery, accepted_at, source, door = arrival
    try:
        entry = admission.admit(agency, family, event, delivery, accepted_at, door=door)
    except Refused as refusal:
        return refused(admission, arrival, refusal.reasons, event)
    except (Misconfigured, Unavailable):  # the door's matter, not this event's: nothing is answered
        raise
    except Exception as defect:  # ours; the sender is told so, the delivery is counted, the others go on
        _log.error("An event met a defect of the door", error=type(defect).__name__, at=_place(defect))
        ours = reason("door-defect", WHOLE, "The door failed on this event by its own fault.")
        return refused(admission, arrival, (ours,), event)
    header = event["header"]
    receipt = admission.receipts.issue(agency, Receipt.of(entry.header))
    verdict = Verdict("accepted", header["record_no"], header["revision"], receipt, delivery.hex(), (), source)
    return Answer(entry, verdict)


def refused(admission: Admission, arrival: Arrival, reasons: tuple[Reason, ...], event: Values | None = None) -> Answer:
    """Return the answer to a delivery that is refused for these reasons."""
    agency, family, delivery, accepted_at, source, _ = arrival
    record_no, revision = _claimed(event, {each.field for each in reasons if each.code != "unknown-field"})
    entry = admission.refusal(agency, family, reasons, delivery, accepted_at, record_no=record_no)
    return Answer(entry, Verdict("refused", record_no, revision, None, delivery.hex(), reasons, source))


def observe(telemetry: DoorTelemetry, agency: str, answers: list[Answer]) -> None:
    """Count the answers, their reasons, and how late the accepted events came."""
    accepted = 0
    for entry, verdict in answers:
        if verdict.answer == "accepted":
            accepted += 1
            telemetry.delayed(agency, (entry.header.accepted_at - cores.decode(entry.core).at) / 1000)
        for each in verdict.errors:
            telemetry.refused(agency, each.code)
    telemetry.answered(agency, "accepted", accepted)
    telemetry.answered(agency, "refused", len(answers) - accepted)


def _claimed(event: Values | None, wrong: set[str]) -> tuple[str | None, int | None]:
    """Return the record number and revision that a refused event states for itself, as far as they are well-formed."""
    header = None if event is None else event.get("header")
    if not isinstance(header, dict):
        return None, None
    record_no, revision = header.get("record_no"), header.get("revision")
    known = isinstance(record_no, str) and len(record_no) <= 64 and "header.record_no" not in wrong
    return (
        record_no if known else None,
        revision if type(revision) is int and "header.revision" not in wrong else None,
    )


def _place(error: BaseException) -> str:
    """Return file and line where an error arose; its text may hold a value, so it is not told."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{last.name}:{last.lineno}"
