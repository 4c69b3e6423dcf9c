"""The convention file: what it says, and that every slip in it is told with its key."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas import conventions
from schemas.errors import Misconfigured

BY = conventions.load()
RAW: dict[str, Any] = yaml.safe_load(conventions.DEFAULT.read_text(encoding="utf-8"))


def written(path: Path, change: Callable[[dict[str, Any]], object] = lambda raw: None) -> Path:
    """Write the convention of Belarus with a change."""
    raw = copy.deepcopy(RAW)
    change(raw)
    path.write_text(yaml.safe_dump(raw, allow_unicode=True), encoding="utf-8")
    return path


def test_belarus() -> None:
    assert (BY.id, BY.country, BY.country_alpha3, BY.timezone, BY.maintainer) == (
        *("BY", "BY", "BLR", "Europe/Minsk", "BELSTAT"),
    )
    ids = {agency.code: agency.id for agency in BY.agencies.values()}
    assert ids.items() >= {"gpk": 1, "mvd": 2, "refugee": 3, "labour": 4, "mfa": 5, "education": 6, "bank": 7}.items()
    assert sorted(ids.values()) == list(range(1, len(ids) + 1))  # records carry them: appended, never given again
    assert BY.agencies["stat_ru"].country == "RUS"
    dates = {table.id: (table.freq, table.due_days, table.final_after_days) for table in BY.tables.values()}
    assert dates.items() >= {"F01": ("M", 20, 45), "F06": ("M", 15, 45), "F11": ("Q", 30, 45)}.items()


def test_precedence_is_by_family() -> None:
    assert BY.agencies["bank"].precedence == {"remittance.aggregate": 0}
    assert BY.agencies["gpk"].precedence["border.crossing"] == 0
    assert BY.agencies["mvd"].precedence["border.crossing"] == 1
    assert BY.agencies["mvd"].precedence["permit.decision"] == 0


def test_what_is_not_confirmed_says_so() -> None:
    assert not any(table.source_confirmed for table in BY.tables.values())


@pytest.mark.parametrize(
    ("instant", "day"),
    [
        (datetime(2018, 2, 28, 20, 59, 59, 999_000, UTC), date(2018, 2, 28)),
        (datetime(2018, 2, 28, 21, 0, tzinfo=UTC), date(2018, 3, 1)),  # midnight in Minsk, UTC+3
        (datetime(1969, 12, 31, 20, 59, tzinfo=UTC), date(1969, 12, 31)),  # Moscow time then, UTC+3
        (datetime(2010, 7, 1, 20, 59, tzinfo=UTC), date(2010, 7, 1)),  # summer time then, UTC+3
        (datetime(2010, 7, 1, 21, 0, tzinfo=UTC), date(2010, 7, 2)),
        (datetime(2010, 1, 1, 21, 30, tzinfo=UTC), date(2010, 1, 1)),  # UTC+2
    ],
)
def test_a_local_day_is_the_instants_day_in_minsk(instant: datetime, day: date) -> None:
    at_ms = round(instant.timestamp() * 1000)
    assert BY.local_day(at_ms) == (day - date(1970, 1, 1)).days
    assert BY.local_date(instant) == day
    assert BY.midnight(day) <= instant.timestamp() < BY.midnight(date.fromordinal(day.toordinal() + 1))


def test_figures_become_final_at_midnight_after_window_and_late_days() -> None:
    final = datetime.fromtimestamp(BY.final_at("F06", "2018-03"), UTC)
    assert final == datetime(2018, 5, 15, 21, 0, tzinfo=UTC)  # 31 March + 45 days is 15 May; it ends at 21:00 UTC
    assert BY.due_on("F11", "2018-Q1") == date(2018, 4, 30)


@pytest.mark.parametrize(
    ("change", "key", "rule"),
    [
        (lambda raw: raw.update(colour="red"), "colour", "not known"),
        (lambda raw: raw["tables"]["F06"].update(due_dayz=3), "tables.F06.due_dayz", "not known"),
        (lambda raw: raw["agencies"]["gpk"].update(nick="x"), "agencies.gpk.nick", "not known"),
        (lambda raw: raw["agencies"]["gpk"].pop("id"), "agencies.gpk.id", "missing: add it"),
        (lambda raw: raw.pop("timezone"), "timezone", "missing: add it"),
        (lambda raw: raw.pop("tables"), "tables", "mapping"),
        (lambda raw: raw.update(agencies=["gpk"]), "agencies", "mapping"),
        (lambda raw: raw.update(timezone="Europe/Minks"), "timezone", "IANA"),
        (lambda raw: raw.update(country_alpha3="BEL"), "country_alpha3", "alpha-3 code of `country`"),
        (lambda raw: raw.update(languages=["ru", "fr"]), "languages.1", "'be' or 'en'"),
        (lambda raw: raw.update(languages=[]), "languages", "at least 1"),
        (lambda raw: raw["tables"]["F06"].update(due_days="20"), "tables.F06.due_days", "valid integer"),
        (lambda raw: raw["tables"]["F06"].update(late_days=-1), "tables.F06.late_days", "greater than or equal"),
        (lambda raw: raw["tables"]["F06"]["title"].pop("be"), "tables.F06.title", "be is missing"),
        (lambda raw: raw["agencies"]["mfa"]["names"].pop("en"), "agencies.mfa.names", "en is missing"),
        (lambda raw: raw["tables"]["F06"].update(universe={"result": ["PAST"]}), "universe.result", "list RESULT"),
        (lambda raw: raw["tables"]["F06"].update(universe={"color": ["A"]}), "tables.F06.universe", "core field"),
        (lambda raw: raw["agencies"]["mvd"].update(id=1), "agencies.mvd.id", "number of its own"),
        (lambda raw: raw["agencies"]["mfa"].update(families=["border.crosing"]), "agencies.mfa.families", "is one of"),
        (lambda raw: raw["precedence"]["border.crossing"].remove("mfa"), "precedence", "mfa must stand"),
        (lambda raw: raw["precedence"]["border.crossing"].append("labour"), "precedence", "labour must stand"),
        (lambda raw: raw["precedence"]["border.crossing"].append("fbi"), "precedence", "fbi is no agency"),
        (lambda raw: raw["precedence"].update({"permit.decision": "mvd"}), "precedence", "list of agency codes"),
        (lambda raw: raw.update(codelists="lists"), "codelists", "list of directories"),
        (lambda raw: raw["agencies"].update({"G-1": raw["agencies"]["gpk"]}), "agencies.G-1.code", "match pattern"),
    ],
)
def test_every_slip_is_told_with_its_key(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], key: str, rule: str
) -> None:
    with pytest.raises(Misconfigured) as told:
        conventions.load(written(tmp_path / "X.yaml", change))
    assert f"{key}`" in told.value.detail
    assert rule in told.value.detail


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a: [", "convention-yaml"),
        ("- a", "convention-yaml"),
        ("", "convention-yaml"),
        ("a: 1\na: 2", "convention-double"),
    ],
)
def test_what_is_no_mapping_is_told(tmp_path: Path, text: str, code: str) -> None:
    path = tmp_path / "X.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(Misconfigured) as told:
        conventions.load(path)
    assert told.value.code == code


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"none\.yaml cannot be read"):
        conventions.load(tmp_path / "none.yaml")


def test_a_conventions_own_code_lists_lie_beside_it(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    path = written(tmp_path / "X.yaml", lambda raw: raw.update(codelists=["lists"]))
    assert conventions.load(path).codelist_directories == (tmp_path / "lists",)
    (tmp_path / "lists").rmdir()
    with pytest.raises(Misconfigured, match="no directory 'lists'"):
        conventions.load(path)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda raw: raw["tables"]["F06"]["title"].update(en="Crossings"), True),
        (lambda raw: raw["tables"]["F06"].update(due_days=16), True),
        (lambda raw: raw["tables"]["F06"].update(universe={"result": ["PASSED", "RETURNED"]}), False),
        (lambda raw: raw["tables"]["F06"].update(late_days=44), False),
        (lambda raw: raw.update(timezone="Europe/Warsaw"), False),
        (lambda raw: raw["precedence"]["border.crossing"].reverse(), False),
    ],
)
def test_only_what_counts_changes_the_digest(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], same: bool
) -> None:
    changed = conventions.load(written(tmp_path / "X.yaml", change))
    assert (changed.counting_digest() == BY.counting_digest()) is same


def test_code_lists_change_the_digest(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    head = "code,label_ru,label_be,label_en,valid_from,valid_to,source,source_confirmed"
    (tmp_path / "lists" / "LOC.csv").write_text(f"{head}\nU,a,b,c,,,t,true\n", encoding="utf-8")
    path = written(tmp_path / "X.yaml", lambda raw: raw.update(codelists=["lists"]))
    assert conventions.load(path).counting_digest() != BY.counting_digest()
