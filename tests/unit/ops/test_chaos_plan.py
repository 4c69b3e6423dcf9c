"""The plan of a run of chaos: drawn from the seed, and such that it can be carried out."""

from __future__ import annotations

import pytest

from ops.chaos.plan import AGENTS, REACHED_BY, SHARED, WHILE_STARTING, WRITER, Kind, plan
from ops.processes import PROCESSES
from streams.crash_points import CrashPoint

OF_COMMANDS = {"archive", "trim", "outbox", "expiry"}
"""First words of the crash points that no process of a chaos run comes by."""

SEEDS = range(30)


def test_the_same_seed_gives_the_same_plan_and_another_one_another() -> None:
    assert plan(7, 20) == plan(7, 20)
    assert plan(7, 20) != plan(8, 20)
    assert plan(7, 20) != plan(7, 20, nodes=3)


@pytest.mark.parametrize("kills", [1, 2, 5, 12, 20, 200])
@pytest.mark.parametrize("nodes", [1, 3])
def test_as_many_are_killed_as_are_asked_for(kills: int, nodes: int) -> None:
    for seed in SEEDS:
        assert sum(strike.kills for strike in plan(seed, kills, nodes)) == kills


def test_brokers_are_killed_where_there_are_three() -> None:
    assert {s.kind for seed in SEEDS for s in plan(seed, 12)}.isdisjoint({Kind.BROKER})
    assert all(any(s.kind == Kind.BROKER for s in plan(seed, 12, nodes=3)) for seed in SEEDS)


def test_a_second_worker_comes_before_it_goes_and_zombies_have_one_beside_them() -> None:
    for seed in SEEDS:
        there: set[str] = set()
        for strike in plan(seed, 20):
            if strike.kind == Kind.JOIN:
                assert strike.on not in there
                there.add(strike.on)
            elif strike.kind in (Kind.LEAVE, Kind.LOSE):
                there.remove(strike.on)
            elif strike.kind in (Kind.ZOMBIE, Kind.OUST, Kind.FILL):
                assert strike.on in there
        assert there == set()


def test_every_kind_of_fault_is_in_a_run_of_twenty_kills() -> None:
    for seed in SEEDS:
        assert {s.kind for s in plan(seed, 20, nodes=3)} >= set(Kind) - {Kind.LEAVE, Kind.LOSE}


def test_every_crash_point_of_a_process_is_rehearsed() -> None:
    assert {point.split("-")[0] for point in CrashPoint} == REACHED_BY.keys() | OF_COMMANDS
    assert {name for names in REACHED_BY.values() for name in names} <= PROCESSES.keys()
    used = {s.how.partition(":")[0] for s in plan(1, 400) if s.how}
    assert used == {point for point in CrashPoint if point.split("-")[0] not in OF_COMMANDS}


def test_every_agent_gets_a_second_worker_and_only_partitions_are_shared() -> None:
    strikes = [strike for seed in SEEDS for strike in plan(seed, 20)]
    assert {s.on for s in strikes if s.kind == Kind.JOIN} == set(AGENTS)
    assert {s.on for s in strikes if s.kind == Kind.FILL} == set(SHARED)


@pytest.mark.parametrize("kills", [5, 12, 20])
def test_who_writes_to_the_feed_store_hangs_and_is_killed_beside_another_one(kills: int) -> None:
    for seed in SEEDS:
        on_writers = [strike for strike in plan(seed, kills) if strike.on == WRITER]
        assert {s.kind for s in on_writers} >= {Kind.JOIN, Kind.ZOMBIE, Kind.OUST}
    assert any(s.kind == Kind.ZOMBIE and s.how for seed in SEEDS for s in plan(seed, kills))


def test_a_point_that_a_start_comes_by_once_is_not_waited_for_twice() -> None:
    starting = {s.how for seed in SEEDS for s in plan(seed, 40) if s.how.split("-")[0] in WHILE_STARTING}
    assert starting == {f"{CrashPoint.LEASE_AFTER_TAKE}:1"}
