"""Admission: the one way from an agency's event to an entry of the inbox, shared by both doors.

Shape, rules, codes at the event's local day, content digest, link keys; then names and numbers are forgotten (law L8).
All reasons against an event are collected, and none of them holds a value of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any

import msgspec

from connectors import plan as plans
from connectors.canonical import canonical
from connectors.cross_rules import Asked
from connectors.entry import NOBODY, Entry
from connectors.local_days import LocalDays
from connectors.places import Parts, Values
from connectors.plan import HEADER, Plan
from connectors.reasons import WHOLE, reason, told
from connectors.receipts import Receipts
from connectors.rules import AHEAD_MS, EARLIEST_MOMENT, broken
from connectors.sealing import Sealer
from connectors.shape import shaped
from connectors.strict_json import parse
from schemas import core as cores
from schemas import keys
from schemas.about import subject_block, subject_key
from schemas.codelists import CodeLists
from schemas.contracts import FAMILIES
from schemas.conventions import Convention
from schemas.core import Core
from schemas.errors import Reason, Refused
from schemas.header import Door, Header, Kind, Op, record_id
from schemas.keys import Secrets

__all__ = ["Admission", "Entry"]

_OPS = {op.name: int(op) for op in Op}


class Admission:
    """What admits or refuses events, under one convention, its code lists and an installation's secrets."""

    def __init__(
        self, convention: Convention, lists: CodeLists, secrets: Secrets, sealer: Sealer | None = None
    ) -> None:
        """Without a sealer bodies stay open, for runs that keep none.

        Raises Misconfigured when a contract names a code list that the convention does not bring.
        """
        self._convention = convention
        self._secrets = secrets
        self._sealer = sealer
        self.receipts = Receipts(secrets)
        self._local_day = LocalDays(convention.zone)
        self._plans = {name: plans.make(family, lists, self._pseudonym) for name, family in FAMILIES.items()}

    def unsealed(self) -> Admission:
        """Return one that judges alike and seals nothing, for those who keep nothing."""
        other = copy(self)
        other._sealer = None
        return other

    def renew(self, secrets: Secrets) -> None:
        """Make link keys with these secrets from now on."""
        self._secrets = secrets

    def entitled(self, agency: str, family: str) -> Plan:
        """Return the family's plan; raises Refused when the family is unknown or the agency may not report it."""
        plan = self._plans.get(family)
        if plan is None:
            raise Refused((reason("unknown-family", WHOLE, "The families stand in the product's contracts."),))
        if family not in self._convention.agencies[agency].families:
            raise Refused((reason("not-entitled", WHOLE, "The convention names the families of each agency."),))
        return plan

    def admit(
        self,
        agency: str,
        family: str,
        payload: bytes | Values,
        delivery: bytes,
        accepted_at: int,
        *,
        door: Door = Door.UNKNOWN,
    ) -> Entry:
        """Return the inbox entry of an event in JSON, or decoded from Avro; raises Refused with all reasons.

        `delivery` are 8 bytes, equal for transport repeats; `accepted_at` is the door's clock in ms since 1970.
        """
        plan = self.entitled(agency, family)
        event = parse(payload) if isinstance(payload, bytes) else payload
        parts, reasons = shaped(plan, event)
        day = self._day(parts, accepted_at)
        asked = Asked(day, accepted_at, self._convention.agencies[agency], self._convention)
        reasons += _beyond(reasons, broken(plan, parts, asked))
        if reasons or day is None:
            raise Refused(told(reasons))
        return self._entry(agency, plan, parts, day, (delivery, accepted_at, door))

    def refusal(
        self,
        agency: str,
        family: str,
        reasons: Sequence[Reason],
        delivery: bytes,
        accepted_at: int,
        *,
        record_no: str | None = None,
    ) -> Entry:
        """Return the inbox entry by which the books know a refused delivery; no value of the event is in it."""
        header = Header(
            kind=Kind.REFUSED,
            op=0,
            agency=self._convention.agencies[agency].id,
            family=FAMILIES[family].id if family in FAMILIES else 0,
            revision=0,
            seq=0,
            block=0,
            schema_id=0,
            link_key_id=0,
            body_key_id=0,
            recorded_at=0,
            accepted_at=accepted_at,
            record=NOBODY if record_no is None else record_id(agency, family, record_no),
            digest=bytes(16),
            delivery=delivery,
        )
        return Entry(header, msgspec.msgpack.encode([(each.code, each.field) for each in reasons]), b"")

    def _day(self, parts: Parts, accepted_at: int) -> int | None:
        """Return the local day of the happening (of a bare cancellation: of its recording); None when implausible."""
        header = parts[HEADER]
        at = None if header is None else _instant(header)
        if at is None or not EARLIEST_MOMENT <= at <= accepted_at + AHEAD_MS:
            return None
        return self._local_day(at)

    def _entry(self, agency: str, plan: Plan, parts: Parts, day: int, arrival: tuple[bytes, int, Door]) -> Entry:
        header: Values = parts[HEADER] or {}
        codes = plan.codes(parts)
        birth = 0 if plan.births is None or (born := parts[plan.births]) is None else _birth(born)
        person = None if plan.person is None else parts[plan.person]
        linked = self._about(agency, plan, parts, codes) if person is None else self._link_keys(person, birth)
        delivery, accepted_at, door = arrival
        packed = Header(
            kind=Kind.EVENT,
            op=_OPS[header["op"]],
            agency=self._convention.agencies[agency].id,
            family=plan.family.id,
            revision=header["revision"],
            seq=door,
            block=birth or (subject_block(linked) if linked else 0),
            schema_id=plan.family.schema_id,
            link_key_id=self._secrets.link_key_id,
            body_key_id=0 if self._sealer is None else self._sealer.key_id(accepted_at),
            recorded_at=header["recorded_at"],
            accepted_at=accepted_at,
            record=record_id(agency, plan.family.name, header["record_no"]),
            digest=keys.content_digest(self._secrets, canonical(plan, parts)),
            delivery=delivery,
        )
        core = Core(
            day=day,
            at=_instant(header),
            keys=linked,
            birth=birth,
            sex=0 if person is None else person["sex"],
            citizenship=() if person is None else tuple(person["citizenship"]),
            codes=codes,
            birth_country=None if person is None else person["birth_country"],
            education=None if person is None else person["education"],
        )
        body = plan.body(parts[0])
        return Entry(packed, cores.encode(core), body if self._sealer is None else self._sealer.seal(packed, body))

    def _pseudonym(self, name: str, text: str) -> bytes:
        return keys.pseudonym(self._secrets, name, text)

    def _about(self, agency: str, plan: Plan, parts: Parts, codes: tuple[Any, ...]) -> bytes:
        """Return the link key of what a report without a person is about; empty for a bare cancellation."""
        if not plan.subject or any(parts[position] is None for position in plan.needed):
            return b""
        own = self._convention.agencies[agency].id
        return subject_key(plan.family.name, [own if at is None else codes[at] for at in plan.subject])

    def _link_keys(self, person: Values, birth: int) -> bytes:
        """Return the person's link keys; the document's issuer tells whose register the personal number is from."""
        document, personal_no = person["document"], person["personal_no"]
        country = person["citizenship"][0] if document is None else document["issuer"]
        return keys.joined(
            b"" if personal_no is None else keys.personal_no_key(self._secrets, country, personal_no),
            b"" if document is None else keys.document_key(self._secrets, document["issuer"], document["number"]),
            *keys.name_keys(self._secrets, person["surname"], person["given_names"], birth),
        )


def _instant(header: Values) -> Any:
    """Return the instant of the happening in ms since 1970; a bare cancellation has only that of its recording."""
    at = header["occurred_at"]
    return header["recorded_at"] if at is None else at


def _birth(person: Values) -> int:
    born = person["birth_date"]
    if born is None:
        return int(person["birth_year"]) * 10000
    return int(born.year * 10000 + born.month * 100 + born.day)


def _beyond(known: Sequence[Reason], further: Sequence[Reason]) -> list[Reason]:
    """Return the further reasons that are no mere consequence of a field's wrong shape."""
    wrong = {each.field for each in known if each.code != "unknown-field"}  # which harms none of its neighbours
    return [each for each in further if not any(f"{each.field}.".startswith(f"{field}.") for field in wrong)]
