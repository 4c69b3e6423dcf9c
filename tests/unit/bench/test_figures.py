"""What the benchmarks print is what they measured, and what they send is what they say."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from bench import peer
from bench.background import read_frames, write_frames
from bench.delay import delays
from bench.door import SECRETS
from bench.events import AGENCY, CROSSING, Cell, Crossings
from bench.load import entries, frames
from bench.meter import Meter, Usage
from bench.probes import Probe
from bench.rounds import BROKER, Round, middle, ratio
from bench.sheet import Sheet, Table, text
from bench.stages import Passage
from connectors.admission import Admission
from schemas import frame, header
from schemas.codelists import CodeLists
from schemas.conventions import load
from schemas.header import Op

TABLE = Table("Speed", ("engine", "records/s", "share"), [("ours", 37_314.2, 0.5), ("theirs", 7, None)], ("two cores",))


@pytest.fixture(scope="module")
def crossings() -> Crossings:
    return Crossings(CodeLists.load(*load().codelist_directories))


def test_a_table_is_aligned_on_the_screen() -> None:
    assert text(TABLE).splitlines()[1:] == [
        "Speed",
        "------------------------",
        "engine  records/s  share",
        "------------------------",
        "ours       37,314   0.50",
        "theirs          7      -",
        "  two cores",
    ]


def test_reports_are_added_to_as_markdown_and_as_lines_of_json(tmp_path: Path) -> None:
    page, lines = tmp_path / "new" / "report.md", tmp_path / "report.json"
    sheet = Sheet([page, lines])
    sheet.add(TABLE)
    sheet.add(TABLE)
    assert page.read_text().count("| ours | 37,314 | 0.50 |\n| theirs | 7 | - |\n\n- two cores\n") == 2
    first, second = map(json.loads, lines.read_text().splitlines())
    assert first["rows"][0] == second["rows"][0] == {"engine": "ours", "records/s": 37_314.2, "share": 0.5}


def test_a_round_counts_its_own_processes_and_the_broker_apart() -> None:
    usage = {"reconcile 0": Usage(3.0, 100_000_000, ()), "reconcile 1": Usage(5.0, 200_000_000, ())}
    one = Round("ours", 1000, 10.0, {**usage, BROKER: Usage(2.0, 900_000_000, ())})
    assert (one.rate, one.cpu_rate, one.cpu_rate_with_broker) == (100.0, 125.0, 100.0)
    assert one.cost("reconcile") == pytest.approx(8000.0)
    assert one.peak_megabytes == pytest.approx(300.0)
    twice = Round("theirs", 1000, 20.0, one.usage)
    assert middle([one, twice, twice], lambda r: r.rate) == 50.0
    assert ratio([one], [twice], lambda r: r.rate) == 2.0
    assert ratio([one], [], lambda r: r.rate) is None


def test_a_meter_sees_the_time_and_the_memory_of_a_process() -> None:
    meter = Meter({"this": psutil.Process()})
    meter.begin()
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass
    wall, usage = meter.end()
    assert 0.05 < usage["this"].cpu_secs <= wall + 0.05
    assert len(usage["this"].quarters) == 4
    assert max(usage["this"].quarters) <= usage["this"].peak_bytes


def test_the_parts_of_a_delay_add_up_to_it() -> None:
    table = delays([Probe(answered=10.0, seen=12.0, tick=9)], {9: Passage(10.5, 10.75, 11.0)}, ())
    assert [row[1] for row in table.rows[:-1]] == [2.0, 0.5, 0.25, 0.25, 1.0]


def test_probes_are_alone_in_their_cells_and_admitted(crossings: Crossings) -> None:
    convention = load()
    admission = Admission(convention, CodeLists.load(*convention.codelist_directories), SECRETS)
    now = int(time.time() * 1000)
    cells: Counter[Cell] = Counter()
    for number in range(10_000):
        cell, event = crossings.probe(number)
        cells[cell] += 1
        if number % 97 == 0:
            assert admission.admit(AGENCY, CROSSING.name, event, b"delivery", now).header.op == Op.CREATE
    assert max(cells.values()) == 1


def test_the_load_says_how_many_records_remain() -> None:
    ops: Counter[Op] = Counter()
    records = sum(count for _, count, _ in frames(2000, 4, ops=ops))
    assert records == ops.total() == sum(1 for _ in entries(2000))
    cancelled = {header.record for header, _ in entries(2000) if header.op == Op.CANCEL}
    assert 0 < ops[Op.CANCEL] == len(cancelled)


def test_the_load_in_the_background_is_as_much_as_was_asked_for_and_new_when_asked_again(tmp_path: Path) -> None:
    files = [tmp_path / "first", tmp_path / "again"]
    for file, number in zip(files, (0, 1000), strict=True):
        with file.open("wb") as out:
            write_frames(out, rate=500.0, secs=2.0, partitions=4, first=number)
    with files[0].open("rb") as first, files[1].open("rb") as again:
        sent, others = list(read_frames(first)), list(read_frames(again))
    assert {where for where, _, _ in sent} == {0, 1, 2, 3}
    assert sum(records for _, records, _ in sent) == pytest.approx(1000, rel=0.1)
    assert not _records(sent) & _records(others)


def _records(made: list[tuple[int, int, bytes]]) -> set[bytes]:
    return {top.record for _, _, value in made for top in header.unpack(frame.decode(value).headers)}


def test_the_peer_gets_as_many_messages_as_asked_for() -> None:
    sent = list(peer.events(5000))
    assert len(sent) == 5000
    again = sum(repeated for _, repeated in sent)
    assert 5000 - again == len({event["event_id"] for event, _ in sent})
    assert 0.05 < again / 5000 < 0.15
