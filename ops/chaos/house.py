"""The house under fire: a whole system in its own home, its brokers behind proxies, and second workers.

A second worker has a home of its own, as on another host: it shares the brokers, the feed store and the directory of
checkpoints with the first one, and no state.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from ops import settings as all_settings
from ops import status, system
from ops.broker import Broker
from ops.broker_properties import Detour
from ops.chaos.families import CONVENTION
from ops.chaos.plan import WRITER
from ops.chaos.proxy import Proxy
from ops.pids import PidFile
from ops.ports import free_block
from ops.settings import Broker as BrokerSettings
from ops.settings import Checkpoints, Feed, Files, Metrics, Settings
from schemas import conventions
from schemas.errors import Misconfigured
from streams.topics import Topics

CHECKPOINT_SECS = 8.0
FILES = Files(settle_secs=0.5, look_secs=0.2)
"""Files are taken soon, so that the file door has some at nearly any moment."""

SMALL_DISK = 256 * 1024 * 1024
"""Bytes of the small disk on which a second worker's state lies."""

_MARK = "migex-chaos"
"""A file that says: this directory is of such a run, and the next one may empty it."""

SOURCES = {"deduplicate": "inbox", "reconcile": "log", "aggregate": "partials"}
"""Agent -> role of the topic it reads."""

_QUIET = Console(quiet=True)


class Side:
    """One of an agent's two workers, on the host that it runs on."""

    def __init__(self, agent: str, settings: Settings) -> None:
        """`settings` are the host's."""
        self.agent = agent
        self.name = agent  # as strikes are counted
        self.settings = settings
        self.file = PidFile(settings.home / "run" / f"{agent}.json")

    def order(self, pid: int | None = None) -> Path:
        """Return the file that tells it at which point to die: now, when it is this process, or at its next start."""
        name = f"crash-at-{self.agent}" if pid is None else f"crash-at-{self.agent}-{pid}"
        return self.settings.home / "run" / name

    async def answers(self) -> bool:
        """Return whether it answers."""
        return await self._get("/health") is not None

    async def gauge(self, metric: str) -> dict[str, float]:
        """Return the values of a gauge by partition; none when it does not answer."""
        text = await self._get("/metrics")
        return {} if text is None else gauge(text, metric)

    async def partitions(self) -> int:
        """Return how many partitions it has; 0 when it does not answer."""
        return len(await self.gauge("migex_lag_frames"))

    async def applied(self) -> int:
        """Return how many messages it has folded, in the partitions that it has."""
        return int(sum(offset + 1 for offset in (await self.gauge("migex_applied_offset")).values()))

    async def _get(self, path: str) -> str | None:
        return await asyncio.to_thread(status.get, *self.settings.address(self.agent), path)


class Lease(NamedTuple):
    """The right to write to the feed store."""

    term: int  # how often it was taken
    holder: Side
    position: int  # messages of the partials that are written


class Second(Side):
    """A second worker of an agent, as on another host: it is started again when it dies, until it is to leave."""

    def __init__(self, first: Settings, agent: str) -> None:
        """`first` are the settings of the system that it joins."""
        self.home = first.home / f"second-{agent}"
        base = free_block(32)
        host = first.model_copy(
            update={
                "home": self.home,
                "host": f"second-{agent}",
                "feed": Feed(url=first.feed_url),
                "metrics": Metrics(base_port=base),
                "checkpoints": Checkpoints(directory=str(first.checkpoints_directory), secs=first.checkpoints.secs),
            }
        )
        super().__init__(agent, host)
        self.name = f"second {agent}"
        self._keeping: asyncio.Task[None] | None = None
        self._program: subprocess.Popen[bytes] | None = None
        self.restarts = 0

    def start(self, dies_at: str = "") -> None:
        """Start it, and again whenever it dies; `dies_at` is a crash point at which it dies the first time."""
        self.order().parent.mkdir(parents=True, exist_ok=True)
        if dies_at:
            self.order().write_text(dies_at)
        self.restarts = 0
        self._program = None
        self._keeping = asyncio.create_task(self._keep())

    async def stop(self, number: signal.Signals) -> None:
        """End it with this signal, and wait until it has ended; its state stays where it is."""
        if self._keeping is not None:
            self._keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeping
        if self._program is not None:
            self.file.signal(number)
            if not await asyncio.to_thread(self.file.wait, 15.0):
                self.file.signal(signal.SIGKILL)
            await asyncio.to_thread(self._program.wait)
        self.home.joinpath("run", f"{self.agent}.json").unlink(missing_ok=True)

    async def _keep(self) -> None:
        argv = [sys.executable, "-m", "ops.cli", "worker", self.agent]
        log = self.home / "logs" / f"{self.agent}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        while True:
            if self._program is None or self._program.poll() is not None:
                self.restarts += self._program is not None
                with log.open("ab") as out:
                    self._program = subprocess.Popen(
                        argv,
                        env=self.settings.inherited(),
                        stdin=subprocess.DEVNULL,
                        stdout=out,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,
                    )
                self.file.record(self._program.pid)
            await asyncio.sleep(0.5)


class House:
    """The system, its broker, its proxies and its second workers."""

    def __init__(self, settings: Settings, nodes: int) -> None:
        """`settings` are the user's; the house is `chaos` in their home.

        It has one worker of reconcile: the second is the run's own, which comes and goes.
        """
        home = settings.home / "chaos"
        own = all_settings.with_free_ports(home, nodes, convention=CONVENTION, cache=settings.cache,
                                           logs=settings.logs, rehearsal=True, reconcilers=1, files=FILES,
                                           checkpoints=Checkpoints(secs=CHECKPOINT_SECS))  # fmt: skip
        detour = Detour(*(2 * [free_block(2 * nodes)]))
        detour = detour._replace(advertised=detour.listens + nodes)
        self.broker = Broker(home, nodes, own.broker.port, settings.cache, detour=detour)
        self.proxies = [Proxy(detour.advertised + n, detour.listens + n) for n in range(nodes)]
        bootstrap = ",".join(f"127.0.0.1:{detour.advertised + n}" for n in range(nodes))
        through = BrokerSettings(port=own.broker.port, nodes=nodes, bootstrap=bootstrap, local=False)
        self.settings = own.model_copy(update={"broker": through})
        self.home = home
        self.convention = conventions.load(own.convention)
        self.topics = Topics.of(own.generation, self.convention)
        self.seconds: dict[str, Second] = {}

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Bring everything up, and take it down at the end, whatever happens."""
        await asyncio.to_thread(sweep, self.home)
        self.home.mkdir(parents=True)
        (self.home / _MARK).touch()
        async with AsyncExitStack() as stack:
            stack.callback(self.broker.down)
            await asyncio.to_thread(self.broker.up)
            for proxy in self.proxies:
                await stack.enter_async_context(proxy)
            stack.push_async_callback(asyncio.to_thread, system.down, self.settings, _QUIET)
            stack.push_async_callback(self._send_home)
            await asyncio.to_thread(system.up, self.settings, _QUIET)
            self._reader = await stack.enter_async_context(AIOKafkaConsumer(**self.broker.kafka.options()))
            yield

    def first(self, name: str) -> Side:
        """Return a process of the system; of an agent, the system's own worker."""
        return Side(name, self.settings)

    def sides(self, agent: str) -> list[Side]:
        """Return the workers of an agent: the system's own, and the second one if there ever was one."""
        return [self.first(agent), *([self.seconds[agent]] if agent in self.seconds else [])]

    async def lease(self) -> Lease | None:
        """Return who may write to the feed store; None when nobody ever could, or it cannot be read just now."""
        return await asyncio.to_thread(self._lease)

    async def writing(self) -> bool:
        """Return whether somebody is in the middle of a write to the feed store, which nobody else can interrupt."""
        return await asyncio.to_thread(self._writing)

    def _writing(self) -> bool:
        try:
            with contextlib.closing(sqlite3.connect(self.home / "feed.db", timeout=0.0)) as store:
                store.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        return False

    def _lease(self) -> Lease | None:
        query = """SELECT term, holder, COALESCE(MAX(next_offset), 0)
            FROM lease LEFT JOIN position USING (generation) WHERE generation = ? GROUP BY generation"""
        try:
            with contextlib.closing(sqlite3.connect(f"file:{self.home / 'feed.db'}?mode=ro", uri=True)) as store:
                row = store.execute(query, (self.settings.generation,)).fetchone()
        except sqlite3.Error:
            return None
        if row is None:
            return None
        term, holder, position = row
        side = next(side for side in self.sides(WRITER) if holder.startswith(f"{side.settings.host}."))
        return Lease(term, side, position)

    def join(self, agent: str, dies_at: str = "") -> Second:
        """Add a second worker of an agent; `dies_at` is a crash point at which it dies once."""
        second = self.seconds.setdefault(agent, Second(self.settings, agent))
        second.start(dies_at)
        return second

    async def published(self, agent: str) -> bool:
        """Return whether there is a checkpoint of an agent to begin with."""
        return any(self.settings.checkpoints_directory.glob(f"g*/{agent}/p*/*/manifest.json"))

    def total(self, agent: str) -> int:
        """Return how many partitions an agent's source has."""
        return self.topics.partitions(SOURCES[agent])

    async def waiting(self, agent: str, applied: int) -> bool:
        """Return whether an agent's source holds more than was folded."""
        source = self.topics[SOURCES[agent]]
        places = [TopicPartition(source.name, number) for number in range(source.partitions)]
        try:
            ends = await self._reader.end_offsets(places)
        except KafkaError:
            return False
        return bool(sum(ends.values()) > applied)

    async def _send_home(self) -> None:
        for second in self.seconds.values():
            await second.stop(signal.SIGKILL)
            unmount(second.settings.state)


def gauge(metrics: str, name: str) -> dict[str, float]:
    """Return the values of a gauge by partition."""
    families = text_string_to_metric_families(metrics)
    samples = (sample for family in families if family.name == name for sample in family.samples)
    return {sample.labels.get("partition", ""): sample.value for sample in samples}


def sweep(home: Path) -> None:
    """End what an earlier run left behind, and forget it; raises Misconfigured when the directory is another's."""
    if not home.exists():
        return
    if not (home / _MARK).exists():
        raise Misconfigured("chaos-directory", f"{home} is not of such a run: move it away, or set MIGEX_HOME.")
    for file in home.glob("second-*/run/*.json"):
        PidFile(file).stop(0.0)
    for state in home.glob("second-*/state"):
        unmount(state)
    system.down(Settings(home=home), _QUIET)
    shutil.rmtree(home)


def mount(directory: Path, size: int = SMALL_DISK) -> bool:
    """Put a small disk of `size` bytes in memory there; return whether this user may."""
    directory.mkdir(parents=True, exist_ok=True)
    argv = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(directory)]
    return sys.platform == "linux" and subprocess.run(argv, capture_output=True, check=False).returncode == 0


def fill(file: Path) -> None:
    """Write a file until the disk is full."""
    with contextlib.suppress(OSError), file.open("wb", buffering=0) as ballast:
        while True:
            ballast.write(bytes(1024 * 1024))


def unmount(directory: Path) -> None:
    """Take the small disk away, if there is one."""
    if directory.is_mount():
        subprocess.run(["umount", str(directory)], capture_output=True, check=False)
