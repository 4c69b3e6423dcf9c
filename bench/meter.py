"""CPU time and memory of running processes, between two moments."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import psutil

EVERY_SECS = 0.2


class Usage(NamedTuple):
    """What one process took between two moments."""

    cpu_secs: float
    peak_bytes: int
    quarters: Sequence[int]
    """Resident bytes at 25, 50, 75 and 100 % of the time."""


class Meter:
    """Watches processes from `begin` to `end`."""

    def __init__(self, processes: Mapping[str, psutil.Process]) -> None:
        """Nothing is watched yet; the processes run already."""
        self._processes = processes
        self._seen: dict[str, list[int]] = {name: [] for name in processes}
        self._before: dict[str, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._began = 0.0

    def begin(self) -> None:
        """Begin to watch."""
        self._before = {name: cpu_secs(process) for name, process in self._processes.items()}
        self._began = time.perf_counter()
        self._thread.start()

    def end(self) -> tuple[float, dict[str, Usage]]:
        """Return the seconds since `begin`, and what each process took.

        Raises psutil.NoSuchProcess when one is gone.
        """
        wall = time.perf_counter() - self._began
        spent = {name: cpu_secs(process) - self._before[name] for name, process in self._processes.items()}
        self._stop.set()
        self._thread.join()
        return wall, {name: _usage(spent[name], seen) for name, seen in self._seen.items()}

    def _watch(self) -> None:
        while True:
            for name, process in self._processes.items():
                with suppress(psutil.NoSuchProcess):  # whoever waits for it will say so
                    self._seen[name].append(process.memory_info().rss)
            if self._stop.wait(EVERY_SECS):
                return


def cpu_secs(process: psutil.Process) -> float:
    """Return the CPU time that a process has taken so far, in and for it."""
    times = process.cpu_times()
    return times.user + times.system


def _usage(spent: float, seen: Sequence[int]) -> Usage:
    last = len(seen) - 1
    return Usage(spent, max(seen), [seen[round(last * quarter / 4)] for quarter in (1, 2, 3, 4)])
