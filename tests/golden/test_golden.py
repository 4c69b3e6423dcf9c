"""Events by hand, through the real door and the folds, to the figures that were reckoned by hand.

README.md beside this file says what each event is for.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from connectors.admission import Admission
from connectors.feed_store import balance
from connectors.feed_store.books import books
from connectors.feed_store.cells import Cell, of_change
from connectors.formats import csv
from connectors.inbox import frame
from connectors.table_view import Edition, Source, view
from connectors.verdicts import Answer, Arrival, answer
from schemas.codelists import CodeLists
from schemas.conventions import load
from schemas.frame import encode, tick_frame
from schemas.keys import Secrets
from streams.dataflows import DATAFLOWS
from streams.dataflows.definition import Rules
from streams.replay import Replay
from streams.topics import partition

HERE = Path(__file__).parent
CASES = sorted(path.parent.name for path in HERE.glob("*/events.jsonl"))
SECRETS = Secrets(link_key=bytes(range(32)), digest_key=bytes(range(32, 64)))
PARTITIONS = 2


class Sent(NamedTuple):
    """A line of the file: an event as an agency sends it, and how it is to be answered."""

    agency: str
    family: str
    event: dict[str, Any]
    answer: str  # "accepted", or the code of a reason against it


def lines(case: str) -> list[Sent | int]:
    """Return the events of a case in order, and between them the cuts, in seconds since 1970."""
    found: list[Sent | int] = []
    for text in (HERE / case / "events.jsonl").read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        if "cut" in line:
            found.append(int(datetime.fromisoformat(line["cut"]).timestamp()))
        else:
            found.append(Sent(line["agency"], line["family"], line["event"], line["answer"]))
    return found


@cache
def rules() -> Rules:
    convention = load()
    return Rules(convention, CodeLists.load(*convention.codelist_directories))


@cache
def admission() -> Admission:
    return Admission(rules().convention, rules().lists, SECRETS)


def admit(sent: Sent, number: int, accepted_at: int, door: Admission | None = None) -> Answer:
    """Return what the door makes of an event, which it may change: it gets a copy."""
    arrival = Arrival(sent.agency, sent.family, number.to_bytes(8, "big"), accepted_at)
    return answer(door or admission(), arrival, json.loads(json.dumps(sent.event)))


def cut_after(all_lines: list[Sent | int], place: int) -> int:
    return next(line for line in all_lines[place:] if isinstance(line, int))


def run(all_lines: Iterable[tuple[Sent, int] | int]) -> tuple[dict[str, Cell], int]:
    """Fold the events, each with the instant (ms) of its acceptance; return the cells and the last cut."""
    replay = Replay(rules(), PARTITIONS, PARTITIONS)
    cells: dict[str, Cell] = {}
    cut = 0
    for number, line in enumerate(all_lines):
        if not isinstance(line, int):
            entry = admit(line[0], number, line[1]).entry
            replay.inbox.append(partition(entry.partition_key, PARTITIONS), frame([entry]))
            continue
        cut = line
        for where in range(PARTITIONS):
            replay.inbox.append(where, encode(tick_frame(cut)))
        for closed in replay.run():
            cells.update((change.key, of_change(change, closed.tick)) for change in closed.cells)
    assert replay.set_aside == [] or all(send.topic.startswith("verdicts:") for send in replay.set_aside)
    return cells, cut


def timed(case: str) -> Iterator[tuple[Sent, int] | int]:
    """Yield the lines of a case; each event is accepted a minute before its cut."""
    all_lines = lines(case)
    for place, line in enumerate(all_lines):
        yield line if isinstance(line, int) else (line, (cut_after(all_lines, place) - 60) * 1000)


def table(case: str, cells: dict[str, Cell], cut: int) -> str:
    own = [cell for cell in cells.values() if cell.table == case]
    return csv.render(view(Source(DATAFLOWS[case], rules().convention, rules().lists), own, Edition(cut, 1)))


def observed(case: str) -> str:
    return (HERE / case / "observations.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize("case", CASES)
def test_the_observations_are_those_reckoned_by_hand(case: str) -> None:
    assert table(case, *run(timed(case))).splitlines() == observed(case).splitlines()


@pytest.mark.parametrize("case", CASES)
def test_each_event_is_answered_as_its_line_says(case: str) -> None:
    for number, line in enumerate(timed(case)):
        if not isinstance(line, int):
            verdict = admit(line[0], number, line[1]).verdict
            told = [error.code for error in verdict.errors] or [verdict.answer]
            assert told == [line[0].answer], f"{case} line {number + 1}"


def without_cuts(text: str) -> list[list[str]]:
    """Return the figures alone: when a cell last changed depends on the order of the events, its value does not."""
    rows = [row.split(",") for row in text.splitlines()]
    dropped = {rows[0].index("CUT"), rows[0].index("AFTER_FINAL")}
    return [[value for n, value in enumerate(row) if n not in dropped] for row in rows]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", range(5))
def test_the_figures_are_the_same_in_any_order_and_with_repeats(case: str, seed: int) -> None:
    chance = random.Random(seed)
    events = [line for line in timed(case) if not isinstance(line, int)]
    events += chance.sample(events, len(events) // 2)
    chance.shuffle(events)
    last = max(line for line in lines(case) if isinstance(line, int))
    assert without_cuts(table(case, *run([*events, last]))) == without_cuts(observed(case))


@pytest.mark.parametrize("case", CASES)
def test_the_books_balance(case: str) -> None:
    cells, _ = run(timed(case))
    rows = books(cell for cell in cells.values() if cell.table == "BOOKS")
    assert [equation for row in rows for equation in balance(row) if equation.difference] == []
    sent = [line for line in lines(case) if isinstance(line, Sent)]
    assert sum(row["deliveries"] for row in rows) == len(sent)
    assert sum(row["refused"] for row in rows) == sum(line.answer != "accepted" for line in sent)


def test_the_linked_persons_of_f11_are_two_again_once_the_link_is_gone() -> None:
    """What the golden file shows at its end, cut by cut."""
    key = "F11|2023-Q2|TEMP_RES|EXTENDED|R|TJ|BY-BR|M|Y30-34"
    so_far: list[tuple[Sent, int] | int] = []
    measures = []
    for line in timed("F11"):
        so_far.append(line)
        if isinstance(line, int):
            measures.append(run(so_far)[0][key].measures)
    assert measures == [(2, 1), (2, 2), (2, 2)]
