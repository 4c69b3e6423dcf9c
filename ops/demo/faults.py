"""Faults with exact counts: how one crossing becomes the deliveries of one or two agencies.

Of each hundred crossings exactly so many get each fault, chosen independently, so that faults also meet on one
crossing. Whatever is sent, the last version of a crossing's records is right: the published figure must come out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from random import Random
from typing import NamedTuple
from zoneinfo import ZoneInfo

from ops.demo import malformed
from ops.demo.bts import Crossing, Port, month_bounds
from ops.demo.events import FAMILY, Clock, Version, event, line
from ops.demo.people import Person, mistaken
from schemas.contracts import FAMILIES

PER_HUNDRED: Mapping[str, int] = {
    "re-sent": 10,
    "wrong port or month": 3,
    "wrong birth date": 5,
    "cancelled and re-issued": 2,
    "late": 20,
    "by two agencies": 3,
    "malformed": 1,
}
"""Crossings in a hundred that each fault strikes."""

HOUR, DAY = 3_600, 86_400
CONNECTION_SECS = 91 * DAY
"""Simulated time for which an agency keeps one connection to a door."""
TOLERANCE_MINUTES = 10


class Delivery(NamedTuple):
    """One thing an agency sends; `sent_at` is simulated time, seconds since 1970-01-01T00:00Z."""

    sent_at: int
    serial: int
    agency: str
    family: str
    door: str  # "http" or "kafka"
    answer: str  # what becomes of it: "new_version", "duplicate", "refused"
    raw: bool  # True: `line` are the bytes of a Kafka message; False: one line of JSON
    line: bytes


class Outcome(NamedTuple):
    """What one crossing comes to: its deliveries, and how its records end."""

    deliveries: Sequence[Delivery]
    records: Sequence[tuple[str, int, bool]]  # agency, number of versions, cancelled at the end


class Sender(NamedTuple):
    """An agency as the demo knows it."""

    code: str
    families: frozenset[str]


class _Sent(NamedTuple):
    """A version on its way."""

    version: Version
    door: str
    at: int


@dataclass(frozen=True, slots=True)
class _Facts:
    """What a version says that a fault may have changed."""

    at: int
    port: Port
    birth: date


class Deck:
    """The faults of each hundred crossings, dealt anew for every hundred."""

    def __init__(self, chance: Random) -> None:
        """`chance` chooses which of the hundred are struck."""
        self._chance = chance
        self._left: list[set[str]] = []

    def next(self) -> set[str]:
        """Return the names of the faults that strike the next crossing."""
        if not self._left:
            self._left = [set() for _ in range(100)]
            for fault, number in PER_HUNDRED.items():
                for place in self._chance.sample(range(100), number):
                    self._left[place].add(fault)
        return self._left.pop()


class Reporter:
    """Lets the agencies report crossings, with the faults that strike them."""

    def __init__(
        self, senders: Sequence[Sender], ports: Sequence[Port], zone: ZoneInfo, origin: int, chance: Random
    ) -> None:
        """The first sender reports most; `ports` are those taken for one another; `origin` is where time begins."""
        self._senders = senders
        self._weights = [5, 3, 2, *[1] * len(senders)][: len(senders)]
        self._ports = ports
        self._zone = zone
        self._clock = Clock(zone, frozenset({senders[0].code}))
        self._origin = origin
        self._chance = chance
        self._numbers: Counter[str] = Counter()
        self._serial = 0
        self._kinds: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        """How often each fault was injected, by its description."""

    def report(self, crossing: Crossing, person: Person, faults: set[str]) -> Outcome:
        """Return everything that is sent about a crossing, and how the records end."""
        chance = self._chance
        sender = chance.choices(self._senders, self._weights)[0]
        door = chance.choice(("http", "kafka"))
        records = [self._record(sender, door, crossing, person, faults)]
        if "cancelled and re-issued" in faults:
            records.append(self._reissued(records[0], crossing, person))
        self._before_original(records[0])
        if "by two agencies" in faults:
            records.append(self._second(sender, crossing, person))
        deliveries = [self._delivery(sent, "new_version") for record in records for sent in record]
        if "re-sent" in faults:
            deliveries.append(self._resent(chance.choice([sent for record in records for sent in record])))
        if "malformed" in faults:
            true = next(sent for sent in records[0] if sent.version.revision == 1)
            deliveries.append(self._malformed(sender, true))
        ends = [(r[0].version.agency, len(r), any(sent.version.op == "CANCEL" for sent in r)) for r in records]
        return Outcome(deliveries, ends)

    def stage(self, at: int) -> int:
        """Return the how-manieth connection of each agency an instant falls into, from 0."""
        return max(0, at - self._origin) // CONNECTION_SECS

    def _record(self, sender: Sender, door: str, crossing: Crossing, person: Person, faults: set[str]) -> list[_Sent]:
        """Return the versions of the crossing's first record: wrong ones, the right one, a cancellation."""
        chance = self._chance
        recorded = crossing.at + chance.randint(5, 600)
        sent = recorded + chance.randint(1, 60)
        if "late" in faults:
            recorded = crossing.at + chance.randint(DAY, 150 * DAY)
            sent = recorded + chance.randint(HOUR, 30 * DAY)  # so that they come in another order than recorded
            self.counts["late by up to five months"] += 1
        number = self._number(sender.code)
        told = self._told(crossing, person, faults)
        versions: list[_Sent] = []
        for revision, facts in enumerate(told, start=1):
            op = "CREATE" if revision == 1 else "CORRECT"
            version = Version(sender.code, number, revision, op, facts.at, recorded, facts.port, crossing.mode, person,
                              facts.birth, bare=False)  # fmt: skip
            versions.append(_Sent(version, door, sent))
            recorded, sent, door = self._later(recorded, sent, door)
        if "cancelled and re-issued" in faults:
            bare = chance.random() < 0.5
            cancelled = version._replace(revision=len(told) + 1, op="CANCEL", recorded_at=recorded, bare=bare)
            versions.append(_Sent(cancelled, door, sent))
        return versions

    def _told(self, crossing: Crossing, person: Person, faults: set[str]) -> list[_Facts]:
        """Return what the record's versions say, one after another; the last one is right."""
        places = self._places(crossing) if "wrong port or month" in faults else [(crossing.at, crossing.port)]
        births = self._births(person) if "wrong birth date" in faults else [person.birth_date]
        return [
            _Facts(*places[min(i, len(places) - 1)], births[min(i, len(births) - 1)])
            for i in range(max(len(places), len(births)))
        ]

    def _places(self, crossing: Crossing) -> list[tuple[int, Port]]:
        right = (crossing.at, crossing.port)
        others = [port for port in self._ports if port.code != crossing.port.code]
        if others and self._chance.random() < 0.5:
            self.counts["corrected: wrong port at first"] += 1
            return [(crossing.at, self._chance.choice(others)), right]
        self.counts["corrected: wrong month at first"] += 1
        begin, _ = month_bounds(crossing.period, self._zone)
        return [(begin - self._chance.randint(HOUR, 28 * DAY), crossing.port), right]

    def _births(self, person: Person) -> list[date]:
        wrong = mistaken(person.birth_date, self._chance)
        if self._chance.random() < 0.3:
            self.counts["corrected: birth date, to another block and back"] += 1
            return [person.birth_date, wrong, person.birth_date]
        self.counts["corrected: birth date, to another block"] += 1
        return [wrong, person.birth_date]

    def _reissued(self, cancelled: Sequence[_Sent], crossing: Crossing, person: Person) -> list[_Sent]:
        """Return the record that stands for a cancelled one under a new number."""
        self.counts["cancelled and re-issued"] += 1
        last = cancelled[-1]
        recorded, sent, door = last.version.recorded_at + self._chance.randint(60, DAY), last.at, last.door
        version = Version(last.version.agency, self._number(last.version.agency), 1, "CREATE", crossing.at, recorded,
                          crossing.port, crossing.mode, person, person.birth_date, bare=False)  # fmt: skip
        return [_Sent(version, door, max(recorded, sent) + self._chance.randint(1, HOUR))]

    def _before_original(self, record: list[_Sent]) -> None:
        """Let one in four of the records with several versions send its last version first."""
        if len(record) > 1 and self._chance.random() < 0.25:
            first, last = record[0], record[-1]
            record[0], record[-1] = first._replace(at=last.at), last._replace(at=first.at)
            what = "cancellation" if last.version.op == "CANCEL" else "correction"
            self.counts[f"sent before its original: {what}"] += 1

    def _second(self, first: Sender, crossing: Crossing, person: Person) -> list[_Sent]:
        """Return another agency's report of the same crossing, at the same instant or some minutes apart."""
        chance = self._chance
        sender = chance.choice([each for each in self._senders if each.code != first.code])
        at = crossing.at
        if (self.counts["by two agencies: some minutes apart"] * 3) <= self.counts["by two agencies"]:
            self.counts["by two agencies: some minutes apart"] += 1
            apart = chance.randint(61, TOLERANCE_MINUTES * 60 - 60)
            _, end = month_bounds(crossing.period, self._zone)
            at = at + apart if at + apart < end else at - apart
        self.counts["by two agencies"] += 1
        recorded = at + chance.randint(5, 3 * DAY)
        version = Version(sender.code, self._number(sender.code), 1, "CREATE", at, recorded, crossing.port,
                          crossing.mode, person, person.birth_date, bare=False)  # fmt: skip
        return [_Sent(version, chance.choice(("http", "kafka")), recorded + chance.randint(1, HOUR))]

    def _resent(self, sent: _Sent) -> Delivery:
        """Return the same version once more, hours later: in turn on the same and on a new connection."""
        again = sent.at + self._chance.randint(2 * HOUR, 20 * HOUR)
        stage = self.stage(sent.at)
        version = sent.version
        if self.counts["re-sent on a new connection"] < self.counts["re-sent on the same connection"]:
            self.counts["re-sent on a new connection"] += 1
            again = max(again, self._end_of(stage) + self._chance.randint(0, DAY))
            version = version._replace(recorded_at=again)  # its system says when it wrote the file, not when it knew
        else:
            self.counts["re-sent on the same connection"] += 1
            again = min(again, self._end_of(stage) - 1)
        return self._delivery(_Sent(version, sent.door, again), "duplicate")

    def _end_of(self, stage: int) -> int:
        return self._origin + (stage + 1) * CONNECTION_SECS

    def _malformed(self, sender: Sender, sent: _Sent) -> Delivery:
        """Return the same event once more, broken in the kind whose turn it is at a door."""
        self.counts["malformed"] += 1
        door = "http" if self.counts["malformed"] % 2 else "kafka"
        only = malformed.HTTP_ONLY if door == "http" else malformed.KAFKA_ONLY
        others = sorted(FAMILIES.keys() - sender.families)
        kinds = [kind for kind in (*malformed.EITHER_DOOR, *only) if kind != malformed.NOT_ENTITLED or others]
        kind = kinds[self._kinds[door] % len(kinds)]
        self._kinds[door] += 1
        self.counts[f"malformed: {kind}"] += 1
        raw = kind in malformed.KAFKA_ONLY
        family = others[0] if kind == malformed.NOT_ENTITLED else FAMILY
        true_event = event(sent.version._replace(bare=False), self._clock)
        broken = {**malformed.EITHER_DOOR, **only}[kind](true_event, self._chance)
        at = sent.at + self._chance.randint(1, HOUR)
        return Delivery(at, self._next_serial(), sender.code, family, door, "refused", raw, broken)

    def _delivery(self, sent: _Sent, answer: str) -> Delivery:
        text = line(event(sent.version, self._clock))
        return Delivery(sent.at, self._next_serial(), sent.version.agency, FAMILY, sent.door, answer, False, text)

    def _later(self, recorded: int, sent: int, door: str) -> tuple[int, int, str]:
        """Return when a further version is recorded and sent, and through which door; one in ten takes the other."""
        recorded += self._chance.randint(HOUR, 20 * DAY)
        door = door if self._chance.random() < 0.9 else {"http": "kafka", "kafka": "http"}[door]
        return recorded, max(sent, recorded) + self._chance.randint(60, DAY), door

    def _number(self, agency: str) -> str:
        self._numbers[agency] += 1
        return f"{agency[:4].upper()}-{self._numbers[agency]:08d}"

    def _next_serial(self) -> int:
        self._serial += 1
        return self._serial
