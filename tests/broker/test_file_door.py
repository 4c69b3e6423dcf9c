"""The file door on a real Kafka: it is killed in the middle of a file and goes on; every row is there once."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from ops import publish, secrets, topics
from ops.access import access
from ops.broker import Broker
from ops.settings import Broker as BrokerSettings
from ops.settings import Files, Settings, with_free_ports
from ops.status import get
from schemas.conventions import load
from schemas.frame import decode
from schemas.header import Header, Kind, unpack
from streams.crash_points import CrashPoint
from streams.topics import Topics
from tests.connectors.files import Done, crossings
from tests.house import tree

pytestmark = [pytest.mark.broker, pytest.mark.timeout(200)]

ROWS, WRONG = 5000, (3, 2500, 4999)


class Door:
    """A file door in a process of its own, on a Kafka of its own."""

    def __init__(self, settings: Settings, broker: Broker) -> None:
        self.settings = settings
        self.broker = broker
        self._process: subprocess.Popen[bytes] | None = None
        self.topic = Topics.of(1, load(settings.convention))["inbox"]

    def start(self, crash: tuple[CrashPoint, int] | None = None) -> None:
        """Start it and wait until it answers; `crash`: the nth time that it reaches this point it kills itself."""
        if crash is not None:
            armed = self.settings.home / "run" / "crash-at-file-door"
            armed.parent.mkdir(exist_ok=True)
            armed.write_text(f"{crash[0]}:{crash[1]}")
        with (self.settings.home / "file-door.log").open("ab") as log:
            argv = [sys.executable, "-m", "ops.cli", "file-door"]
            self._process = subprocess.Popen(argv, env=self.settings.inherited(), stdout=log, stderr=log)

    @property
    def answers(self) -> bool:
        return get(*self.settings.address("file-door"), "/health") is not None

    def wait(self) -> int:
        """Wait for its end; return how it ended."""
        assert self._process is not None
        return self._process.wait(60)

    @property
    def ended(self) -> int | None:
        """How it ended; None: it has not."""
        assert self._process is not None
        return self._process.poll()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            assert self._process.wait(60) == 0

    def drop(self, name: str, content: bytes) -> Done:
        """Drop a file as an agency should; return where its verdicts will lie."""
        agency = self.settings.files_directory / "gpk"
        folder = agency / "in" / "border.crossing"
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f"{name}.part"
        part.write_bytes(content)
        part.rename(folder / name)
        return Done(agency / "done" / "border.crossing" / name)

    def once(self, since: int = 0) -> Counter[int]:
        """Count what the inbox holds from the nth entry on, each delivery once, as deduplicate does."""
        return Counter(kind for _, kind in {(each.delivery, each.kind) for each in self.kept()[since:]})

    def kept(self) -> list[Header]:
        """Return all that the inbox holds."""
        return asyncio.run(self._kept())

    async def _kept(self) -> list[Header]:
        found: list[tuple[int, Header]] = []
        places = [TopicPartition(self.topic.name, n) for n in range(self.topic.partitions)]
        async with AIOKafkaConsumer(bootstrap_servers=self.settings.broker.bootstrap) as consumer:
            consumer.assign(places)
            await consumer.seek_to_beginning(*places)
            for place, end in (await consumer.end_offsets(places)).items():
                while await consumer.position(place) < end:
                    for message in (await consumer.getmany(place, timeout_ms=1000)).get(place, []):
                        found += [(message.timestamp, each) for each in unpack(decode(message.value).headers)]
        return [each for _, each in sorted(found, key=lambda pair: pair[0])]


@pytest.fixture(scope="module")
def on_kafka(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Broker, Settings]]:
    """Settings of a system with a Kafka of its own (`broker` is asked for its check of Java and Maven)."""
    home = tmp_path_factory.mktemp("files")
    with Broker(home / "kafka") as own:
        settings = with_free_ports(home / "home", rehearsal=True, files=Files(settle_secs=0.2, look_secs=0.1))
        settings = settings.model_copy(update={"broker": BrokerSettings(bootstrap=own.bootstrap)})
        convention = load(settings.convention)
        secrets.make(settings.secrets, convention.agencies)
        asyncio.run(topics.apply(access(settings), Topics.of(1, convention)))
        yield own, settings


@pytest.fixture
def door(on_kafka: tuple[Broker, Settings]) -> Iterator[Door]:
    broker, settings = on_kafka
    made = Door(settings, broker)
    yield made
    made.stop()


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.05)


def test_a_door_that_is_killed_in_the_middle_of_a_file_goes_on(door: Door) -> None:
    before = len(door.kept())
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
    assert door.once(before) == {Kind.EVENT: ROWS - len(WRONG), Kind.REFUSED: len(WRONG)}
    assert len(door.kept()) - before > ROWS, "some rows were sent twice, which is what this is about"


def test_migex_publish_drops_a_file_and_tells_its_verdicts(door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    door.start()
    until(lambda: door.answers)
    before = len(door.kept())
    examples = tree.ROOT / "examples" / "files"
    mapping = door.settings.files_directory / "gpk" / "mappings" / "border.crossing.yaml"
    mapping.write_bytes((examples / "border.crossing.yaml").read_bytes())
    tables = [examples / "gpk.border.crossing.csv", examples / "gpk.border.crossing.xlsx"]
    assert publish.main(tables, "border.crossing", "gpk", "file", door.settings) == 1
    assert capsys.readouterr().out.split() == ["sent", "6", "accepted", "4", "refused", "2", "bad-cell", "2"]
    tally = asyncio.run(publish.publish([crossings(1)], "border.crossing", "gpk", "file", door.settings))
    assert (tally.accepted, tally.refused) == (1, 0)
    assert door.once(before) == {Kind.EVENT: 5, Kind.REFUSED: 2}


@pytest.mark.long
def test_while_kafka_is_away_a_file_waits(door: Door) -> None:
    door.start()
    until(lambda: door.answers)
    before = len(door.kept())
    node = door.broker.status()[0].pid
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
    assert door.once(before) == {Kind.EVENT: 50}
