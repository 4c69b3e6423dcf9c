"""Reading contracts: what a wrong file is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from schemas import contracts
from schemas.contracts import CONTRACTS, FAMILIES
from schemas.errors import Broken, Misconfigured


def tiny(**field: Any) -> dict[str, Any]:
    """Return a small contract whose event has one field."""
    events = {"type": "record", "name": "E", "fields": [{"name": "x", **field}]}
    rules = {"natural_key": [], "tolerance_minutes": 0, "doc_key": False, "example": {}, "subject": ["x"]}
    fields = [{"name": "event", "type": ["null", events], "default": None}]
    return {"type": "record", "name": "T", "namespace": "test", "migex": rules, "fields": fields}


def released(directory: Path, avsc: dict[str, Any], fingerprint: str) -> Path:
    """Write a contract and its ids."""
    (directory / "test.thing").mkdir()
    (directory / "test.thing" / "v1.avsc").write_text(json.dumps(avsc), encoding="utf-8")
    row = f"7,7,test.thing,1,{fingerprint}"
    (directory / "ids.csv").write_text(f"schema_id,family_id,family,version,fingerprint\n{row}\n", encoding="utf-8")
    return directory


def test_ids_lead_to_contracts() -> None:
    assert contracts.family(1) is FAMILIES["border.crossing"]
    assert contracts.contract(2) is CONTRACTS[2] is FAMILIES["permit.decision"]


def test_an_unknown_id_is_our_fault() -> None:
    with pytest.raises(Broken, match="has the id 99"):
        contracts.family(99)
    with pytest.raises(Broken, match="has the id 99"):
        contracts.contract(99)


def test_a_field_carries_what_its_contract_states(tmp_path: Path) -> None:
    avsc = tiny(type=["null", "string"], default=None, doc="X.", codelist="MODE", core=True, max_length=3, example="A")
    [family] = contracts.load(released(tmp_path, avsc, contracts.fingerprint(avsc)))
    [field] = family.fields
    assert (field.path, field.name, field.type, field.nullable) == ("event.x", "x", "string", True)
    assert (field.codelist, field.core, field.max_length, field.doc) == ("MODE", True, 3, "X.")
    assert family.core_fields == ("x",)


def test_a_released_contract_that_was_changed_stops_the_start(tmp_path: Path) -> None:
    avsc = tiny(type="string")
    directory = released(tmp_path, tiny(type="int"), contracts.fingerprint(avsc))
    with pytest.raises(Misconfigured, match="write a new version"):
        contracts.load(directory)


def test_words_do_not_change_a_fingerprint() -> None:
    assert contracts.fingerprint(tiny(type="string", doc="Other words.")) == contracts.fingerprint(tiny(type="string"))


@pytest.mark.parametrize("kind", [["null", "string", "int"], ["string", "int"], ["string"]])
def test_other_unions_than_null_and_one_are_refused(tmp_path: Path, kind: list[str]) -> None:
    avsc = tiny(type=kind)
    with pytest.raises(Misconfigured, match="no unions but"):
        contracts.load(released(tmp_path, avsc, contracts.fingerprint(avsc)))


def test_a_misspelt_attribute_of_a_field_is_told(tmp_path: Path) -> None:
    avsc = tiny(type="string", max_lenght=3)
    with pytest.raises(Misconfigured, match=r"event\.x.*max_lenght"):
        contracts.load(released(tmp_path, avsc, contracts.fingerprint(avsc)))
