"""The plan: which fault strikes whom, and when, drawn from the seed before anything starts.

The same seed, number of kills and number of nodes give the same plan. What a strike meets, it meets by chance: how far
the processes are at that moment is not in the plan.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from random import Random
from typing import NamedTuple

from streams.crash_points import CrashPoint

AGENTS = ("deduplicate", "reconcile", "aggregate")
SHARED = ("deduplicate", "reconcile")
"""The agents that have several partitions, so that two workers can share them."""

WRITER = "aggregate"
"""The agent of which one worker writes to the feed store, under a lease, and a second one stands by."""

VICTIMS: Mapping[str, int] = {
    "deduplicate": 5, "reconcile": 5, "aggregate": 4, "gateway": 3, "kafka-door": 3, "file-door": 2,
    "clock": 2, "feed": 1,
}  # fmt: skip
"""Who is killed at a random moment, and how often in comparison."""

REACHED_BY: Mapping[str, Sequence[str]] = {
    "frame": ("gateway", "kafka-door", "file-door"),
    "verdicts": ("kafka-door",),
    "offsets": ("kafka-door",),
    "file": ("file-door",),
    "tick": ("clock",),
    "state": SHARED,
    "send": SHARED,
    "acknowledge": SHARED,
    "checkpoint": SHARED,
    "takeover": SHARED,
    "restore": SHARED,
    "feed": ("aggregate",),
    "lease": ("aggregate",),
}
"""First word of a crash point -> the processes that come by it while they work, or while one takes over."""

WHILE_TAKING_OVER = ("takeover", "restore")
"""First words of the crash points that are reached only when partitions change hands."""

WHILE_STARTING = ("lease",)
"""First words of the crash points that are reached only when a process starts."""

_TAKEN = CrashPoint.LEASE_AFTER_TAKE

FROZEN_SECS = 9.0
"""How long a zombie sleeps: its session of six seconds ends, and its partitions are folded by another one."""


class Kind(StrEnum):
    """What happens in a strike."""

    KILL = "kill"  # SIGKILL of a process, with messages waiting for it
    CRASH = "crash"  # SIGKILL by itself at a named point
    BROKER = "broker"  # SIGKILL of a node, which is started again
    JOIN = "join"  # a second worker, on another host, is added; with a point, it dies there once and is started again
    LEAVE = "leave"  # it ends as it is told to; with a point, the first worker dies there when it takes over
    LOSE = "lose"  # it is killed, and does not come back; a point as for LEAVE
    ZOMBIE = "zombie"  # the first worker, or who has the lease, is stopped for longer than its session, and goes on
    OUST = "oust"  # the worker that has the lease is killed, and comes back only when the other one has taken it
    FILL = "fill"  # the second worker's small disk is filled, and freed
    CUT = "cut"  # connections to the broker are reset and refused
    HOLD = "hold"  # nothing passes on any connection, silently
    DELAY = "delay"  # everything passes late


PARTINGS = (Kind.LEAVE, Kind.LOSE)
"""The kinds by which a second worker goes."""


class Strike(NamedTuple):
    """One fault: after a pause, on whom, and how."""

    pause_secs: float
    kind: Kind
    on: str  # a process, a node's number, or "connections"
    how: str = (
        ""  # a crash point, and the how-manieth time that it is reached ("send-before:2"); ZOMBIE: by its successor
    )
    secs: float = 0.0  # how long it lasts, or how long messages gather before a kill

    @property
    def kills(self) -> bool:
        """Whether it is counted among the kills."""
        return self.kind in (Kind.KILL, Kind.CRASH, Kind.BROKER, Kind.OUST) or bool(self.how)

    def __str__(self) -> str:
        """Return the strike as one line of the plan."""
        lasts = f" for {self.secs:.1f} s" if self.secs else ""
        return f"after {self.pause_secs:.1f} s {self.kind} {self.on} {self.how}".rstrip() + lasts


def plan(seed: int, kills: int, nodes: int = 1) -> list[Strike]:
    """Return the strikes in order; `kills` of them are kills, of brokers too when there are three nodes."""
    chance = Random(f"{seed}/plan")  # noqa: S311 - no secret: the same seed must bring the same plan
    visits = list(_visits(chance, kills))
    killing = deque(_kills(chance, kills - sum(step.kills for visit in visits for step in visit), nodes))
    episodes = [*visits, *([each] for each in _disturbances(chance, kills))]
    chance.shuffle(episodes)
    steps = [step for episode in episodes for step in episode]
    places = sorted(chance.randint(0, len(steps)) for _ in killing)
    found: list[Strike] = []
    for number, step in enumerate([*steps, None]):
        while places and places[0] == number:
            places.pop(0)
            found.append(killing.popleft())
        if step is not None:
            found.append(step)
    return found


def _kills(chance: Random, kills: int, nodes: int) -> Iterator[Strike]:
    """Yield the kills: with three nodes every fourth of a broker, of the rest half at named points."""
    brokers = kills // 4 if nodes > 1 else 0
    points = _points(chance)
    names, weights = list(VICTIMS), list(VICTIMS.values())
    kinds = [Kind.BROKER] * brokers
    kinds += [Kind.CRASH if number % 2 else Kind.KILL for number in range(kills - brokers)]
    chance.shuffle(kinds)
    for kind in kinds:
        pause = _pause(chance)
        if kind == Kind.BROKER:
            yield Strike(pause, kind, str(chance.randint(1, nodes)), secs=round(chance.uniform(1.0, 5.0), 1))
        elif kind == Kind.CRASH:
            yield Strike(pause, kind, *next(points))
        else:
            gathering = round(chance.uniform(0.2, 1.5), 2)
            yield Strike(pause, kind, chance.choices(names, weights)[0], secs=gathering)


def _points(chance: Random, *, taking_over: bool = False) -> Iterator[tuple[str, str]]:
    """Yield process and point: all pairs in a random order, and again."""
    pairs = [
        (name, point)
        for point in CrashPoint
        if ((word := point.split("-")[0]) in WHILE_TAKING_OVER) == taking_over
        for name in REACHED_BY.get(word, ())
    ]
    while True:
        for name, point in chance.sample(pairs, len(pairs)):
            often = 1 if point.split("-")[0] in WHILE_STARTING else 2 if taking_over else 3
            yield name, f"{point}:{chance.randint(1, often)}"


def _visits(chance: Random, kills: int) -> Iterator[list[Strike]]:
    """Yield the visits of second workers: with a zombie, with a crash while one takes over, or with a full disk."""
    each, points = max(1, kills // 10), _points(chance, taking_over=True)
    crashes = min(kills, each)
    yield from _stand_bys(chance, each, kills - crashes)
    kinds = [Kind.ZOMBIE] * each + [Kind.CRASH] * crashes + [Kind.FILL] * max(1, kills // 20)
    for inner in kinds:
        agent, point = next(points) if inner == Kind.CRASH else (chance.choice(SHARED), "")
        first = bool(point) and not point.startswith("restore") and chance.random() < 0.5
        steps = [Strike(_pause(chance), Kind.JOIN, agent, "" if first else point)]
        if inner in (Kind.ZOMBIE, Kind.FILL):
            steps.append(Strike(_pause(chance), inner, agent, secs=FROZEN_SECS if inner == Kind.ZOMBIE else 5.0))
        parting = chance.choice(PARTINGS)
        yield [*steps, Strike(_pause(chance), parting, agent, point if first else "")]


def _stand_bys(chance: Random, number: int, kills: int) -> Iterator[list[Strike]]:
    """Yield the visits of a second writer: who has the lease hangs, and is killed while there are kills left."""
    for _ in range(number):
        dies = kills > 1 and chance.random() < 0.5
        steps = [Strike(_pause(chance), Kind.ZOMBIE, WRITER, f"{_TAKEN}:1" if dies else "", FROZEN_SECS)]
        if kills > dies:
            steps.insert(chance.randint(0, 1), Strike(_pause(chance), Kind.OUST, WRITER))
        kills -= sum(step.kills for step in steps)
        parting = Strike(_pause(chance), chance.choice(PARTINGS), WRITER)
        yield [Strike(_pause(chance), Kind.JOIN, WRITER), *steps, parting]


def _pause(chance: Random) -> float:
    return round(chance.uniform(0.5, 2.5), 1)


def _disturbances(chance: Random, kills: int) -> Iterator[Strike]:
    """Yield what befalls the connections between the processes and the brokers."""
    for number in range(max(3, kills // 6)):
        kind = (Kind.CUT, Kind.HOLD, Kind.DELAY)[number % 3]
        secs = round(chance.uniform(1.0, 4.0) if kind == Kind.CUT else chance.uniform(3.0, 8.0), 1)
        yield Strike(_pause(chance), kind, "connections", secs=secs)
