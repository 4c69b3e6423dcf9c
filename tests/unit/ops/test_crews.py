"""Crews and the roster: which workers run for which generations, under which names and on which ports."""

from __future__ import annotations

import json
import os
from contextlib import closing
from pathlib import Path

import pytest

from connectors.feed_store import FeedStore, Generation, Manifest, State
from ops.crews import Place, addresses, agent_of, crew, is_worker, noted
from ops.generations.roster import Roster
from ops.generations.rules import manifest
from ops.pids import write_json
from ops.processes import AGENTS
from ops.settings import Settings
from schemas.conventions import DEFAULT
from schemas.errors import Misconfigured
from streams.fold import VERSION


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def generation(number: int, file: str = "") -> Generation:
    return Generation(number, State.READY, Manifest(VERSION, "c", "l", convention_file=file), 0)


@pytest.mark.parametrize(
    ("name", "agent"),
    [
        ("reconcile", "reconcile"), ("reconcile-1", "reconcile"), ("reconcile.g2", "reconcile"),
        ("deduplicate.g12-3", "deduplicate"), ("kafka-door", "kafka-door"), ("feed", "feed"),
    ],
)  # fmt: skip
def test_names_of_workers(name: str, agent: str) -> None:
    assert agent_of(name) == agent
    assert is_worker(name) == (agent not in {"kafka-door", "feed"})


def test_the_first_crew_has_plain_names_and_the_ports_of_the_settings(settings: Settings) -> None:
    programs = dict(crew(settings, generation(3), Place(0, 2)))
    assert {name: program.noted["port"] for name, program in programs.items()} == {
        "deduplicate": settings.address("deduplicate")[1],
        "reconcile": settings.address("reconcile")[1],
        "reconcile-1": settings.address("reconcile")[1] + 16,
        "aggregate": settings.address("aggregate")[1],
    }
    assert {program.settings.generation for program in programs.values()} == {3}
    assert programs["reconcile-1"].argv[-4:] == ["worker", "reconcile", "--member", "1"]


def test_no_two_workers_of_several_crews_share_a_name_or_a_port(settings: Settings) -> None:
    programs = [each for n in range(4) for each in crew(settings, generation(n + 1), Place(n, 4))]
    ports = [program.noted["port"] for _, program in programs]
    others = {settings.address(name)[1] for name in ("kafka-door", "clock")}
    assert len(dict(programs)) == len(set(ports) | others) - len(others) == len(programs) == 4 * 6


def test_a_crew_counts_by_the_convention_that_its_generation_began_with(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "new.yaml").touch()
    for file, expected in (
        (str(tmp_path / "new.yaml"), tmp_path / "new.yaml"),
        ("/nowhere.yaml", DEFAULT),
        ("", DEFAULT),
    ):
        conventions = {p.settings.convention for _, p in crew(settings, generation(2, file), Place(1, 1))}
        assert conventions == {expected}


def test_addresses_are_those_of_the_generation_that_is_asked_for(settings: Settings, tmp_path: Path) -> None:
    for name, number, port in (("reconcile", 1, 7001), ("reconcile.g2", 2, 7002), ("reconcile.g2-1", 2, 7003)):
        write_json(tmp_path / "run" / f"{name}.json", {"generation": number, "port": port})
    write_json(tmp_path / "run" / "clock.json", {})
    assert noted(tmp_path) == ["reconcile", "reconcile.g2", "reconcile.g2-1"]
    assert [port for _, port in addresses(settings, "reconcile", 2)] == [7002, 7003]
    assert addresses(settings, "reconcile", 3) == [settings.address("reconcile")]


# --- the roster ---

FIRST = ["deduplicate", "reconcile", "reconcile-1", "aggregate"]
"""Who works for the current generation by default."""


def test_the_first_call_begins_the_first_generation(settings: Settings) -> None:
    found = Roster(settings)()
    assert found is not None
    assert list(found) == FIRST
    with closing(FeedStore(settings.feed_url, 1)) as store:
        assert store.generations.current() == 1


@pytest.mark.parametrize("wanted", [1, 3])
def test_a_setting_says_how_many_workers_of_reconcile_there_are(settings: Settings, wanted: int) -> None:
    found = Roster(settings.model_copy(update={"reconcilers": wanted}))() or {}
    assert sum(agent_of(name) == "reconcile" for name in found) == wanted


def test_a_generation_that_is_built_has_a_worker_for_each_core_and_keeps_them(settings: Settings) -> None:
    roster = Roster(settings)
    roster()
    with closing(FeedStore(settings.feed_url, 1)) as store:
        store.generations.begin(2, manifest(settings))
        built = set(roster() or ())
        reconcilers = {"reconcile.g2", *(f"reconcile.g2-{n}" for n in range(1, os.cpu_count() or 1))}
        assert {name for name in built if name.startswith("reconcile.g2")} == reconcilers
        store.generations.ready(2)
        store.generations.switch(2, "rehearsed")
        assert set(roster() or ()) == built  # nobody who runs gets another name
        store.generations.dropping(1)
        assert set(roster() or ()) == {name for name in built if ".g2" in name}
    assert set(Roster(settings)() or ()) == set(FIRST)  # begun anew: it is the first now
    assert roster.numbers() == [2]


def told(home: Path) -> dict[str, dict[str, str]]:
    """Return the labels of each target that Prometheus is told of."""
    found = json.loads((home / "crews.json").read_text())
    assert all(len(each["targets"]) == 1 for each in found)
    return {each["targets"][0]: each["labels"] for each in found}


def test_prometheus_is_told_of_all_crews_and_which_is_the_current_one(settings: Settings) -> None:
    roster = Roster(settings)
    roster()
    first = told(settings.home)
    plain = set(first)
    assert len(plain) == len(FIRST)
    assert {f"{h}:{p}" for h, p in map(settings.address, AGENTS)} < plain
    assert {(labels["generation"], labels["crew"]) for labels in first.values()} == {("1", "current")}
    with closing(FeedStore(settings.feed_url, 1)) as store:
        store.generations.begin(2, manifest(settings))
        programs = roster() or {}
        second = told(settings.home)
        assert len(second) == len(programs)
        assert {where: second[where] for where in plain} == first
        assert {labels["crew"] for where, labels in second.items() if where not in plain} == {"beside"}
        assert {labels["process"] for labels in second.values()} == {"deduplicate", "reconcile", "aggregate"}
        store.generations.ready(2)
        store.generations.switch(2, "rehearsed")
        store.generations.dropping(1)
        roster()
    last = told(settings.home)
    assert set(last) == set(second) - plain
    assert {(labels["generation"], labels["crew"]) for labels in last.values()} == {("2", "current")}
    written = (settings.home / "crews.json").stat().st_mtime_ns
    roster()
    assert (settings.home / "crews.json").stat().st_mtime_ns == written


def test_whom_prometheus_cannot_be_told_of_works_all_the_same(settings: Settings) -> None:
    roster = Roster(settings)
    (settings.home / "crews.json").mkdir()
    assert list(roster() or ()) == FIRST
    (settings.home / "crews.json").rmdir()
    for content in (None, b"\xff"):
        if content is not None:
            (settings.home / "crews.json").write_bytes(content)
        assert list(roster() or ()) == FIRST
        assert len(told(settings.home)) == len(FIRST)


def test_another_programs_generations_are_left_to_it(settings: Settings) -> None:
    with closing(FeedStore(settings.feed_url, 1)) as store:
        store.generations.enrol(1, Manifest(VERSION + 1, "c", "l"))
    assert Roster(settings)() == {}


def test_where_the_store_cannot_be_opened_the_workers_start_and_say_so(tmp_path: Path) -> None:
    made = Settings.model_validate({"home": tmp_path, "feed": {"url": "nosuch://"}, "generation": 4})
    assert list(Roster(made)() or ()) == FIRST
    assert Roster(made).numbers() == [4]


def test_while_the_store_is_away_all_goes_on_as_before(tmp_path: Path) -> None:
    away = Settings.model_validate(
        {"home": tmp_path, "feed": {"url": f"postgresql://postgres@/postgres?host={tmp_path}"}}
    )
    assert Roster(away)() is None
    assert Roster(away).numbers() == [1]


def test_a_changed_convention_is_another_way_of_counting(settings: Settings, tmp_path: Path) -> None:
    text = DEFAULT.read_text(encoding="utf-8")
    (tmp_path / "titles.yaml").write_text(text.replace("due_days: 20", "due_days: 21"), encoding="utf-8")
    (tmp_path / "counts.yaml").write_text(text.replace("late_days: 45", "late_days: 46"), encoding="utf-8")
    own = manifest(settings)
    for name, same in (("titles", True), ("counts", False)):
        other = settings.model_copy(update={"convention": tmp_path / f"{name}.yaml"})
        assert manifest(other).counts_as(own) is same
        with closing(FeedStore(settings.feed_url, 1)) as store:
            store.generations.enrol(1, own)
            if not same:
                with pytest.raises(Misconfigured, match="generation-rules"):
                    store.generations.enrol(1, manifest(other))
