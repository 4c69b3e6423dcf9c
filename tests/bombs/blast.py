"""Blast: what one bomb costs, measured in a process of its own that may not go on for ever."""

from __future__ import annotations

import os
import resource
import tempfile
from collections.abc import Callable
from math import ceil
from pathlib import Path
from typing import NamedTuple

from ops.processes.doors import spare_the_collector

CPU_SECS = 10
"""Seconds of CPU after which a bomb has won: several times what the worst of them takes."""

MEMORY_BYTES = 2 << 30
"""Memory beyond what the process begins with, above which it is ended: the machine is others' too."""

Go = Callable[[], str]
Door = Callable[[Path], Go]
"""What is made ready for the content of a file, warm, and returns what lets it go off and tells the code it was told.
"""


class Bomb(NamedTuple):
    """A bomb for a door."""

    door: Door
    told: str  # code of the refusal
    make: Callable[[], bytes]


class Cost(NamedTuple):
    """What a bomb was told, and what that cost."""

    code: str  # or how the process ended: 1 by a defect or for want of memory, -24 for want of CPU time
    mebibytes: float  # by which the process grew
    cpu_secs: float


def cost(bomb: Bomb) -> Cost:
    """Return the cost; one process makes the bomb, another lets it go off, and both begin as this one is."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "bomb"
        assert _apart(lambda: str(path.write_bytes(bomb.make()))).isdecimal()
        code, *figures = _apart(lambda: _gone_off(bomb.door(path))).split()
    mebibytes, cpu_secs = map(float, figures or (0, 0))
    return Cost(code, mebibytes, cpu_secs)


def _gone_off(go: Go) -> str:
    now = os.sysconf("SC_PAGE_SIZE") * int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY_BYTES, resource.RLIM_INFINITY))
    before = resource.getrusage(resource.RUSAGE_SELF)
    spare_the_collector()
    most = ceil(before.ru_utime + before.ru_stime) + CPU_SECS
    resource.setrlimit(resource.RLIMIT_CPU, (most, most + 1))
    code = go()
    after = resource.getrusage(resource.RUSAGE_SELF)
    secs = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return f"{code} {(after.ru_maxrss - before.ru_maxrss) / 1024:.1f} {secs:.2f}"


def _apart(work: Callable[[], str]) -> str:
    """Return what the work says in a process of its own, or how that ended."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writing, work().encode())
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as said:
        told = said.read()
    _, status = os.waitpid(child, 0)
    return told if status == 0 else f"ended:{os.waitstatus_to_exitcode(status)}"
