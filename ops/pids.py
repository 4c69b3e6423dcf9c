"""Programs that we started, remembered in files, and never mistaken for another program that got the same number."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_PROC = Path("/proc")


def started(pid: int) -> str | None:
    """Return when the program with this number began, in the system's own words; None when it does not run."""
    if _PROC.joinpath("self", "stat").exists():
        return _started_linux(pid)
    lines = subprocess.run(["ps", "-o", "state=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, begin = lines.stdout.strip().partition(" ")
    return begin.strip() if state and not state.startswith("Z") else None


def _started_linux(pid: int) -> str | None:
    try:
        # proc(5): the name in brackets may hold spaces; after it come field 3, the state, and field 22, the start
        fields = _PROC.joinpath(str(pid), "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[0] in "ZX" and not _has_threads(pid):
        with contextlib.suppress(ChildProcessError):  # somebody else's child
            os.waitpid(pid, os.WNOHANG)
        return None
    return fields[19]


def _has_threads(pid: int) -> bool:
    """Return whether more than the first thread is left; a dying Java keeps its ports until the last one has gone."""
    try:
        return len(list(_PROC.joinpath(str(pid), "task").iterdir())) > 1
    except FileNotFoundError:
        return False


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a small file so that a reader sees the old or the new one, never half of it."""
    write_whole(path, json.dumps(content).encode())


def write_whole(path: Path, content: bytes) -> None:
    """Write a small file whole or not at all; raises OSError, and then nothing is left of it, as on a full disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise


def read_json(path: Path) -> dict[str, Any]:
    """Return the content of a small file, empty when there is none, or when it is not one of ours."""
    try:
        content = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


class PidFile:
    """A file that names one running program by its number and its start time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def record(self, pid: int | None, **more: Any) -> None:
        """Remember this program, None: that it does not run; `more` is kept beside it."""
        began = None if pid is None else started(pid)
        write_json(self._path, {"pid": pid, "started": began, **more})

    def pid(self) -> int | None:
        """Return the program's number while that very program runs, else None."""
        content = read_json(self._path)
        pid, began = content.get("pid"), content.get("started")
        if not isinstance(pid, int) or began is None or started(pid) != began:
            return None
        return pid

    def signal(self, number: signal.Signals) -> None:
        """Send a signal if the program runs."""
        pid = self.pid()
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):  # it ended in between
                os.kill(pid, number)

    def wait(self, secs: float) -> bool:
        """Wait until the program has ended; return whether it has."""
        end = time.monotonic() + secs
        while self.pid() is not None:
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True

    def stop(self, grace_secs: float) -> None:
        """Ask the program to end, wait, and kill it if it does not; then forget it."""
        self.signal(signal.SIGTERM)
        if not self.wait(grace_secs):
            self.signal(signal.SIGKILL)
            self.wait(grace_secs)
        self._path.unlink(missing_ok=True)


def stop_all(files: list[PidFile], grace_secs: float) -> None:
    """Stop several programs at the same time."""
    for file in files:
        file.signal(signal.SIGTERM)
    end = time.monotonic() + grace_secs
    for file in files:
        file.wait(max(0.0, end - time.monotonic()))
    for file in files:
        file.stop(0.0)


def detach(argv: list[str], log: Path, environ: dict[str, str] | None = None) -> int:
    """Start a program in a session of its own, its output added to `log`; return its number.

    It outlives us, so it gets none of our open files: a lock that somebody took for us would be held for ever.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, out, 1),
            (os.POSIX_SPAWN_DUP2, out, 2),
            *((os.POSIX_SPAWN_CLOSE, number) for number in _inherited()),
        ]
        return os.posix_spawn(argv[0], argv, environ or dict(os.environ), file_actions=actions, setsid=True)
    finally:
        os.close(out)


def _inherited() -> list[int]:
    """Return our open files beyond the three that a program we start would have too."""
    found = []
    for number in (int(file.name) for file in Path("/dev/fd").iterdir()):
        with contextlib.suppress(OSError):  # that of the listing itself is closed again
            if number > 2 and os.get_inheritable(number):
                found.append(number)
    return found


def die_with(parent: int) -> Callable[[], None]:
    """Return what makes the process that calls it die with its parent, even with one that is killed.

    SIGKILL, because it is certain and nothing in the product needs a graceful end (laws L1 and L2). Linux only;
    elsewhere the next `migex up` or `migex down` ends what was left.
    """
    libc = ctypes.CDLL(None)

    def bind() -> None:
        if sys.platform == "linux":
            libc.prctl(1, int(signal.SIGKILL))  # prctl(2), PR_SET_PDEATHSIG
            if os.getppid() != parent:  # it died before we asked
                os._exit(1)

    return bind
