"""The traffic: everything that the agencies send in a run, of all families and with all faults, in simulated time.

A function of the convention, a seed and how many happenings it is spread over. Whatever is sent, the checker knows of
it only what the sender was told.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any, NamedTuple

import orjson

from ops.chaos import broken
from ops.chaos.families import KINDS, Fields
from ops.chaos.people import Population, Someone, born, described
from schemas.conventions import Convention

PER_HUNDRED: Mapping[str, int] = {
    "re-sent": 10,
    "said otherwise at first": 6,
    "wrong birth date": 5,
    "cancelled": 4,
    "two contents under one revision": 1,
    "late": 20,
    "by two agencies": 9,
    "malformed": 2,
}
"""Happenings in a hundred that each fault strikes; several may meet on one."""

DOORS = ("http", "kafka", "file")

HOUR, DAY = 3_600, 86_400
BEGIN = 1_514_754_000
"""2018-01-01T00:00+03:00, seconds since 1970-01-01T00:00Z."""

DELIVERIES_EACH = 1.4
"""Deliveries of a happening, about."""

SPREAD_SECS = 540 * DAY
"""Simulated time over which the happenings are spread: six quarters."""


class Delivery(NamedTuple):
    """One thing an agency sends; `sent_at` is simulated time, seconds since 1970-01-01T00:00Z."""

    sent_at: int
    serial: int
    agency: str
    family: str
    door: str  # of `DOORS`
    wanted: str  # the answer that it deserves: "accepted" or "refused"
    raw: bool  # True: `line` are the bytes of a Kafka message; False: one line of JSON
    line: bytes


class _Words(NamedTuple):
    """What a version says of a happening."""

    at: int
    person: Fields
    event: Fields


class _Version(NamedTuple):
    """A version of a record on its way."""

    agency: str
    family: str
    header: Fields
    words: _Words | None  # None: a cancellation that says no more than what it cancels
    door: str
    sent_at: int


class Traffic:
    """All deliveries of one run; made as they are asked for."""

    def __init__(self, convention: Convention, seed: int, happenings: int) -> None:
        """`happenings` is how many there will be, some of them reported by two agencies."""
        self._zone = convention.zone
        self._local = frozenset(sorted(convention.agencies)[::2])
        self._number = happenings
        self._chance = Random(f"{seed}/traffic")  # noqa: S311 - no secret: the same seed must bring the same run
        self._people = Population(self._chance)
        self._senders = {
            family: [agency.code for agency in convention.agencies.values() if family in agency.families]
            for family in KINDS
        }
        self._barred = {
            agency.code: [family for family in KINDS if family not in agency.families]
            for agency in convention.agencies.values()
        }
        self._numbers: Counter[str] = Counter()
        self._serial = 0
        self._now = BEGIN  # when the happening took place that is being reported
        self.counts: Counter[str] = Counter()
        """How often each fault struck."""

    def deliveries(self) -> Iterator[Delivery]:
        """Yield everything in the order of sending."""
        under_way: list[Delivery] = []
        shares = [kind.share for kind in KINDS.values()]
        for number in range(self._number):
            self._now = BEGIN + round((number + self._chance.random()) * SPREAD_SECS / self._number)
            while under_way and under_way[0].sent_at < self._now:
                yield heapq.heappop(under_way)
            family = self._chance.choices(list(KINDS), shares)[0]
            for delivery in self._reported(family, self._people.next()):
                heapq.heappush(under_way, delivery)
        while under_way:
            yield heapq.heappop(under_way)

    def _reported(self, family: str, who: Someone) -> Iterator[Delivery]:
        """Yield everything that is sent about one happening."""
        chance = self._chance
        faults = {fault for fault, share in PER_HUNDRED.items() if chance.random() * 100 < share}
        self.counts.update(faults)
        first, *others = chance.sample(self._senders[family], len(self._senders[family]))
        right = _Words(self._now, described(who, chance), KINDS[family].says(who, chance))
        versions = self._record(first, family, self._words(right, family, who, faults), faults)
        if "by two agencies" in faults and others:
            versions += self._record(others[0], family, [self._seen_by_another(right, family, who)], set())
        yield from map(self._delivery, versions)
        if "re-sent" in faults:
            yield self._delivery(self._again(chance.choice(versions)))
        if "malformed" in faults:
            yield self._malformed(next(version for version in versions if version.header["op"] == "CREATE"))

    def _words(self, right: _Words, family: str, who: Someone, faults: set[str]) -> list[_Words]:
        """Return what the record's versions say, one after another."""
        chance = self._chance
        said = [right]
        if "said otherwise at first" in faults:
            at = right.at - chance.choice((0, chance.randint(HOUR, 40 * DAY)))
            said.insert(0, _Words(at, described(who, chance), KINDS[family].says(who, chance)))
        if "wrong birth date" in faults:
            wrong = [each._replace(person=_with_birth(each.person, self._people.mistaken(who))) for each in said]
            said = [right, wrong[-1], right] if chance.random() < 0.4 else [*wrong, right]
        return said

    def _seen_by_another(self, right: _Words, family: str, who: Someone) -> _Words:
        """Return what another agency says of the same happening: some time apart, now and then in other words."""
        chance, kind = self._chance, KINDS[family]
        event = right.event
        if chance.random() < 0.4:
            event = kind.says(who, chance) | {name: event[name] for name in kind.same}
        apart = chance.choice((0, chance.randint(-kind.apart_secs, kind.apart_secs)))
        return _Words(right.at + apart, described(who, chance), event)

    def _record(self, agency: str, family: str, said: Sequence[_Words], faults: set[str]) -> list[_Version]:
        """Return the versions of one record, and of the one that stands for it if it is cancelled."""
        chance = self._chance
        recorded = self._now + chance.randint(5, 600)
        sent = recorded + chance.randint(1, HOUR)
        if "late" in faults:
            recorded = self._now + chance.randint(DAY, 150 * DAY)
            sent = recorded + chance.randint(HOUR, 30 * DAY)
        number, door = self._new_number(agency), chance.choice(DOORS)
        versions: list[_Version] = []

        def say(op: str, words: _Words | None, revision: int) -> None:
            nonlocal recorded, sent, door
            header = {"record_no": number, "revision": revision, "op": op, "recorded_at": self._text(recorded, agency)}
            versions.append(_Version(agency, family, header, words, door, sent))
            recorded += chance.randint(HOUR, 20 * DAY)
            sent = max(sent, recorded) + chance.randint(60, DAY)
            door = door if chance.random() < 0.9 else chance.choice(DOORS)

        for revision, words in enumerate(said, start=1):
            say("CREATE" if revision == 1 else "CORRECT", words, revision)
        if "two contents under one revision" in faults:
            say("CORRECT", said[-1]._replace(at=said[-1].at - 2 * DAY), len(said))
            say("CORRECT", said[-1], len(said) + 1)
        if "cancelled" in faults:
            say("CANCEL", chance.choice((None, said[-1])), versions[-1].header["revision"] + 1)
            if chance.random() < 0.5:
                number = self._new_number(agency)
                say("CREATE", said[-1], 1)
        if len(versions) > 1 and chance.random() < 0.25:  # the last one comes before the first
            first, last = versions[0], versions[-1]
            versions[0], versions[-1] = first._replace(sent_at=last.sent_at), last._replace(sent_at=first.sent_at)
        return versions

    def _again(self, version: _Version) -> _Version:
        """Return the same version once more, half of the time with another instant of recording: that is no content."""
        again = version.sent_at + self._chance.randint(2 * HOUR, 60 * DAY)
        if self._chance.random() < 0.5:
            return version._replace(sent_at=again)
        header = version.header | {"recorded_at": self._text(again, version.agency)}
        return version._replace(sent_at=again, header=header)

    def _malformed(self, version: _Version) -> Delivery:
        """Return the same event once more, broken in a way that its door can carry."""
        chance, family = self._chance, version.family
        only = broken.KAFKA_ONLY if version.door == "kafka" else broken.JSON_ONLY
        barred = self._barred[version.agency]
        kinds = [kind for kind in (*broken.ANY_DOOR, *only) if kind != broken.NOT_ENTITLED or barred]
        kind = chance.choice(kinds)
        line = {**broken.ANY_DOOR, **only}[kind](self._event(version), family, chance)
        self._serial += 1
        named = chance.choice(barred) if kind == broken.NOT_ENTITLED else family
        at = version.sent_at + chance.randint(1, HOUR)
        raw = kind in broken.KAFKA_ONLY
        return Delivery(at, self._serial, version.agency, named, version.door, "refused", raw, line)

    def _delivery(self, version: _Version) -> Delivery:
        self._serial += 1
        line = orjson.dumps(self._event(version))
        return Delivery(
            version.sent_at, self._serial, version.agency, version.family, version.door, "accepted", False, line
        )

    def _event(self, version: _Version) -> dict[str, Any]:
        words = version.words
        occurred = None if words is None else self._text(words.at, version.agency)
        header = version.header | {"occurred_at": occurred, "source_system": f"{version.agency.upper()}-1"}
        return {
            "header": header,
            "person": None if words is None else words.person,
            "event": None if words is None else words.event,
        }

    def _text(self, at: int, agency: str) -> str:
        """Return an instant as this agency writes it: some in local time, some in UTC."""
        return datetime.fromtimestamp(at, self._zone if agency in self._local else UTC).isoformat()

    def _new_number(self, agency: str) -> str:
        self._numbers[agency] += 1
        return f"{agency.upper()}-{self._numbers[agency]:08d}"


def _with_birth(person: Fields, birth: str) -> Fields:
    return {name: value for name, value in person.items() if name not in ("birth_date", "birth_year")} | born(birth)
