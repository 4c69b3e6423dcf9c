"""Fates: where each of an agency's records is now and why, by its number or its receipt.

Nothing is kept for this. What a record came to is in the states of the folds, and asked there at the time of the
question; this module puts the answers together, and says in words what they mean. A question is put in the agency's
name: a record's id is made from it, and a receipt opens for nobody else, so what another agency sent is not found.
Of other agencies' reports an answer says one thing: that the same event is reported and counts once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from connectors.error_catalogue import meaning, remedy
from connectors.receipts import DIGEST_SIZE, Receipt, Receipts
from schemas.contracts import FAMILIES, family
from schemas.header import record_id
from schemas.words import Words
from streams.dataflows import DATAFLOWS
from streams.dataflows.definition import Rules

Fate = dict[str, Any]
"""What is answered about one record: see `docs/fates.md`."""


class Place(NamedTuple):
    """Where an agent keeps what it knows of a record: its partition, and how many messages wait there to be folded."""

    partition: int
    behind: int


class Told(NamedTuple):
    """What the workers of one agent know of some records, by record id."""

    found: Mapping[bytes, Mapping[str, Any]]  # those that they know: `streams.questions`
    places: Mapping[bytes, Place]  # of all that were asked for


class Cuts(NamedTuple):
    """Complete cuts: the latest, and for each tick that was asked about the first one after it; None: not yet."""

    latest: int | None
    after: Mapping[int, int | None]


class Present(Protocol):
    """The generation that readers see, as of one question. All may raise Unavailable; nothing is guessed instead."""

    async def records(self, records: Sequence[bytes]) -> Told:
        """Ask deduplicate about records: it has applied all that the doors had kept before, but for what is behind."""

    async def standings(self, places: Sequence[tuple[int, bytes]]) -> Told:
        """Ask reconcile about records in their blocks."""

    async def cuts(self, ticks: Iterable[int]) -> Cuts:
        """Ask the feed store which cuts are complete."""


class Sources(Protocol):
    """Where the answers are."""

    async def present(self) -> Present:
        """Begin a question; raises Unavailable."""


class Asker(NamedTuple):
    """Who asks: an agency's code, and the language in which it is answered."""

    agency: str
    lang: str


class Missing(NamedTuple):
    """A record that is not known: by `behind` messages, which wait to be folded, it may become so."""

    behind: int


@cache
def reasons() -> Words:
    """Return why a record is where it is, by code, in three languages."""
    return Words(Path(__file__).with_name("fates.csv"))


def told(code: str, lang: str, **values: object) -> dict[str, str]:
    """Return a reason as it is told."""
    return {"code": code, "text": reasons()(code, lang).format(**values)}


class Fates:
    """Answers questions about records and receipts."""

    def __init__(self, sources: Sources, rules: Rules, receipts: Receipts) -> None:
        """`rules` name agencies, tables and codes; `receipts` are the doors'."""
        self._sources = sources
        self._rules = rules
        self._receipts = receipts

    async def of_records(self, asker: Asker, asked: Sequence[tuple[str, str | None]]) -> list[list[Fate] | Missing]:
        """Return for each (record_no, family) the fates of the records that it names, in the order asked.

        Without a family they are looked for in every family that the agency may report. Raises Unavailable.
        """
        entitled = self._rules.convention.agencies[asker.agency].families
        named = [
            {each: record_id(asker.agency, each, number) for each in ([chosen] if chosen else entitled)}
            for number, chosen in asked
        ]
        answers = await self._ask([record for records in named for record in records.values()])
        return [self._found(asker, number, records, answers) for (number, _), records in zip(asked, named, strict=True)]

    def _found(
        self, asker: Asker, number: str, records: Mapping[str, bytes], answers: _Answers
    ) -> list[Fate] | Missing:
        versions = answers.versions
        known = {each: record for each, record in records.items() if record in versions.found}
        if not known:
            return Missing(max((versions.places[record].behind for record in records.values()), default=0))
        return [
            _Telling(self, asker, each, answers).fate(record) | {"record_no": number} for each, record in known.items()
        ]

    async def of_receipts(self, asker: Asker, asked: Sequence[str]) -> list[Fate | None]:
        """Return the fate of the version that each receipt was given for, with that of its record, in the order asked.

        None: the receipt was never given to this agency. Raises Unavailable.
        """
        read = [self._receipts.read(asker.agency, each) for each in asked]
        answers = await self._ask([each.record for each in read if each is not None])
        return [
            None if receipt is None else self._of_receipt(asker, receipt, answers) | {"receipt": text}
            for text, receipt in zip(asked, read, strict=True)
        ]

    def _of_receipt(self, asker: Asker, receipt: Receipt, answers: _Answers) -> Fate:
        telling = _Telling(self, asker, family(receipt.family).name, answers)
        known = answers.versions.found.get(receipt.record, {"versions": ()})
        names = {(version["revision"], version["digest"][: 2 * DIGEST_SIZE]) for version in known["versions"]}
        heard = (receipt.revision, receipt.digest.hex()) in names
        return (telling.fate(receipt.record) if heard else telling.accepted(receipt)) | {"record_no": None}

    async def _ask(self, records: Sequence[bytes]) -> _Answers:
        present = await self._sources.present()
        versions = await present.records(list(dict.fromkeys(records)))
        spoken = [(known["block"], record) for record, known in versions.found.items() if known["block"]]
        standings = await present.standings(spoken) if spoken else Told({}, {})
        ticks = {version["tick"] for known in versions.found.values() for version in known["versions"]}
        return _Answers(versions, standings, await present.cuts(ticks))

    @property
    def rules(self) -> Rules:
        """What names agencies, tables and codes."""
        return self._rules

    @property
    def receipts(self) -> Receipts:
        """The doors' receipts."""
        return self._receipts


class _Answers(NamedTuple):
    versions: Told
    standings: Told
    cuts: Cuts


class _Telling:
    """One record's fate in words."""

    def __init__(self, fates: Fates, asker: Asker, family_name: str, answers: _Answers) -> None:
        self._receipts = fates.receipts
        self._convention, self._lists = fates.rules.convention, fates.rules.lists
        self._agency, self._lang = asker
        self._family = FAMILIES[family_name]
        self._versions, self._standings, self._cuts = answers

    def fate(self, record: bytes) -> Fate:
        """Return the fate of a record that deduplicate knows."""
        known, place = self._versions.found[record], self._versions.places[record]
        speaking = next((version for version in known["versions"] if version["wins"]), None)
        cut = None if speaking is None else self._cuts.after[speaking["tick"]]
        state = self._state(record, known, cut)
        log = self._standings.places.get(record)
        return {
            "family": self._family.name,
            "revision": None if speaking is None else speaking["revision"],
            **state,
            "conflict": len({version["revision"] for version in known["versions"]}) < len(known["versions"]),
            "cut": _second(cut),
            "versions": [self._version(each, known["versions"], record, place) for each in known["versions"]],
            "refusals": [self._refusal(each) for each in known["refusals"]],
            "as_of": self._as_of(place, log),
        }

    def accepted(self, receipt: Receipt) -> Fate:
        """Return the fate of a version that no fold has heard of yet: a receipt proves that it was accepted."""
        place = self._versions.places[receipt.record]
        return {
            "family": self._family.name,
            "revision": receipt.revision,
            "state": "accepted",
            "reasons": [self._told("awaits-deduplication", n=place.behind)],
            "counted_in": [],
            "not_counted_in": [],
            "conflict": False,
            "cut": None,
            "versions": [],
            "refusals": [],
            "as_of": self._as_of(place, None),
        }

    def _state(self, record: bytes, known: Mapping[str, Any], cut: int | None) -> Fate:
        """Return state, reasons and tables."""
        if not known["versions"]:
            return _state("refused", [self._told("only-refused")])
        waiting = [] if cut is not None else [self._told("awaits-cut")]
        if known["cancelled"]:
            return _state("cancelled", [self._told("cancelled"), *waiting])
        standing = self._standings.found.get(record)
        if standing is None or standing["seq"] < known["seq"] or standing["standing"] == "silent":
            behind = self._standings.places[record].behind
            return _state("deduplicated", [self._told("awaits-reconciliation", n=behind)])
        if standing["standing"] == "quarantined":
            return _state("not-counted", [self._told("set-aside")])
        if standing["standing"] == "represented":
            own = standing["represented_by_agency"] == self._convention.agencies[self._agency].id
            code = "same-event-own-report" if own else "same-event-other-agency"
            return _state("not-counted", [self._told(code), *waiting])
        return self._in_tables(standing, waiting)

    def _in_tables(self, standing: Mapping[str, Any], waiting: list[dict[str, str]]) -> Fate:
        outside = [{"table": each["table"], "reason": self._why(each)} for each in standing["outside"]]
        if standing["standing"] == "counted":
            cells = [self._cell(key) for key in standing["cells"]]
            return _state("counted", waiting, counted_in=cells, not_counted_in=outside)
        why = [each["reason"] for each in outside] or [self._told("no-table")]
        return _state("not-counted", [*why, *waiting], not_counted_in=outside)

    def _why(self, outside: Mapping[str, str]) -> dict[str, str]:
        field = outside.get("field")
        if field is None:
            return self._told(outside["reason"])
        codes = self._convention.tables[outside["table"]].universe[field]
        listed = next((each.codelist for each in self._family.fields if each.core and each.name == field), None)
        labels = {code: self._lists[listed].label(code, self._lang) for code in codes} if listed else {}
        words = ", ".join(f"{code} ({labels[code]})" if labels else code for code in codes)
        return self._told(outside["reason"], field=field, words=words)

    def _cell(self, key: str) -> dict[str, Any]:
        table, period, *codes = key.split("|")
        flow = DATAFLOWS[table]
        return {
            "table": table,
            "title": self._convention.tables[table].title[self._lang],
            "period": period,
            "codes": {dimension.id: code for dimension, code in zip(flow.dimensions, codes, strict=True)},
        }

    def _version(
        self, version: Mapping[str, Any], beside: Sequence[Mapping[str, Any]], record: bytes, place: Place
    ) -> dict[str, Any]:
        rivals = sum(each["revision"] == version["revision"] for each in beside) > 1
        newest = version["revision"] == max(each["revision"] for each in beside)
        state = (
            "cancels" if version["wins"] and not version["speaks"] else "speaks" if version["wins"] else "superseded"
        )
        codes = ["conflict"] * rivals + ["superseded"] * (not newest)
        digest = bytes.fromhex(version["digest"])[:DIGEST_SIZE]
        return {
            "revision": version["revision"],
            "op": version["op"],
            "state": state,
            "reasons": [self._told(code) for code in codes],
            "receipt": self._receipts.issue(
                self._agency, Receipt(self._family.id, version["revision"], record, digest)
            ),
            "recorded_at": version["recorded_at"],
            "accepted_at": _instant(version["accepted_at"]),
            "door": version["door"],
            "inbox": {"partition": place.partition, "offset": version["offset"]},
            "deliveries": version["deliveries"],
            "duplicates": version["deliveries"] - 1,
            "cut": _second(self._cuts.after[version["tick"]]),
        }

    def _refusal(self, refusal: Mapping[str, Any]) -> dict[str, Any]:
        lang = self._lang
        errors = [
            {"code": code, "field": field, "meaning": meaning(code, lang), "remedy": remedy(code, lang)}
            for code, field in refusal["errors"]
        ]
        return {"refused_at": _instant(refusal["accepted_at"]), "errors": errors}

    def _as_of(self, inbox: Place, log: Place | None) -> dict[str, Any]:
        behind = None if log is None else log.behind
        return {"inbox_behind": inbox.behind, "log_behind": behind, "cut": _second(self._cuts.latest)}

    def _told(self, code: str, **values: object) -> dict[str, str]:
        return told(code, self._lang, **values)


def _state(
    state: str,
    why: Sequence[dict[str, str]],
    counted_in: Sequence[dict[str, Any]] = (),
    not_counted_in: Sequence[dict[str, Any]] = (),
) -> Fate:
    return {"state": state, "reasons": why, "counted_in": counted_in, "not_counted_in": not_counted_in}


def _instant(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _second(tick: int | None) -> str | None:
    return None if tick is None else datetime.fromtimestamp(tick, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
