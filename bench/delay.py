"""Delay: from the door's answer for one event to an answer of the feed that counts it, under load.

    python -m bench.delay [--probes 2000] [--rate EVENTS_A_SECOND] [--kills SECS] [--report FILE]

A whole system is started with its default settings. Without `--rate` its speed is measured first, from the HTTP door
to the feed, and the load is half of that. Each probe is a crossing that is alone in its cell, sent by itself; the feed
is asked about twenty times a second. With `--kills` all is measured once more while workers of the agents are killed
in turn, one every so many seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import psutil
from rich.console import Console

from bench.probes import ASK_EVERY_SECS, PATIENCE_SECS, Probe, Probing
from bench.sheet import Sheet, Table, Value, asked
from bench.stages import Passage, passages
from ops import system
from ops.access import access
from ops.settings import Settings, with_free_ports
from schemas.conventions import load
from schemas.errors import Unavailable
from streams.topics import Topics

QUANTILES = (0.5, 0.9, 0.99, 1.0)
GOALS = (1.0, None, 3.0, None)
"""Seconds, for each of the quantiles."""


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--probes", type=int, default=2000)
    options.add_argument("--rate", type=float, help="of the load; half of the measured speed if it is not given")
    options.add_argument("--warm", type=int, default=60_000, help="events by which the speed is measured")
    options.add_argument("--kills", type=float, metavar="SECS", help="between two kills")
    options.add_argument("--home", type=Path)
    asked(options)
    chosen = options.parse_args(argv)
    sheet = Sheet(chosen.report)
    with running(chosen.home) as settings:
        speed = None if chosen.rate else asyncio.run(whole_path(settings, chosen.warm))
        rate = chosen.rate or (speed or 0) / 2
        sheet.add(measured(settings, range(chosen.probes), rate, speed))
        if chosen.kills:
            again = range(chosen.probes, 2 * chosen.probes)
            sheet.add(measured(settings, again, rate, speed, chosen.kills))


def measured(
    settings: Settings, numbers: range, rate: float, speed: float | None = None, kill_secs: float | None = None
) -> Table:
    """Return the delays of the probes with these numbers under a load; `speed` is what the load is half of."""
    with loaded(settings, rate) as load_:
        kills, probes = asyncio.run(Probing(settings, numbers.start).all(len(numbers), kill_secs))
        accepted = load_.stop()
    topics = Topics.of(settings.generation, load(settings.convention))
    stages = asyncio.run(passages(access(settings), topics))
    half = f", half of the {speed:,.0f}/s from door to feed that were measured first" if speed else ""
    notes = [
        f"{len(probes):,} probes by HTTP, each alone in its cell; the feed asked every {ASK_EVERY_SECS * 1000:.0f} ms",
        f"load {accepted:,.0f} events/s beside them{half}; ticks every {settings.tick_secs:.0f} s",
    ]
    if kill_secs:
        notes.append(f"{len(kills)} workers killed, one every {kill_secs:.0f} s: {', '.join(kills)}")
    return delays(probes, stages, notes, "Delay while workers are killed" if kill_secs else "Delay")


@contextmanager
def running(home: Path | None) -> Iterator[Settings]:
    """Give a whole system with default settings, under `home` or a directory that is forgotten."""
    quiet = Console(quiet=True)
    with tempfile.TemporaryDirectory(prefix="migex-bench-") as scratch:
        settings = with_free_ports(home or Path(scratch))
        try:
            system.up(settings, quiet)
            yield settings
        finally:
            system.down(settings, quiet)


async def whole_path(settings: Settings, events: int) -> float:
    """Return events a second from the first one sent to the HTTP door to the last one counted in the feed."""
    sender = _background(settings, "--events", str(events))
    began = time.monotonic()
    async with aiohttp.ClientSession() as http:
        while await _counted(http, settings) < events:
            if sender.poll():
                sys.exit("the load ended early")
            if time.monotonic() - began > PATIENCE_SECS + events / 1000:
                raise Unavailable("bench-slow", f"{events:,} events were not counted in time.")
            await asyncio.sleep(0.25)
    return events / (time.monotonic() - began)


async def _counted(http: aiohttp.ClientSession, settings: Settings) -> int:
    host, port = settings.address("feed")
    async with http.get(f"http://{host}:{port}/v1/books") as response:
        if response.status != 200:  # no cut yet
            return 0
        return sum(row["counts"]["deliveries"] for row in (await response.json())["books"])


class Load:
    """The background's process."""

    def __init__(self, sender: psutil.Popen) -> None:
        self._sender = sender

    def stop(self) -> float:
        """End it and return how many events a second were accepted."""
        self._sender.send_signal(signal.SIGTERM)
        said, _ = self._sender.communicate(timeout=PATIENCE_SECS)
        accepted, secs = said.split()
        return int(accepted) / float(secs)


@contextmanager
def loaded(settings: Settings, rate: float) -> Iterator[Load]:
    """Send so many events a second meanwhile."""
    sender = _background(settings, "--rate", str(rate))
    try:
        yield Load(sender)
    finally:
        if sender.poll() is None:
            sender.kill()


def _background(settings: Settings, *options: str) -> psutil.Popen:
    """Start the load and return when it begins to send."""
    command = [sys.executable, "-m", "bench.background", *options]
    sender = psutil.Popen(command, env=settings.inherited(), stdout=subprocess.PIPE, text=True)
    if sender.stdout.readline().strip() != "BEGIN":
        raise Unavailable("bench-load", "The load did not begin; what it says stands above.")
    return sender


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
