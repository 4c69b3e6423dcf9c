"""What runs and how it is: from the supervisor's notes, the processes' own numbers and the ends of their logs."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from rich.table import Table
from rich.text import Text

from ops.broker import Broker
from ops.crews import agent_of, noted
from ops.pids import PidFile, read_json
from ops.processes import AGENTS
from ops.settings import PROCESSES, Settings
from ops.supervisor import supervisor_file

_TAIL_BYTES = 64 * 1024
_PLAIN_ERROR = re.compile(r"\b(ERROR|FATAL)\b|^migex: |^\w*(Error|Exception)\b")


@dataclass(frozen=True, slots=True)
class Row:
    """One process as it is now; `applied` and the lags are None for processes that follow nothing."""

    name: str
    state: str  # up, starting (runs, does not answer), waiting (to be started again), failed (given up), down
    pid: int | None
    restarts: int
    address: str
    applied: int | None = None
    lag_frames: int | None = None
    lag_secs: float | None = None
    error: str = ""
    generation: int | None = None  # of a worker
    partitions: Sequence[int] | None = None  # of its agent's source that are open there; None: it does not say
    partitions_of: int | None = None  # how many there are
    files: Mapping[str, Mapping[str, Any]] | None = None  # of the file door: how far each agency's files have come


def rows(settings: Settings) -> list[Row]:
    """Return everything that belongs to the system, the broker first."""
    names = expected(settings)
    with ThreadPoolExecutor(len(names)) as threads:  # each may take a second not to answer
        processes = list(threads.map(lambda name: _process(name, settings), names))
    return [*_broker(settings), _supervisor(settings), *processes]


def expected(settings: Settings) -> list[str]:
    """Return every process of the system: of an agent those that the supervisor has noted, one at least."""
    workers = noted(settings.home)
    return [each for name in PROCESSES for each in [w for w in workers if agent_of(w) == name] or [name]]


def table(found: list[Row]) -> Table:
    """Return the rows as people read them, and below them which partitions nobody here has open."""
    shown = Table(
        "name", "state", "pid", "restarts", "address", "applied", "lag", "last error", box=None, pad_edge=False
    )
    shown.caption, shown.caption_justify = "\n".join([*absent(found), *files(found)]) or None, "left"
    for row in found:
        lag = "" if row.lag_frames is None else f"{row.lag_frames} frames"
        if row.lag_secs is not None:
            lag += f" {row.lag_secs:.1f} s"
        shown.add_row(
            row.name,
            Text(row.state, style={"up": "green", "failed": "bold red", "down": "red"}.get(row.state, "yellow")),
            str(row.pid or ""),
            str(row.restarts or ""),
            row.address,
            "" if row.applied is None else str(row.applied),
            lag,
            Text(row.error, overflow="ellipsis", no_wrap=True),
        )
    return shown


def absent(found: Sequence[Row]) -> Iterator[str]:
    """Yield a line for each agent and generation of whose partitions some are open in no worker of this host.

    Only this host's workers are asked: nobody knows where those of another host answer.
    """
    missing: dict[tuple[str, int | None], set[int]] = {}
    for row in found:
        if row.partitions is not None and row.partitions_of is not None:
            crew = agent_of(row.name), row.generation
            missing.setdefault(crew, set(range(row.partitions_of))).difference_update(row.partitions)
    for (agent, generation), numbers in missing.items():
        if numbers:
            those = ", ".join(map(str, sorted(numbers)))
            yield f"{agent} of generation {generation}: partitions {those} are not open on this host"


def files(found: Sequence[Row]) -> Iterator[str]:
    """Yield a line for each agency whose files wait or are being answered."""
    for agency, each in ((agency, each) for row in found for agency, each in (row.files or {}).items()):
        waiting = f"{each['waiting']:,} files wait"
        if each["family"]:
            done = f"{each['answered']:,} of {each['rows']:,} rows answered, {each['refused']:,} of them refused"
            waiting = f"a file of {each['family']}: {done}; {waiting}"
        yield f"{agency}: {waiting}"


def last_error(log: Path) -> str:
    """Return the last line of a log that reports an error, at most 200 characters, empty when there is none."""
    found = ""
    for line in _tail(log):
        found = _error_in(line) or found
    return found[:200]


def _broker(settings: Settings) -> Iterator[Row]:
    if not settings.broker.local:
        yield Row("kafka", "elsewhere", None, 0, settings.broker.bootstrap)
        return
    broker = Broker(settings.home, settings.broker.nodes, settings.broker.port, settings.cache)
    for node in broker.status():
        state = "up" if node.answers else "starting" if node.pid else "down"
        error = last_error(settings.home / "logs" / f"kafka-{node.node}.log")
        yield Row(f"kafka-{node.node}", state, node.pid, 0, f"127.0.0.1:{node.port}", error=error)


def _supervisor(settings: Settings) -> Row:
    pid = supervisor_file(settings.home).pid()
    error = last_error(settings.home / "logs" / "supervisor.log")
    return Row("supervisor", "up" if pid else "down", pid, 0, "", error=error)


def _process(name: str, settings: Settings) -> Row:
    file = settings.home / "run" / f"{name}.json"
    known, pid = read_json(file), PidFile(file).pid()
    host, port = settings.address(agent_of(name))
    port = known.get("port", port)
    error = last_error(settings.home / "logs" / f"{name}.log")
    restarts = known.get("restarts", 0)
    where = settings.gateway_url if name == "gateway" else f"http://{host}:{port}"
    if pid is None:
        state = known.get("state", "down")
        return Row(name, "down" if state == "up" else state, None, restarts, where, error=error)
    text = get(host, port, "/metrics") if get(host, port, "/health") is not None else None
    if text is None:
        return Row(name, "starting", pid, restarts, where, error=error)
    applied, frames, secs = _progress(text)
    row = Row(name, "up", pid, restarts, where, applied, frames, secs, error)
    if name == "file-door":
        told = get(host, port, "/v1/state/files")
        return replace(row, files=None if told is None else json.loads(told))
    if agent_of(name) not in AGENTS:
        return row
    told = get(host, port, "/v1/state/partitions")
    opened = {} if told is None else json.loads(told)
    return replace(row, generation=known.get("generation", settings.generation), **opened)


def get(host: str, port: int, path: str) -> str | None:
    """Return what a process answers with status 200 within a second, else None."""
    connection = HTTPConnection(host, port, timeout=1.0)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read().decode()
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()
    return text if answer.status == 200 else None


def _progress(metrics: str) -> tuple[int | None, int | None, float | None]:
    """Return how many messages are applied, how many are not, and the lag in seconds."""
    found: dict[str, list[float]] = {}
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.value)
    offsets, frames, lag = (found.get(f"migex_{name}") for name in ("applied_offset", "lag_frames", "lag_seconds"))
    return (
        int(sum(offsets)) + len(offsets) if offsets else None,  # an offset counts from 0
        int(sum(frames)) if frames else None,
        lag[0] if lag else None,
    )


def _tail(log: Path) -> list[str]:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES), os.SEEK_SET)
            return file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return []


def _error_in(line: str) -> str:
    if not line.startswith("{"):
        return line if _PLAIN_ERROR.search(line) else ""
    try:
        noted = json.loads(line)
    except ValueError:
        return ""
    if noted.get("level") not in {"error", "critical"}:
        return ""
    reason = str(noted.get("exception", "")).strip().rpartition("\n")[2]
    return " ".join(part for part in (noted.get("timestamp", "")[:19], str(noted.get("event")), reason) if part)
