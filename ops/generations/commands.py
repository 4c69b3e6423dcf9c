"""What the commands about generations do and print: list, build, compare, switch, drop, prove."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from connectors.feed_store import Generation, iso
from connectors.feed_store.comparison import Example, TableComparison, compare, digest
from connectors.feed_store.manifest import SILENT
from connectors.table_query import instant_of
from ops import secrets
from ops.generations import building, dropping
from ops.generations.rules import manifest
from ops.generations.site import Site
from schemas.errors import Reason, Refused, Unavailable

_SWITCH_SECS = 60.0


def show(at: Site, console: Console) -> None:
    """Print every generation: state, newest cut, cells, and by what it counts."""
    table = Table(
        "generation", "state", "newest cut", "cells", "begun", "speaks from", "rules", box=None, pad_edge=False
    )
    own = manifest(at.settings)
    for each in at.generations.all():
        standing = at.generations.standing(each.number)
        cells = sum(at.store.at(each.number).count(name) for name in at.store.at(each.number).tables())
        same = "as here" if each.manifest.counts_as(own) else "others than here"
        rules = f"folds {each.manifest.folds}, convention {each.manifest.convention[:12]} ({same})"
        table.add_row(
            str(each.number), each.state, _instant(standing.newest), str(cells), iso(each.created_at // 1000),
            _instant(each.manifest.speaks_from), rules,
        )  # fmt: skip
    console.print(table)


def build(at: Site, number: int | None, console: Console, *, stay: bool = False) -> int:
    """Build a generation until it is as far as the current one, and keep its workers here if asked to; exit status."""
    number = building.begin(at, number)
    supervised = building.supervised(at)
    building.build(
        at, number, console, until=at.generations.standing(at.current()).newest, stay=stay and not supervised
    )
    console.print(f"generation {number} is ready: compare it, then switch to it")
    if not supervised:
        console.print("its workers have ended with this command; `migex up` starts them again, or build it with --stay")
    return 0


def contrast(at: Site, left: int, right: int, cut: str | None, console: Console) -> int:
    """Compare two generations, note the outcome and print it; exit status 1 when they differ."""
    for number in (left, right):
        at.generation(number)
    common = _common(at, left, right, instant_of(cut))
    rows = compare(at.store.at(left), at.store.at(right), common)
    different = sum(row.different for row in rows)
    equal = sum(row.equal for row in rows)
    at.generations.note("compare", left, {"other": right, "cut": common, "equal": equal, "different": different})
    console.print(_comparison(rows, left, right))
    for example in [example for row in rows for example in row.examples]:
        console.print(_example(example), soft_wrap=True, highlight=False)
    console.print(f"cut {iso(common)}: {equal} equal, {different} different")
    return 1 if different else 0


def switch(at: Site, number: int, accepted: str | None, console: Console) -> int:
    """Switch to a generation as soon as it has all that readers have seen, the doors then to its level; exit status.

    Raises Refused for one that links below the doors' level: keys are not brought down.
    """
    found = at.generations.find(number)
    level, file = (found.manifest.link_level, found.manifest.convention_file) if found else (1, "")
    if found:
        _require_level(at, number, level)
    end = time.monotonic() + _SWITCH_SECS
    while True:
        try:
            cut = at.generations.switch(number, accepted)
            break
        except Unavailable as error:
            if error.code != "generation-behind" or time.monotonic() > end:
                raise
            time.sleep(building.POLL_SECS / 2)
    console.print(f"readers see generation {number}, from the cut {iso(cut)} on")
    if secrets.level(at.settings.secrets) < level:
        secrets.raise_level(at.settings.secrets, level)
        console.print(
            f"doors make link keys at level {level} from now on; those of other hosts need the new key, then "
            "link-level. Earlier generations cannot link by it: drop them",
            soft_wrap=True,
        )
    if file != str(at.settings.convention):
        console.print(f"doors and titles are still of another convention: set MIGEX_CONVENTION={file}", soft_wrap=True)
    return 0


def drop(at: Site, number: int, console: Console) -> int:
    """Drop a generation; exit status."""
    left = dropping.drop(at, number)
    console.print(f"generation {number} is dropped: topics, this host's state, checkpoints and rows", soft_wrap=True)
    for directory in left:
        console.print(f"could not be deleted: {directory}", soft_wrap=True)
    console.print(f"other hosts that had workers for it keep state/g{number} in their homes: delete it there")
    return 0


def prove(at: Site, number: int, console: Console) -> int:
    """Build a generation once more from the inbox and compare cells and bytes; exit status 1 when they differ."""
    found = at.generation(number)
    _require_same_rules(at, found)
    until = at.generations.standing(number).newest
    level = found.manifest.link_level
    rules = manifest(at.settings, speaks_from=SILENT, every_from=until, previous=number, link_level=level)
    scratch = building.begin_as(at, rules)
    building.build(at, scratch, console, until=until)
    common = _common(at, number, scratch, until)
    one, other = (digest(at.store.at(each), common) for each in (number, scratch))
    for each, made in ((number, one), (scratch, other)):
        console.print(f"generation {each}  cut {iso(common)}  {made.cells} cells  sha256 {made.sha256}", soft_wrap=True)
    at.generations.note(
        "prove", number, {"cut": common, "cells": one.cells, "sha256": one.sha256, "equal": one == other}
    )
    if one != other:
        contrast(at, number, scratch, str(common), console)
        console.print(f"not the same: generation {scratch} stays, to be looked at and dropped")
        return 1
    dropping.drop(at, scratch)
    console.print("built once more from the inbox, the same to the byte")
    return 0


def _require_level(at: Site, number: int, level: int) -> None:
    doors = secrets.level(at.settings.secrets)
    if level < doors:
        rule = f"Generation {number} links at level {level}, the doors make link keys at level {doors}."
        remedy = "Keys are not brought down: `migex generation build` makes one at the level of the doors."
        raise Refused((Reason("generation-level", "generation", rule, remedy),))
    secrets.lifting(at.settings.secrets, level)


def _require_same_rules(at: Site, found: Generation) -> None:
    if not found.manifest.counts_as(manifest(at.settings)):
        rule = f"Generation {found.number} counts otherwise than this program with these settings."
        remedy = "Put its convention back (MIGEX_CONVENTION), or use the program that it began with."
        raise Refused((Reason("generation-otherwise", "generation", rule, remedy),))


def _common(at: Site, left: int, right: int, instant: int | None) -> int:
    common = at.generations.common_cut(left, right, instant)
    if common is None:
        rule = f"Generations {left} and {right} have no cut in common up to then."
        raise Refused((Reason("cut-uncommon", "cut", rule, "Wait until the newer one has counted more."),))
    return common


def _comparison(rows: Sequence[TableComparison], left: int, right: int) -> Table:
    table = Table("table", "equal", "differing", f"only in {left}", f"only in {right}", box=None, pad_edge=False)
    for row in rows:
        table.add_row(row.table, *map(str, (row.equal, row.differing, row.only_left, row.only_right)))
    return table


def _example(example: Example) -> str:
    left, right = (" ".join(map(str, value)) if value else "-" for value in (example.left, example.right))
    return f"  {example.cell}: {left} | {right}"


def _instant(tick: int) -> str:
    return iso(tick) if 0 < tick < SILENT else "-"
