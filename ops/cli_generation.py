"""The commands about generations; each imports what it needs when it is called, as in `ops.cli`."""

# ruff: noqa: PLC0415

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

if TYPE_CHECKING:
    from rich.console import Console

    from ops.generations.site import Site

app = App(
    name="generation",
    help="Ways of counting, side by side: build, compare, switch, drop.",
    group="System",
    default_parameter=Parameter(negative=()),
)


@app.command(name="list")
def list_() -> None:
    """Show all generations: state, newest cut, cells, by what they count."""
    from ops.generations import commands

    with _site() as at:
        commands.show(at, _screen())


@app.command(name="build")
def build(number: int | None = None, /, *, stay: bool = False) -> int:
    """Count everything anew from the inbox by the convention in force, beside what runs, and return when it is as far.

    Args:
        number: Go on with this one. Default: begin the next.
        stay: Where no supervisor runs, as in containers: keep its workers at work here until it is dropped.
    """
    from ops.generations import commands

    with _site() as at:
        return commands.build(at, number, _screen(), stay=stay)


@app.command(name="compare")
def compare(left: int, right: int, /, *, cut: str | None = None) -> int:
    """Compare two generations cell by cell, the books too. Exit status 1 when they differ.

    Args:
        left: One generation.
        right: The other.
        cut: At the newest cut that both have up to this instant. Default: the newest that both have.
    """
    from ops.generations import commands

    with _site() as at:
        return commands.contrast(at, left, right, cut, _screen())


@app.command(name="switch")
def switch(number: int, /, *, reason: Annotated[str | None, Parameter(name="--accept-differences")] = None) -> int:
    """Let readers see another generation from now on.

    Args:
        number: The generation to switch to: ready, compared with the current one, and equal to it.
        reason: Switch though it was not compared or differs; the reason is noted.
    """
    from ops.generations import commands

    with _site() as at:
        return commands.switch(at, number, reason, _screen())


@app.command(name="drop")
def drop(number: int, /) -> int:
    """End a generation's workers and delete its topics, checkpoints, figures and state here. Never the current one.

    Args:
        number: The generation.
    """
    from ops.generations import commands

    with _site() as at:
        return commands.drop(at, number, _screen())


@app.command(name="prove")
def prove(number: int, /) -> int:
    """Build a generation once more from the inbox and compare cells and bytes. Exit status 1 when they differ.

    Args:
        number: The generation.
    """
    from ops.generations import commands

    with _site() as at:
        return commands.prove(at, number, _screen())


def _site() -> AbstractContextManager[Site]:
    from ops.generations.site import site
    from ops.settings import load

    return site(load())


def _screen() -> Console:
    from ops.console import console

    return console()
