"""An operator's decisions who is one person, from the door to the figures (conventions, 8.2; law L7)."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.inbox import frame
from schemas import frame as wire
from schemas.contracts import FAMILIES
from streams.fold import CellChange
from streams.replay import Replay
from streams.topics import partition
from tests.connectors.events import NOW, admission, event
from tests.laws.records import rules

PARTITIONS = 2
MINE = {"first_agency": "mvd", "first_family": "permit.decision", "first_record_no": "A-1",
        "second_agency": "labour", "second_family": "permit.decision", "second_record_no": "A-2"}  # fmt: skip
PAPERS = ({"document": None, "personal_no": "3170580A001PB1"}, {"document": None, "personal_no": "3170580A002PB9"})


class Way:
    """The doors and the folds in memory: permits of two records, decisions on them, and how many persons F11 counts."""

    def __init__(self) -> None:
        self._door, self._replay, self._sent = admission(), Replay(rules(), PARTITIONS, PARTITIONS), 0

    def permit(self, agency: str, number: str, **person: Any) -> None:
        changes = {f"person__{name}": value for name, value in person.items()}
        self.send(agency, "permit.decision", number, event__permit_no=f"P-{number}", **changes)

    def decide(self, linking: str, revision: int = 1, op: str = "CREATE") -> None:
        names = {f"event__{name}": value for name, value in MINE.items()}
        birth = FAMILIES["permit.decision"].example["person"]["birth_date"]
        changes = {
            "header__revision": revision,
            "header__op": op,
            "event__linking": linking,
            "event__birth_date": birth,
        }
        self.send("belstat", "link.decision", "D-1", **changes, **names)

    def send(self, agency: str, family: str, number: str, **changes: Any) -> None:
        self._sent += 1
        sent = event(family, header__record_no=number, **changes)
        entry = self._door.admit(agency, family, sent, self._sent.to_bytes(8, "big"), NOW + self._sent)
        self._replay.inbox.append(partition(entry.partition_key, PARTITIONS), frame([entry]))

    def cut(self) -> list[CellChange]:
        """Close a cut and return what changed in F11."""
        for number in range(PARTITIONS):
            tick = wire.tick_frame(NOW // 1000 + self._sent + 60)
            self._replay.inbox.append(number, wire.encode(tick))
        (closed,) = self._replay.run()
        return [change for change in closed.cells if change.key.startswith("F11|")]

    @property
    def persons(self) -> int:
        return sum(cell.measures[1] for key, cell in self._replay.cells.items() if key.startswith("F11|"))

    def figures(self) -> dict[str, tuple[int, tuple[int, ...]]]:
        return {key: (cell.facts, cell.measures) for key, cell in self._replay.cells.items() if key.startswith("F11|")}


def permits(way: Way, *people: dict[str, Any]) -> None:
    for agency, number, person in zip(("mvd", "labour"), ("A-1", "A-2"), people, strict=True):
        way.permit(agency, number, **person)


@pytest.mark.parametrize(
    ("people", "linking", "alone", "together"),
    [
        ((PAPERS[0], PAPERS[1] | {"surname": "BABAEV", "given_names": "BATYR"}), "LINK", 2, 1),
        ((PAPERS[0], PAPERS[0]), "UNLINK", 1, 2),
    ],
)
def test_a_decision_changes_the_figures_until_it_is_cancelled(
    people: tuple[dict[str, Any], ...], linking: str, alone: int, together: int
) -> None:
    way, late = Way(), Way()
    permits(way, *people)
    way.cut()
    before = way.figures()
    assert way.persons == alone
    way.decide(linking)
    changed = way.cut()
    assert way.persons == together
    assert {cause for change in changed for cause in change.causes} == {"link"}
    late.decide(linking)
    permits(late, *people)
    late.cut()
    assert late.figures() == way.figures(), "whichever comes first"
    way.decide({"LINK": "UNLINK", "UNLINK": "LINK"}[linking], 2, "CORRECT")
    way.cut()
    assert way.persons == alone, "the correction says what the keys say"
    way.decide(linking, 3, "CANCEL")
    way.cut()
    assert way.figures() == before
