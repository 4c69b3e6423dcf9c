"""The agents' workers as a benchmark starts them: without supervisor, each a process that is watched."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psutil
from aiokafka.admin import AIOKafkaAdminClient

from bench.meter import cpu_secs
from ops.access import access
from ops.settings import Settings
from streams.kafka import Kafka

IDLE_SHARE = 0.1
"""Of a core: whoever takes less does nothing but keep its place."""

READY_SECS = 120.0


class Crew:
    """Workers by their names: the agent, and a number where it has several."""

    def __init__(self, settings: Settings) -> None:
        """Nobody works yet."""
        self._settings = settings
        self.workers: dict[str, psutil.Popen] = {}

    def start(self, agent: str, members: int = 1, settings: Settings | None = None) -> None:
        """Start workers of an agent; `settings` are another host's."""
        of = settings or self._settings
        of.home.joinpath("logs").mkdir(parents=True, exist_ok=True)
        for member in range(members):
            name = f"{agent} {member}" if members > 1 else agent
            argv = [sys.executable, "-m", "ops.cli", "worker", agent, "--member", str(member)]
            with of.home.joinpath("logs", f"{name}.log").open("ab") as log:
                self.workers[name] = psutil.Popen(argv, env=of.inherited(), stdout=log, stderr=log)

    def check(self) -> None:
        """Exit with a sentence when a worker has ended."""
        for name, worker in self.workers.items():
            if worker.poll() is not None:
                log = self._settings.home / "logs" / f"{name}.log"
                sys.exit(f"{name} ended with {worker.returncode}: {log.read_text()[-2000:]}")

    def until_idle(self, members: Mapping[str, int]) -> None:
        """Return when the agents' groups are complete and every worker has opened its state and does nothing.

        `members` is how many workers each agent has.
        """
        deadline = time.monotonic() + READY_SECS
        groups = {f"migex.{agent}.g{self._settings.generation}": count for agent, count in members.items()}
        kafka = access(self._settings)
        while not asyncio.run(complete(kafka, groups)) or self._busy():
            self.check()
            if time.monotonic() > deadline:
                sys.exit(f"Not ready and idle after {READY_SECS:.0f} s: see {self._settings.home}/logs.")

    def _busy(self, secs: float = 1.0) -> bool:
        before = {name: cpu_secs(worker) for name, worker in self.workers.items()}
        time.sleep(secs)
        return any(cpu_secs(worker) - before[name] > IDLE_SHARE * secs for name, worker in self.workers.items())

    def stop(self) -> None:
        """End all, at once."""
        for worker in self.workers.values():
            if worker.poll() is None:
                worker.kill()
                worker.wait()


@contextmanager
def crew(settings: Settings) -> Iterator[Crew]:
    """Give a crew whose workers end with the block."""
    workers = Crew(settings)
    try:
        yield workers
    finally:
        workers.stop()


async def complete(kafka: Kafka, groups: Mapping[str, int]) -> bool:
    """Return whether each consumer group has so many members and every one knows its partitions."""
    admin = AIOKafkaAdminClient(**kafka.options())
    await admin.start()
    try:
        return all([await _stable(admin, group, members) for group, members in groups.items()])
    finally:
        await admin.close()


async def _stable(admin: AIOKafkaAdminClient, group: str, members: int) -> bool:
    answers = await admin.describe_consumer_groups([group])
    # a group: error, id, state, protocol type, protocol, members
    return any(g[2] == "Stable" and len(g[5]) == members for answer in answers for g in answer.groups)
