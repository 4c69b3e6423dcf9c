"""Crews: the workers that a machine runs for one generation, under which names and on which ports."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ops.pids import read_json
from ops.processes import AGENTS
from ops.settings import Settings

if TYPE_CHECKING:
    from connectors.feed_store import Generation

COMMAND = (sys.executable, "-m", "ops.cli")
"""How a part of the product is started: as `migex` is, and with what follows."""

MEMBER_PORTS = 16
"""Between the ports of two workers of one agent, see `ops.processes.worker`."""

_NAME = re.compile(rf"({'|'.join(AGENTS)})(\.g\d+)?(-\d+)?")


class Program(NamedTuple):
    """A process to be run: its command line, its settings, and what is noted of it for `migex status`."""

    argv: Sequence[str]
    settings: Settings
    noted: Mapping[str, Any]


class Place(NamedTuple):
    """Which ports and names a crew has, and how many workers of the costliest agent; kept while the crew runs."""

    number: int  # 0: plain names and the ports of the settings; others beside it
    reconcilers: int


def is_worker(name: str) -> bool:
    """Whether a process of this name is a worker of an agent."""
    return _NAME.fullmatch(name) is not None


def agent_of(name: str) -> str:
    """Return a process's agent, else its own name."""
    found = _NAME.fullmatch(name)
    return found[1] if found else name


def noted(home: Path) -> list[str]:
    """Return the names of all workers that a supervisor has noted in `home`, in the agents' order."""
    names = [path.stem for path in home.joinpath("run").glob("*.json") if is_worker(path.stem)]
    return sorted(names, key=lambda name: (AGENTS.index(agent_of(name)), len(name), name))


def addresses(settings: Settings, agent: str, generation: int) -> list[tuple[str, int]]:
    """Return where the workers of an agent answer: as the settings say, those of any generation; else those noted here.

    Those are of this generation; when none is noted, the first one's port is known from the settings.
    """
    if settings.metrics.workers:
        pairs = (each.partition("=") for each in settings.metrics.workers.split(",") if each)
        named = [where.rpartition(":") for name, _, where in pairs if name == agent]
        return [(host, int(port)) for host, _, port in named]
    host, port = settings.address(agent)
    found = [
        read_json(settings.home / "run" / f"{name}.json") for name in noted(settings.home) if agent_of(name) == agent
    ]
    ports = [each["port"] for each in found if each.get("generation") == generation]
    return [(host, each) for each in ports or [port]]


def crew(settings: Settings, generation: Generation, place: Place) -> Iterator[tuple[str, Program]]:
    """Yield name and program of every worker of a generation."""
    own = settings.model_copy(
        update={
            "generation": generation.number,
            "convention": _convention(settings, generation),
            "metrics": settings.metrics.model_copy(
                update={"base_port": settings.metrics.base_port + len(AGENTS) * place.number}
            ),
        }
    )
    beside = f".g{generation.number}" if place.number else ""
    for agent in AGENTS:
        for member in range(place.reconcilers if agent == "reconcile" else 1):
            argv = [*COMMAND, "worker", agent, "--member", str(member)]
            known = {"generation": generation.number, "port": own.address(agent)[1] + MEMBER_PORTS * member}
            yield f"{agent}{beside}{f'-{member}' if member else ''}", Program(argv, own, known)


def _convention(settings: Settings, generation: Generation) -> Path:
    """Return the convention file that the generation began with, where this machine has it."""
    file = Path(generation.manifest.convention_file)
    return file if generation.manifest.convention_file and file.exists() else settings.convention
