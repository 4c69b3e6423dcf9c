"""The file door on a real Kafka: it is killed in the middle of a file and goes on; every row is there once."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator

import pytest

from ops import publish
from ops.settings import Settings
from schemas.header import Kind
from streams.crash_points import CrashPoint
from tests.broker.doors import DoorProcess, OnKafka, since
from tests.connectors.files import Done, crossings
from tests.house import tree
from tests.waiting import until

pytestmark = [pytest.mark.broker, pytest.mark.timeout(200)]

ROWS, WRONG = 5000, (3, 2500, 4999)


class Door(DoorProcess):
    """A file door in a process of its own."""

    def __init__(self, settings: Settings) -> None:
        super().__init__("file-door", settings)

    def drop(self, name: str, content: bytes) -> Done:
        """Drop a file as an agency should; return where its verdicts will lie."""
        agency = self.settings.files_directory / "gpk"
        folder = agency / "in" / "border.crossing"
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f"{name}.part"
        part.write_bytes(content)
        part.rename(folder / name)
        return Done(agency / "done" / "border.crossing" / name)


@pytest.fixture
def door(place: OnKafka) -> Iterator[Door]:
    made = Door(place.settings)
    yield made
    made.stop()


def test_a_door_that_is_killed_in_the_middle_of_a_file_goes_on(door: Door) -> None:
    before = door.kept()
    done = door.drop("killed.jsonl", crossings(ROWS, WRONG, "killed"))
    door.start((CrashPoint.FILE_BEFORE_VERDICTS, 4))
    assert door.wait() == -signal.SIGKILL
    assert not done.folder.exists()

    door.start((CrashPoint.FRAME_AFTER_SEND, 11))
    assert door.wait() == -signal.SIGKILL
    door.start()
    until(done.folder.exists)
    assert [each["row"] for each in done.lines] == list(range(1, ROWS + 1))
    assert (done.summary["accepted"], done.summary["refused"]) == (ROWS - len(WRONG), len(WRONG))
    assert len({each["receipt"] for each in done.lines if each["answer"] == "accepted"}) == ROWS - len(WRONG)
    assert since(before, door.kept()) == {Kind.EVENT: ROWS - len(WRONG), Kind.REFUSED: len(WRONG)}
    assert len(door.kept()) - len(before) > ROWS, "some rows were sent twice, which is what this is about"


def test_migex_publish_drops_a_file_and_tells_its_verdicts(door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    long_ago = door.settings.files_directory / "gpk" / "done" / "border.crossing" / "old.csv"
    long_ago.mkdir(parents=True)
    (long_ago / "summary.json").touch()
    os.utime(long_ago / "summary.json", (0, 0))
    door.start()
    door.until_it_answers()
    until(lambda: not long_ago.exists())  # what was given back that long ago is deleted
    before = door.kept()
    examples = tree.ROOT / "examples" / "files"
    mapping = door.settings.files_directory / "gpk" / "mappings" / "border.crossing.yaml"
    mapping.write_bytes((examples / "border.crossing.yaml").read_bytes())
    tables = [examples / "gpk.border.crossing.csv", examples / "gpk.border.crossing.xlsx"]
    assert publish.main(tables, "border.crossing", "gpk", "file", door.settings) == 1
    assert capsys.readouterr().out.split() == ["sent", "6", "accepted", "4", "refused", "2", "bad-cell", "2"]
    tally = asyncio.run(publish.publish([crossings(1)], "border.crossing", "gpk", "file", door.settings))
    assert (tally.accepted, tally.refused) == (1, 0)
    assert since(before, door.kept()) == {Kind.EVENT: 5, Kind.REFUSED: 2}


@pytest.mark.long
def test_while_kafka_is_away_a_file_waits(door: Door, place: OnKafka) -> None:
    door.start()
    door.until_it_answers()
    before = door.kept()
    node = place.broker.status()[0].pid
    assert node is not None
    os.kill(node, signal.SIGSTOP)
    try:
        done = door.drop("away.jsonl", crossings(50, name="away"))
        time.sleep(20)  # longer than the inbox waits for Kafka
        assert not done.folder.exists()
    finally:
        os.kill(node, signal.SIGCONT)
    until(lambda: done.folder.exists() or door.ended == 75)  # whoever cannot go on starts anew
    if not done.folder.exists():
        door.start()
        until(done.folder.exists)
    assert since(before, door.kept()) == {Kind.EVENT: 50}
