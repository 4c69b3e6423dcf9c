"""The template: a process that has imported everything, and from which the supervisor has all others forked.

Python with what a worker imports takes two seconds of CPU to start, a fork some milliseconds; so a worker that was
killed is back at once, and what it imported is in memory once. What is forked belongs to the supervisor as its own
child, by the rule of the subreaper (prctl(2)): Linux only. Without a template a process starts as any program does.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

import structlog

from ops.pids import die_with
from ops.processes import AGENTS, PROCESSES

PREPARING_SECS = 30.0
ANSWER_SECS = 2.0
_SET_CHILD_SUBREAPER = 36
_READY = b"ready\n"


class Forked:
    """A process that was forked for us, to be used as a `subprocess.Popen` is."""

    def __init__(self, pid: int) -> None:
        """It is our child, and nobody else waits for it."""
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return its exit status, below zero the signal that ended it; None while it runs."""
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # somebody saw its end before us, and took the status; Popen says 0 then, too
                self.returncode = 0
            else:
                self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self._send(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """Return its exit status when it has ended; raises subprocess.TimeoutExpired."""
        end = None if timeout is None else time.monotonic() + timeout
        while (status := self.poll()) is None:
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
            time.sleep(0.02)
        return status

    def _send(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


class Template:
    """The supervisor's side: starts the template, starts it again when it dies, and has processes forked by it."""

    def __init__(self) -> None:
        """Nothing is started yet."""
        self._given_up = False
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = False
        self._begun = 0.0

    def prepared(self, now: float) -> bool:
        """Whether processes may be started now, by it or without it; begins to prepare one; `now` in monotonic seconds.

        One that does not get ready is given up.
        """
        if self._process is not None and self._process.poll() is not None:
            if not self._ready:
                self._give_up()
            self._forget()
        if self._given_up or self._ready:
            return True
        if self._process is None:
            self._begin(now)
        elif self._says(0.0) == _READY:
            self._ready = True
        elif now - self._begun > PREPARING_SECS:
            self._give_up()
        return self._given_up or self._ready

    def _begin(self, now: float) -> None:
        if not _adopt_orphans():
            self._give_up()
            return
        self._begun = now
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ops.template"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
                preexec_fn=die_with(os.getpid()),  # noqa: PLW1509  # the supervisor has one thread
            )
        except OSError:  # no memory, no process number or no open file is left
            self._give_up()

    def fork(self, words: Sequence[str], environ: Mapping[str, str], log: Path) -> Forked | None:
        """Run `migex WORDS…` in a new process with this environment, its output added to `log`; None: it cannot."""
        if self._process is None or self._process.stdin is None or not self._ready:
            return None
        order = {"words": list(words), "environ": dict(environ), "log": str(log)}
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
        answer = self._says(ANSWER_SECS)
        if not answer:
            # it was killed, or it hangs; whoever it has forked holds the pipe until he has said his number
            self._process.kill()
            answer = self._says(ANSWER_SECS)
            self._forget()
        return Forked(int(answer)) if answer else None

    def end(self) -> None:
        """End the template; what was forked from it goes on."""
        if self._process is not None:
            self._process.kill()
            self._forget()

    def _says(self, secs: float) -> bytes:
        """Return the next line of the template or of who was forked from it; empty: none in time, or it has died."""
        if self._process is None or self._process.stdout is None:
            return b""
        out = self._process.stdout.fileno()
        return os.read(out, 64) if select.select([out], [], [], secs)[0] else b""  # asked once, it says one line

    def _give_up(self) -> None:
        structlog.get_logger().warning("There is no template: every process imports for itself what it needs.")
        self._given_up = True
        self.end()

    def _forget(self) -> None:
        if self._process is not None:
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()
        self._process, self._ready = None, False


def _adopt_orphans() -> bool:
    """Become the parent of all that our descendants leave behind; return whether the system can do that."""
    return sys.platform == "linux" and not ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def stand_by() -> list[str] | None:
    """Import everything and fork as the supervisor orders; return what to do in whom was forked, None at the end."""
    for name in {*PROCESSES} - {*AGENTS} | {"worker"}:
        import_module(f"ops.processes.{name.replace('-', '_')}")
    import_module("ops.cli")
    gc.collect()
    gc.freeze()  # or the first collection of each process would copy all that they share
    supervisor = os.getppid()
    os.write(1, _READY)
    while line := sys.stdin.buffer.readline():
        if _forked(supervisor):
            order = json.loads(line)
            _become(order["environ"], Path(order["log"]))
            return list(order["words"])
    return None


def _forked(supervisor: int) -> bool:
    """Fork a child of the supervisor's, by way of one that ends at once; return whether this is the child."""
    if between := os.fork():
        os.waitpid(between, 0)
        return False
    between = os.getpid()
    if os.fork():
        os._exit(0)
    while os.getppid() == between:
        time.sleep(0.0002)
    die_with(supervisor)()
    return True


def _become(environ: Mapping[str, str], log: Path) -> None:
    """Be a process of its own; from the first line on the supervisor knows of it."""
    os.write(1, b"%d\n" % os.getpid())
    os.setsid()
    for path, flags, numbers in (
        (os.devnull, os.O_RDONLY, [0]),
        (str(log), os.O_WRONLY | os.O_APPEND | os.O_CREAT, [1, 2]),
    ):
        try:
            opened = os.open(path, flags, 0o666)
        except OSError as error:  # the disk is full: it is tried again, for as long as it takes
            sys.stderr.write(f"migex: {error}\n")
            sys.exit(os.EX_TEMPFAIL)
        for number in numbers:
            os.dup2(opened, number)
        os.close(opened)
    os.environ.clear()
    os.environ.update(environ)
    Path("/proc/self/comm").write_text(log.stem)  # what ps and top show


if __name__ == "__main__":
    if (words := stand_by()) is not None:
        import_module("ops.cli").main(words)
