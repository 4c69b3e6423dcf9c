"""The supervisor: starts the processes of one system, starts again what dies, stops them in order.

It knows nothing of what they do. Whatever it knows of them stands in `<home>/run/<name>.json`, for `migex status`.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import structlog

from ops.crews import COMMAND, Program, agent_of, noted
from ops.notes import Note, Setbacks
from ops.pids import PidFile, die_with
from ops.processes import AGENTS, PROCESSES
from ops.settings import Settings
from ops.template import Forked, Template
from schemas.errors import Misconfigured
from streams.fold import VERSION

STOP_ORDER: Sequence[tuple[str, ...]] = (
    ("gateway", "kafka-door", "file-door"),  # first nobody comes in any more, then what is inside may finish
    ("clock",),
    ("deduplicate", "reconcile", "aggregate"),
    ("feed", "registry"),
)
GRACE_SECS = 10.0
_EXIT_UNAVAILABLE, _EXIT_MISCONFIGURED = 75, 78
_FROM_OUTSIDE = (_EXIT_UNAVAILABLE, -signal.SIGKILL)
"""Ends that are not the process's own fault: something is away, or it was killed, as for want of memory."""
_LOOK_EVERY_SECS = 0.05
_TURN_EVERY_SECS = 5.0
_ASK_EVERY_SECS = 1.0
_KEPT_LOGS = 3


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the supervisor waits before it starts something again, and when it gives up; seconds."""

    first_secs: float = 0.2  # after the second quick death in a row; after the first one it does not wait
    longest_secs: float = 10.0
    quick_secs: float = 10.0  # whoever lives shorter than this died quickly
    deaths: int = 10  # so many quick deaths of its own in a row, and it is given up


Crews = Callable[[], Mapping[str, Program] | None]
"""Asked again and again which workers should run; None: nobody can say now, so that all goes on as before."""


def programs() -> dict[str, list[str]]:
    """Return the command line of every process that is no worker, in the order of starting."""
    return {name: [*COMMAND, name] for name in PROCESSES if name not in AGENTS}


class Child:
    """One process under supervision."""

    def __init__(
        self,
        name: str,
        program: Program,
        patience: Patience,
        template: Template | None = None,
        setbacks: Setbacks | None = None,
    ) -> None:
        """It is forked from the template, if there is one."""
        home = program.settings.home
        self._setbacks = setbacks or Setbacks()
        self.name = name
        self._argv = program.argv
        self._environ = program.settings.inherited()
        self._noted = program.noted
        self._log = home / "logs" / f"{name}.log"
        self._note = Note(home / "run" / f"{name}.json", self._setbacks)
        self._patience = patience
        self._template = template
        self._program: subprocess.Popen[bytes] | Forked | None = None
        self._begun = 0.0
        self._next = 0.0
        self._quick = 0  # quick ends in a row
        self._own = 0  # those among them that are its own fault, since the last one that was not
        self.restarts = -1
        self.state = "down"
        self._exit: int | None = None

    def watch(self, now: float) -> None:
        """Start it if it is time to, note if it died; `now` in monotonic seconds."""
        if self._program is not None and (status := self._program.poll()) is not None:
            self._died(now, status)
        if self._program is None and self.state != "failed" and now >= self._next:
            self._start(now)
        self._note.catch_up()

    def ask_to_end(self) -> None:
        """Send SIGTERM."""
        if self._program is not None:
            self._program.terminate()

    def ended(self, deadline: float) -> bool:
        """Whether it has ended, after it was asked to; it is killed when the deadline (monotonic seconds) is over."""
        if self._program is not None and self._program.poll() is None and time.monotonic() < deadline:
            return False
        self.see_end(deadline)
        return True

    def see_end(self, deadline: float) -> None:
        """Wait until the deadline, then kill."""
        if self._program is not None:
            try:
                self._program.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                structlog.get_logger().warning("A process did not end in time and is killed.", name=self.name)
                self._program.kill()
                self._program.wait()
        self._note.remove()

    def _start(self, now: float) -> None:
        with self._setbacks.borne("A process cannot be started.", name=self.name):
            self._log.parent.mkdir(parents=True, exist_ok=True)
            if self._template is not None:
                self._program = self._template.fork(self._argv[len(COMMAND) :], self._environ, self._log)
            if self._program is None:
                self._program = self._open()
        if self._program is None:
            self._quick += 1
            self._wait(now)
            return
        self._begun = now
        self.restarts += 1
        self._tell("up")

    def _open(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                self._argv,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with(os.getpid()),  # noqa: PLW1509  # the supervisor has one thread
            )

    def _died(self, now: float, status: int) -> None:
        self._program = None
        self._exit = status
        if now - self._begun >= self._patience.quick_secs:
            self._quick = self._own = 0
        self._quick += 1
        # what is away comes back by itself, a database that is restored in an hour: it may cost nobody his place, nor
        # may the other deaths before and between that have come of it
        self._own = 0 if status in _FROM_OUTSIDE else self._own + 1
        log = structlog.get_logger().bind(name=self.name, exit=status, log=str(self._log))
        if status == _EXIT_MISCONFIGURED or self._own >= self._patience.deaths:
            log.error("A process is given up: see its log, then run `migex down` and `migex up`.")
            self._tell("failed")
            return
        wait = self._wait(now)
        log.warning("A process ended and is started again.", after_secs=round(wait, 1))

    def _wait(self, now: float) -> float:
        """Wait before the next start, the longer the more quick ends there were in a row; return how long, seconds."""
        wait = 0.0  # whoever has lived for long is missed at once
        if self._quick > 1:
            wait = min(self._patience.longest_secs, self._patience.first_secs * 2 ** min(self._quick - 2, 30))
        self._next = now + wait
        self._tell("waiting")
        return wait

    def _tell(self, state: str) -> None:
        self.state = state
        pid = None if self._program is None else self._program.pid
        self._note.write(pid, state=state, restarts=self.restarts, exit=self._exit, at=time.time(), **self._noted)


class Supervisor:
    """Everything that runs beside the broker in one system."""

    def __init__(
        self,
        settings: Settings,
        argv: Mapping[str, Sequence[str]] | None = None,
        patience: Patience | None = None,
        *,
        crews: Crews | None = None,
    ) -> None:
        """`argv` names the processes and their command lines, by default all but the workers, which `crews` names.

        Only parts of the product are forked from a template, not what `argv` names.
        """
        self._home = settings.home
        self._setbacks = Setbacks()
        self._note = Note(settings.home / "run" / "supervisor.json", self._setbacks)
        self._max_bytes = settings.logs.max_megabytes * 1024 * 1024
        self._patience = patience or Patience()
        self._template = Template() if argv is None and settings.template else None
        chosen = programs() if argv is None else argv
        self._children = {name: self._child(name, Program(a, settings, {})) for name, a in chosen.items()}
        self._crews = crews
        self._crew: dict[str, Child] = {}
        self._leaving: dict[str, tuple[Child, float]] = {}
        self._stopping = False

    def _child(self, name: str, program: Program) -> Child:
        return Child(name, program, self._patience, self._template, self._setbacks)

    def run(self) -> None:
        """Supervise until SIGTERM or SIGINT; raises Misconfigured when this system has a supervisor already."""
        self._home.joinpath("run").mkdir(parents=True, exist_ok=True)
        with self._home.joinpath("run", "supervisor.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Misconfigured("already-up", f"The system in {self._home} has a supervisor already.") from None
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: self._stop())
            self._note.write(os.getpid(), folds=VERSION)
            try:
                self._supervise()
            finally:
                self._end()
                self._note.remove()

    def _stop(self) -> None:
        self._stopping = True

    def _supervise(self) -> None:
        for name in {*self._children, *noted(self._home)}:
            with self._setbacks.borne("What was left behind cannot be ended.", name=name):  # by one that was killed
                PidFile(self._home / "run" / f"{name}.json").stop(GRACE_SECS)
        structlog.get_logger().info("The supervisor is at work.", home=str(self._home))
        turned = asked = 0.0
        while not self._stopping:
            now = time.monotonic()
            if now - asked > _ASK_EVERY_SECS:
                asked = now
                self._muster(self._wanted(), now)
            self._note.catch_up()
            if self._template is None or self._template.prepared(now):
                for child in (*self._children.values(), *self._crew.values()):
                    child.watch(now)
            if now - turned > _TURN_EVERY_SECS:
                turned = now
                self._turn_logs()
            time.sleep(_LOOK_EVERY_SECS)

    def _wanted(self) -> Mapping[str, Program] | None:
        """Ask for the crews; whatever goes wrong with the answer, those who run are worth more than it."""
        if self._crews is not None:
            with self._setbacks.borne("Which workers should run cannot be found out.", Exception):
                return self._crews()
        return None

    def _turn_logs(self) -> None:
        with self._setbacks.borne("The logs cannot be looked at."):
            for log in self._home.joinpath("logs").glob("*.log"):
                with self._setbacks.borne("A log cannot be turned.", name=log.stem):
                    turn(log, self._max_bytes)

    def _muster(self, wanted: Mapping[str, Program] | None, now: float) -> None:
        """Take on the workers that are wanted, and let go of the others, without waiting for their end."""
        self._leaving = {name: (child, end) for name, (child, end) in self._leaving.items() if not child.ended(end)}
        if wanted is None:
            return
        for name in self._crew.keys() - wanted.keys():
            child = self._crew.pop(name)
            child.ask_to_end()
            self._leaving[name] = child, now + GRACE_SECS
        for name, program in wanted.items():
            if name not in self._crew and name not in self._leaving:
                self._crew[name] = self._child(name, program)

    def _end(self) -> None:
        if self._template is not None:
            self._template.end()
        children = [*self._children.values(), *self._crew.values(), *(child for child, _ in self._leaving.values())]
        known = {name for group in STOP_ORDER for name in group}
        for group in (*STOP_ORDER, tuple(child.name for child in children if agent_of(child.name) not in known)):
            members = [child for child in children if agent_of(child.name) in group]
            for child in members:
                child.ask_to_end()
            deadline = time.monotonic() + GRACE_SECS
            for child in members:
                child.see_end(deadline)
        structlog.get_logger().info("Everything has ended.")


def supervisor_file(home: Path) -> PidFile:
    """Return the file that names the supervisor of the system in `home`."""
    return PidFile(home / "run" / "supervisor.json")


def turn(log: Path, max_bytes: int) -> None:
    """Begin a log file anew when it has grown too large; three old ones are kept.

    Its writer holds it open for appending, so it is copied and cut, not moved; lines of that instant may be lost.
    Raises OSError when there is no room for the copy; then the log goes on, and of the old ones the oldest is gone.
    """
    if log.stat().st_size <= max_bytes:
        return
    kept = [log.with_name(f"{log.name}.{n}") for n in range(1, _KEPT_LOGS + 1)]
    kept[-1].unlink(missing_ok=True)  # makes room for the copy
    copy = log.with_name(f".{log.name}.copy")
    try:
        shutil.copyfile(log, copy)
    except OSError:
        copy.unlink(missing_ok=True)
        raise
    for newer, older in reversed(list(pairwise(kept))):
        if newer.exists():
            newer.replace(older)
    copy.replace(kept[0])
    os.truncate(log, 0)
