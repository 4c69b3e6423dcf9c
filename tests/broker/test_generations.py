"""Generations on a real Kafka: one built beside another by the supervisor's crews, compared, switched to, dropped."""

from __future__ import annotations

import asyncio
import io
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from rich.console import Console

from connectors.feed_store.comparison import compare as compare_cells
from connectors.feed_store.comparison import digest
from ops import topics
from ops.generations import building, commands
from ops.generations.site import site
from ops.pids import read_json
from ops.settings import Settings
from schemas.conventions import DEFAULT
from schemas.errors import Refused
from streams.kafka import Kafka
from streams.topics import Topics
from tests.broker.workers import Agents, Inbox, compare, crossings
from tests.laws.records import rules

pytestmark = [pytest.mark.broker, pytest.mark.timeout(600)]

SUPERVISE = """
from ops.generations.roster import Roster
from ops.settings import load
from ops.supervisor import Supervisor
Supervisor(load(), {}, crews=Roster(load())).run()
"""


class System:
    """A supervisor that runs the crews of all generations, and what the commands say of them."""

    def __init__(self, home: Path, inbox: Inbox) -> None:
        self.inbox = inbox
        self.numbers = [inbox.generation() for _ in range(3)]  # one after another, as the commands count
        self.agents = Agents(home, inbox.bootstrap, self.numbers[0])
        self.screen = io.StringIO()
        self.console = Console(file=self.screen, width=160)
        asyncio.run(topics.apply(Kafka(inbox.bootstrap), Topics.of(self.numbers[0], rules().convention)))

    @property
    def settings(self) -> Settings:
        return self.agents.settings

    @contextmanager
    def supervised(self) -> Iterator[None]:
        supervisor = subprocess.Popen([sys.executable, "-c", SUPERVISE], env=self.settings.inherited())
        try:
            yield
        finally:
            supervisor.terminate()
            supervisor.wait(30)

    def counted(self, number: int) -> None:
        """Wait until a generation has counted the whole inbox, and compare every cut with the folds in memory."""
        agents = self.agents
        agents.settings = self.settings.model_copy(update={"generation": number})
        with site(self.settings) as at:
            begun = at.generations.find(number)
        asyncio.run(compare(agents, self.inbox, since=begun.manifest.every_from if begun else 0))

    def pids(self) -> dict[str, int]:
        runs = {path.stem: read_json(path) for path in self.settings.home.glob("run/*.g*.json")}
        return {name: run["pid"] for name, run in runs.items()}


@pytest.fixture
def system(inbox: Inbox, tmp_path: Path) -> System:
    return System(tmp_path, inbox)


def fill(inbox: Inbox, count: int, seed: int) -> None:
    asyncio.run(inbox.fill(list(crossings(random.Random(seed), count)), random.Random(seed)))


def verdicts(bootstrap: str) -> int:
    """Return how many verdicts the agencies have been told."""

    async def count() -> int:
        own = Topics.of(1, rules().convention)
        places = [TopicPartition(spec.name, 0) for spec in own.all() if spec.role.startswith("verdicts:")]
        async with AIOKafkaConsumer(bootstrap_servers=bootstrap) as consumer:
            return sum((await consumer.end_offsets(places)).values())

    return asyncio.run(count())


def canonical(inbox: Inbox) -> str:
    """Return the digest of all cells as the folds in memory have them."""
    figures = inbox.expected()[inbox.tick]
    lines = [
        f"{key} {' '.join(map(str, figures[key]))}\n" for key in sorted(figures, key=lambda key: key.split("|", 2))
    ]
    return sha256("".join(lines).encode()).hexdigest()


def test_a_generation_is_built_beside_the_running_one_is_equal_and_takes_its_place(system: System) -> None:
    first, second, _ = system.numbers
    fill(system.inbox, 150, 1)
    with system.supervised(), site(system.settings) as at:
        system.counted(first)
        told = verdicts(system.inbox.bootstrap)

        assert commands.build(at, second, system.console) == 0
        assert commands.contrast(at, first, second, None, system.console) == 0, system.screen.getvalue()
        digests = {digest(at.store.at(number), system.inbox.tick).sha256 for number in (first, second)}
        assert digests == {canonical(system.inbox)}
        assert verdicts(system.inbox.bootstrap) == told  # the first has told them
        assert told

        fill(system.inbox, 50, 2)
        system.counted(second)
        commands.switch(at, second, None, system.console)
        assert at.store.shown().generation == second
        crew = system.pids()
        (system.settings.checkpoints_directory / f"g{first}").mkdir(parents=True, exist_ok=True)
        commands.drop(at, first, system.console)
        assert f"other hosts that had workers for it keep state/g{first}" in system.screen.getvalue()
        fill(system.inbox, 20, 3)
        system.counted(second)
        assert system.pids() == crew  # they worked on, undisturbed
    own = Topics.of(first, rules().convention)
    missing = [d.name for d in asyncio.run(topics.diff(Kafka(system.inbox.bootstrap), own)) if d.found == "missing"]
    assert missing == [own.name("log"), own.name("partials")]
    assert not (system.settings.state / f"g{first}").exists()
    assert not (system.settings.checkpoints_directory / f"g{first}").exists()


@pytest.mark.long
def test_what_another_convention_counts_otherwise_is_shown_cell_by_cell(system: System, tmp_path: Path) -> None:
    first, second, _ = system.numbers
    fill(system.inbox, 150, 4)
    (tmp_path / "other.yaml").write_text(
        DEFAULT.read_text(encoding="utf-8").replace("result: [PASSED]", "result: [REFUSED]"), encoding="utf-8"
    )
    other = system.settings.model_copy(update={"convention": tmp_path / "other.yaml"})
    with system.supervised(), site(system.settings) as at, site(other) as there:
        system.counted(first)
        assert commands.build(there, second, system.console) == 0
        assert commands.contrast(at, first, second, None, system.console) == 1
        rows = {row.table: row for row in compare_cells(at.store.at(first), at.store.at(second), system.inbox.tick)}
        assert (rows["F06"].equal, rows["F06"].only_right) == (0, 0)
        assert rows["F06"].only_left == len(
            [key for key in system.inbox.expected()[system.inbox.tick] if key[:3] == "F06"]
        )
        assert rows["BOOKS"].different == 0
        with pytest.raises(Refused, match="generation-differs"):
            commands.switch(at, second, None, system.console)
        commands.switch(at, second, "Refused crossings are what is counted now.", system.console)
        assert at.store.shown().cells("F06") == []


@pytest.mark.long
def test_a_generation_is_the_same_to_the_byte_when_it_is_built_once_more(system: System) -> None:
    first, *_ = system.numbers
    fill(system.inbox, 300, 5)
    with system.supervised(), site(system.settings) as at:
        system.counted(first)
        assert commands.prove(at, first, system.console) == 0, system.screen.getvalue()
        assert system.screen.getvalue().count(canonical(system.inbox)) == 2
        (proved,) = [act for act in at.generations.acts(first) if act.what == "prove"]
        assert proved.detail["sha256"] == canonical(system.inbox)


@pytest.mark.long
def test_without_a_system_the_workers_run_within_the_command_and_are_gone_after_it(system: System) -> None:
    first, second, _ = system.numbers
    fill(system.inbox, 100, 6)
    with system.supervised():
        system.counted(first)
    with site(system.settings) as at:
        assert commands.build(at, second, system.console) == 0
        assert building.supervised(at) is None
        assert system.pids() == {}
        assert commands.contrast(at, first, second, None, system.console) == 0

        fill(system.inbox, 50, 7)
        argv = [sys.executable, "-m", "ops.cli", "generation", "build", str(second), "--stay"]
        with subprocess.Popen(argv, env=system.settings.inherited(), stdout=subprocess.PIPE) as staying:
            system.counted(second)
            commands.drop(at, second, system.console)
            assert staying.wait(60) == 0
        assert system.pids() == {}
