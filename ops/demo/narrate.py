"""What the demonstration prints: figures beside the published ones, books, counts, faults, speed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Column, Table

from ops.demo.bts import Cell, Published
from ops.demo.oracle import ENTRIES, Account, Expected, differences

MOST_DIFFERENCES = 20
"""Differing cells that are printed one by one."""


@dataclass(slots=True)
class Course:
    """How a run went: times in seconds, kills, and the ages of the newest cut that were seen on the way."""

    kills: list[str] = field(default_factory=list)
    publishing_secs: float = 0.0
    balanced: bool = False
    whole_secs: float = 0.0  # from the first delivery until the books balanced
    cut_ages: list[float] = field(default_factory=list)


def plan(console: Console, published: Published, expected: Expected) -> None:
    """Print what will be sent."""
    ports = ", ".join(f"{published.ports[code].name} ({code})" for code in published.totals())
    console.print(f"[bold]Ports[/bold]: {ports}")
    console.print(
        f"[bold]{expected.crossings:,} crossings[/bold] of {expected.persons:,} synthetic persons in "
        f"{len(expected.cells)} cells (port × month × mode), as {expected.deliveries:,} deliveries"
    )


def faults(console: Console, expected: Expected) -> None:
    """Print how often each fault was injected."""
    kinds = {fault: times for fault, times in expected.faults.items() if fault.startswith("malformed: ")}
    table = Table("fault injected", _number("times"), _number("of crossings"), title="Faults")
    for fault, times in expected.faults.items():
        if fault not in kinds:
            table.add_row(fault, f"{times:,}", f"{times / expected.crossings:.1%}")
    console.print(table)
    names = "; ".join(f"{kind.removeprefix('malformed: ')} {times}" for kind, times in kinds.items())
    console.print(f"Malformed deliveries are of {len(kinds)} kinds: {names}.")


def figures(console: Console, published: Published, ours: Mapping[Cell, int]) -> None:
    """Print F06 beside the published table, by port and by month."""
    columns = [_number(title) for title in ("published", "F06", "difference")]
    by_port = Table("port", "section", *columns, title="F06 by port")
    theirs, mine = _sums(published.persons, "checkpoint"), _sums(ours, "checkpoint")
    for code in (*published.totals(), *sorted(mine.keys() - theirs.keys())):
        port = published.ports.get(code)
        head = (f"{port.name}, {port.state} ({code})", port.section) if port else (code, "not sent")
        by_port.add_row(*head, *_beside(theirs[code], mine[code]))
    columns = [_number(title) for title in ("published", "F06", "difference")]
    by_month = Table("month", *columns, title="F06 by month")
    theirs, mine = _sums(published.persons, "period"), _sums(ours, "period")
    for period in sorted(theirs.keys() | mine.keys()):
        by_month.add_row(period, *_beside(theirs[period], mine[period]))
    console.print(by_port, by_month)


def _sums(cells: Mapping[Cell, int], by: str) -> Counter[str]:
    sums: Counter[str] = Counter()
    for cell, count in cells.items():
        sums[getattr(cell, by)] += count
    return sums


def _beside(published: int, ours: int) -> tuple[str, str, str]:
    difference = "0" if published == ours else f"[bold red]{ours - published:+,}[/bold red]"
    return f"{published:,}", f"{ours:,}", difference


def books(console: Console, counted: Mapping[Account, Mapping[str, int]]) -> None:
    """Print the books by agency and family."""
    table = Table(
        "agency", "family", *map(_number, ENTRIES), title="Books: deliveries = refused + duplicate + new version"
    )
    for (agency, family), book in sorted(counted.items()):
        table.add_row(agency, family, *(f"{book.get(entry, 0):,}" for entry in ENTRIES))
    console.print(table)


def three_counts(
    console: Console,
    senders: Mapping[Account, int],
    doors: Mapping[Account, int],
    counted: Mapping[Account, Mapping[str, int]],
) -> None:
    """Print the deliveries as the senders, the doors and the books count them."""
    table = Table(
        "agency",
        "family",
        *map(_number, ("senders' tally", "inbox headers", "books")),
        title="Deliveries by three counts",
    )
    for account in sorted({*senders, *doors, *counted}):
        counts = (senders.get(account, 0), doors.get(account, 0), counted.get(account, {}).get("deliveries", 0))
        colour = "" if len(set(counts)) == 1 else "bold red"
        table.add_row(*account, *(f"{count:,}" for count in counts), style=colour)
    console.print(table)


def course(console: Console, course: Course, deliveries: int) -> None:
    """Print kills, throughput and delay."""
    console.print(f"[bold]Killed[/bold] (SIGKILL) while events arrived: {'; '.join(course.kills) or 'nothing'}")
    rate = deliveries / course.whole_secs if course.whole_secs else 0.0
    console.print(
        f"[bold]Throughput[/bold]: {deliveries:,} deliveries in {course.whole_secs:.1f} s from the first one sent to "
        f"balanced books: [bold]{rate:,.0f} records/s[/bold] (publishing took {course.publishing_secs:.1f} s)"
    )
    if course.cut_ages:
        median, most = _quantile(course.cut_ages, 0.5), _quantile(course.cut_ages, 0.99)
        console.print(
            f"[bold]Delay[/bold] from acceptance to the counted cut, from migex_cut_age_seconds while sending: "
            f"p50 {median:.1f} s, p99 {most:.1f} s, kills included"
        )


def verdict(console: Console, ours: Mapping[Cell, int], expected: Mapping[Cell, int], wrong: Sequence[str]) -> bool:
    """Print what is wrong and, last, how many cells are equal; return whether all is right."""
    found = differences(ours, expected)
    for difference in found[:MOST_DIFFERENCES]:
        cell = " ".join(difference.cell)
        console.print(f"[red]differs[/red] {cell}: published {difference.published:,}, ours {difference.ours:,}")
    if len(found) > MOST_DIFFERENCES:
        console.print(f"[red]differs[/red] … and {len(found) - MOST_DIFFERENCES} cells more")
    for complaint in wrong:
        console.print(f"[red]wrong[/red] {complaint}", highlight=False)
    cells = {*ours, *expected}
    print(f"cells equal: {len(cells) - len(found)} of {len(cells)}", file=console.file, flush=True)
    return not found and not wrong


def _number(title: str) -> Column:
    return Column(title, justify="right")


def _quantile(values: Iterable[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]
