"""Delay: from the door's answer for one event to an answer of the feed that counts it, under load.

    python -m bench.delay [--probes 10000] [--rate RECORDS_A_SECOND] [--kills SECS [--seed 7]] [--report FILE]

A whole system is started with its default settings. The load is written to the inbox as busy doors would, by default
at half of what that system does here: measured first, by a flood of records and a probe behind them. Each probe is a
crossing that is alone in its cell, sent by itself to the HTTP door; the feed is asked about twenty times a second. With
`--kills` all is measured once more while workers of the agents are killed by chance, one every so many seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
from rich.console import Console

from bench.events import PROBES
from bench.probes import A_SECOND, ASK_EVERY_SECS, PATIENCE_SECS, Kills, Probe, Probing
from bench.sheet import Sheet, Table, Value, asked
from bench.stages import Passage, passages
from ops import system
from ops.access import access
from ops.settings import Settings, with_free_ports
from schemas.conventions import load
from schemas.errors import Unavailable
from streams.topics import Topics

WARM_SECS, SPARE_SECS = 5.0, 30.0
"""How long the load goes on before the first probe, and how long it could after the last one, with what is made."""

FLOOD_A_SECOND, FLOOD_SECS = 40_000, 7.5
"""What is sent to see how much the system takes: more a second than it can."""

REQUESTS = 200
"""Which one agency may have under way: here one sends all probes, each by itself."""

QUANTILES = (0.5, 0.9, 0.99, 1.0)
GOALS = (1.0, None, 3.0, None)
"""Seconds, for each of the quantiles."""


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--probes", type=int, default=2000)
    options.add_argument(
        "--rate", type=float, help="records of the load a second; half of what is measured, if not said"
    )
    options.add_argument("--kills", type=float, metavar="SECS", help="between two kills")
    options.add_argument("--seed", type=int, default=7, help="of who is killed when")
    options.add_argument("--home", type=Path)
    asked(options)
    chosen = options.parse_args(argv)
    sheet = Sheet(chosen.report)
    with running(chosen.home) as settings:
        rate = chosen.rate or capacity(settings) / 2
        why = "as asked" if chosen.rate else f"half of the {2 * rate:,.0f} that it took of a flood"
        sheet.add(measured(settings, range(chosen.probes), rate, why))
        if chosen.kills:
            again = range(chosen.probes, 2 * chosen.probes)
            sheet.add(measured(settings, again, rate, why, Kills(chosen.kills, chosen.seed)))


def capacity(settings: Settings) -> float:
    """Return how many records a second the whole system takes: from the flood's first one to a probe sent behind it."""
    with sending(settings, FLOOD_A_SECOND, FLOOD_SECS, first=0) as load_:
        began = time.time()
        sent = load_.end()
        _, (probe,) = asyncio.run(Probing(settings, PROBES - 1).all(1, None))
        return sent / (probe.seen - began)


def measured(settings: Settings, numbers: range, rate: float, why: str, kills: Kills | None = None) -> Table:
    """Return the delays of the probes with these numbers under a load of so many records a second; `why` so many."""
    secs = len(numbers) / A_SECOND + SPARE_SECS
    flood, calm = round(FLOOD_A_SECOND * FLOOD_SECS), round(rate * secs)  # a record's number is used once
    with sending(settings, rate, secs, first=flood + (calm if kills else 0)) as load_:
        time.sleep(WARM_SECS)
        began = time.time()
        killed, probes = asyncio.run(Probing(settings, numbers.start).all(len(numbers), kills))
        reached = load_.stop()
    topics = Topics.of(settings.generation, load(settings.convention))
    stages = asyncio.run(passages(access(settings), topics, began))
    notes = [
        f"{len(probes):,} probes by HTTP, each alone in its cell; the feed asked every {ASK_EVERY_SECS * 1000:.0f} ms",
        f"load {reached:,.0f} records/s of {rate:,.0f} beside them, {why}; ticks every {settings.tick_secs:.0f} s",
    ]
    if kills:
        who = ", ".join(f"{agent} {count}" for agent, count in sorted(Counter(killed).items()))
        notes.append(f"{len(killed)} workers killed, one every {kills.every_secs:.0f} s: {who}; seed {kills.seed}")
    return delays(probes, stages, notes, "Delay while workers are killed" if kills else "Delay")


@contextmanager
def running(home: Path | None) -> Iterator[Settings]:
    """Give a whole system with default settings, under `home` or a directory that is forgotten."""
    quiet = Console(quiet=True)
    with tempfile.TemporaryDirectory(prefix="migex-bench-") as scratch:
        settings = with_free_ports(home or Path(scratch))
        gateway = settings.gateway.model_copy(update={"requests": REQUESTS})
        settings = settings.model_copy(update={"gateway": gateway})
        try:
            system.up(settings, quiet)
            yield settings
        finally:
            system.down(settings, quiet)


class Load:
    """The background's process."""

    def __init__(self, sender: psutil.Popen) -> None:
        self._sender = sender

    def stop(self) -> float:
        """End it and return how many records a second Kafka has acknowledged."""
        self._sender.send_signal(signal.SIGTERM)
        records, secs = self._said()
        return records / secs

    def end(self) -> int:
        """Wait until all is sent and return how many records Kafka has acknowledged."""
        return self._said()[0]

    def _said(self) -> tuple[int, float]:
        said, _ = self._sender.communicate(timeout=PATIENCE_SECS)
        records, secs = said.split()
        return int(records), float(secs)


@contextmanager
def sending(settings: Settings, rate: float, secs: float, first: int) -> Iterator[Load]:
    """Write so many records a second meanwhile, for so long at most, numbered from `first`; given once it begins."""
    command = [sys.executable, "-m", "bench.background", f"--rate={rate}", f"--secs={secs}", f"--first={first}"]
    sender = psutil.Popen(command, env=settings.inherited(), stdout=subprocess.PIPE, text=True)
    try:
        if sender.stdout.readline().strip() != "BEGIN":
            raise Unavailable("bench-load", "The load did not begin; what it says stands above.")
        yield Load(sender)
    finally:
        if sender.poll() is None:
            sender.kill()


def delays(probes: Sequence[Probe], stages: Mapping[int, Passage], notes: Sequence[str], title: str = "Delay") -> Table:
    """Return the distribution of the delay and of its parts, in seconds."""
    rows: list[Sequence[Value]] = [("the whole delay", *_quantiles([probe.delay for probe in probes]))]
    known = [(probe, stages[probe.tick]) for probe in probes if probe.tick in stages]
    parts = {
        "until the next tick": [at.inbox - probe.answered for probe, at in known],
        "deduplicate": [at.log - at.inbox for _, at in known],
        "reconcile": [at.partials - at.log for _, at in known],
        "aggregate, feed, asking": [probe.seen - at.partials for probe, at in known],
    }
    rows += [(f"  {name}", *_quantiles(values)) for name, values in parts.items()]
    rows.append(("goal", *GOALS))
    return Table(f"{title}: from the door's answer to the feed's, s", ("", "p50", "p90", "p99", "max"), rows, notes)


def _quantiles(values: Sequence[float]) -> list[Value]:
    ordered = sorted(values)
    return [ordered[round((len(ordered) - 1) * share)] for share in QUANTILES] if ordered else [None] * len(QUANTILES)


if __name__ == "__main__":
    main()
