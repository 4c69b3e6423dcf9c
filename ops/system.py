"""One whole system on this machine: `migex up`, `migex down`."""

from __future__ import annotations

import asyncio
import signal
import sys
import time

from rich.console import Console

from ops import secrets, status, topics
from ops.access import access, guard, guarded, make_passwords
from ops.broker import Broker
from ops.crews import noted
from ops.enrolment import enrol
from ops.generations.roster import Roster
from ops.pids import PidFile, detach, stop_all
from ops.settings import Settings
from ops.supervisor import GRACE_SECS, STOP_ORDER, Supervisor, supervisor_file
from schemas.conventions import load
from schemas.errors import Unavailable
from streams.principals import BROKER
from streams.topics import Topics

READY_SECS = 90.0


def local_broker(settings: Settings) -> Broker:
    """Return the local broker of this system, running or not."""
    own = settings.broker
    return Broker(
        settings.home, own.nodes, own.port, settings.cache, guard=guard(settings) if guarded(settings) else None
    )


def start_broker(settings: Settings) -> tuple[str, list[str]]:
    """Start the local broker, with principals where the settings say so; return its addresses and what else was done.

    Raises as `Broker.up` and `enrolment.enrol`.
    """
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)  # state and topics are about persons
    made = [f"made {path}" for path in make_passwords(settings, [BROKER])] if guarded(settings) else []
    broker = local_broker(settings)
    bootstrap = broker.up()
    return bootstrap, [*made, *(enrol(settings, broker.kafka) if guarded(settings) else ())]


def prepare(settings: Settings, console: Console) -> None:
    """Start the local broker if it is the one in use, make missing keys, give rights, create missing topics."""
    convention = load(settings.convention)
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    rights = list[str]()
    if settings.broker.local:
        bootstrap, rights = start_broker(settings)
        console.print(f"kafka       {bootstrap}")
    elif guarded(settings):
        rights = list(enrol(settings))
    if guarded(settings):
        console.print(f"principals  {len(rights)} things put right" if rights else "principals  as they should be")
    made = secrets.make(settings.secrets, convention.agencies)
    console.print(f"secrets     {settings.secrets}" + (f" ({len(made)} made)" if made else ""))
    numbers = Roster(settings).numbers()
    kafka = access(settings)
    done = [d for n in numbers for d in asyncio.run(topics.apply(kafka, Topics.of(n, convention)))]
    console.print(f"topics      {len(done)} put right" if done else "topics      as they should be")


def up(settings: Settings, console: Console) -> None:
    """Start the system and return when every process answers; what runs already is left alone.

    Raises Unavailable when a process does not get ready.
    """
    prepare(settings, console)
    if supervisor_file(settings.home).pid() is None:
        command = [sys.executable, "-m", "ops.cli", "supervise"]
        detach(command, settings.home / "logs" / "supervisor.log", settings.inherited())
    until_ready(settings)


def stay(settings: Settings, console: Console) -> None:
    """Start the system and supervise it from here until SIGTERM or Ctrl-C."""
    prepare(settings, console)
    Supervisor(settings, crews=Roster(settings)).run()


def until_ready(settings: Settings, secs: float = READY_SECS) -> None:
    """Wait until every process answers; raises Unavailable naming the one that does not."""
    end = time.monotonic() + secs
    while True:
        names = status.expected(settings)
        late = [row for row in status.rows(settings) if row.state != "up" and row.name in names]
        given_up = [row for row in late if row.state == "failed"]
        if not late:
            return
        if given_up or time.monotonic() > end:
            row = (given_up or late)[0]
            reason = f" It says last: {row.error}" if row.error else ""
            log = settings.home / "logs" / f"{row.name}.log"
            raise Unavailable("not-ready", f"{row.name} is {row.state}; its log is {log}.{reason}")
        time.sleep(0.2)


def down(settings: Settings, console: Console, *, keep_broker: bool = False) -> None:
    """Stop everything in order, doors first, the broker last; data stays."""
    supervisor = supervisor_file(settings.home)
    running = supervisor.pid() is not None
    supervisor.signal(signal.SIGTERM)
    supervisor.wait(GRACE_SECS * (len(STOP_ORDER) + 1))
    supervisor.stop(0.0)
    # what a supervisor that was killed left behind, where the system does not end it with its parent
    names = {*(name for group in STOP_ORDER for name in group), *noted(settings.home)}
    stop_all([PidFile(settings.home / "run" / f"{name}.json") for name in names], GRACE_SECS)
    console.print("processes   stopped" if running else "processes   did not run")
    if settings.broker.local and not keep_broker:
        broker = Broker.found(settings.home, settings.cache)
        ran = any(node.pid for node in broker.status())
        broker.down()
        console.print("kafka       stopped" if ran else "kafka       did not run")
