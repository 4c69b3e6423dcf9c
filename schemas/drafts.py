"""Drafts of contracts: `make contract NAME=student.enrolled` writes one to go on from.

Header and person are those of the contracts that are there, so that nobody copies them by hand. A contract that is
released stands for itself: it names nothing outside its own file, and is never written again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from schemas.contracts import DIRECTORY, FAMILIES

Avsc = dict[str, Any]


_DOCS = ("doc", "doc_ru", "doc_be")


def contract(name: str, doc: str, fields: Sequence[Avsc], migex: Mapping[str, Any]) -> Avsc:
    """Return a whole contract; one whose `migex` names a `subject` is not about persons.

    `migex["example"]` holds what differs from the usual example: parts by name.
    """
    model = next(each.avsc for each in FAMILIES.values() if not each.subject)
    title = "".join(word.capitalize() for word in name.replace("_", ".").split("."))
    shared = [part for part in model["fields"] if part["name"] in {"header", "person"}]
    if "subject" in migex:
        shared = shared[:1]
    event = {"type": "record", "name": f"{title}Event", "doc": doc, "fields": list(fields)}
    what = {**next(part for part in model["fields"] if part["name"] == "event"), "type": ["null", event]}
    given = migex.get("example", {})
    usual = {part["name"]: model["migex"]["example"][part["name"]] for part in shared}
    usual["event"] = {field["name"]: field["example"] for field in fields}
    example = {part: {**values, **given.get(part, {})} for part, values in usual.items()}
    return {
        "type": "record",
        "name": title,
        "namespace": "migex",
        "doc": doc,
        "migex": {**migex, "example": example},
        "fields": [*shared, what],
    }


def text(avsc: Avsc) -> str:
    """Return a contract as the files have it: a field's words under its other attributes, examples on few lines."""
    head = [f"  {_one(key)}: {_one(avsc[key])}" for key in ("type", "name", "namespace", *_DOCS) if key in avsc]
    rules = [_rule(key, value) for key, value in avsc["migex"].items()]
    migex = '  "migex": {\n' + ",\n".join(rules) + "\n  }"
    return "{\n" + ",\n".join([*head, migex, f'  "fields": [\n{_fields(avsc["fields"], 4)}\n  ]']) + "\n}\n"


def _rule(key: str, value: Any) -> str:
    if key == "rules" and value:
        return '    "rules": [\n' + ",\n".join(f"      {_one(each)}" for each in value) + "\n    ]"
    if key == "example":
        return (
            '    "example": {\n' + ",\n".join(f"      {_one(part)}: {_one(value[part])}" for part in value) + "\n    }"
        )
    return f"    {_one(key)}: {_one(value)}"


def _fields(fields: Sequence[Avsc], pad: int) -> str:
    return ",\n".join(_field(field, pad) for field in fields)


def _field(field: Avsc, pad: int) -> str:
    space = " " * pad
    kind = field["type"][-1] if isinstance(field["type"], list) else field["type"]
    rest = {key: value for key, value in field.items() if key not in {"doc", "type"}}
    if not (isinstance(kind, dict) and kind["type"] == "record"):
        first = ", ".join(f"{_one(key)}: {_one(field[key])}" for key in field if key not in _DOCS)
        lines = [first, *(f"{_one(key)}: {_one(field[key])}" for key in _DOCS if key in field)]
        return f"{space}{{\n{space}  " + f",\n{space}  ".join(lines) + f"\n{space}}}"
    lines = [f"{space}  {_one(key)}: {_one(value)}" for key, value in rest.items()]
    lines.insert(1, f'{space}  "doc": {_one(field["doc"])}')
    optional = isinstance(field["type"], list)
    lines.append(f'{space}  "type": {"[" + _one("null") + ", " if optional else ""}{{')
    inner = [f"{space}    {_one(key)}: {_one(kind[key])}" for key in ("type", "name", "doc")]
    inner.append(f'{space}    "fields": [\n{_fields(kind["fields"], pad + 6)}\n{space}    ]')
    head = ",\n".join(lines)
    return f"{space}{{\n{head}\n" + ",\n".join(inner) + f"\n{space}  }}{']' if optional else ''}\n{space}}}"


def _one(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def main(name: str) -> Path:
    """Write the draft of a family's next version: of a new family, with one field; else a copy of the newest."""
    newest = FAMILIES.get(name)
    path = DIRECTORY / name / f"v{1 if newest is None else newest.version + 1}.avsc"
    if path.exists() or not all(word.isidentifier() and word.islower() for word in name.split(".")):
        raise SystemExit(f"{name}: a family is named such as student.enrolled, and has no draft of its next version.")
    if newest is None:
        field = {"name": "region", "type": "string", "codelist": "REG", "core": True, "example": "BY-BR"}
        fields = [{**field, "doc": "Region of it.", "doc_ru": "Его регион.", "doc_be": "Яго рэгіён."}]
        migex = {"natural_key": ["region", "day"], "tolerance_minutes": 0, "doc_key": False, "feeds": [], "rules": []}
        avsc = contract(name, "It happened to a person.", fields, migex)
        avsc |= {"doc_ru": "Это произошло с лицом.", "doc_be": "Гэта адбылося з асобай."}
    else:
        avsc = newest.avsc
    path.parent.mkdir(exist_ok=True)
    path.write_text(text(avsc), encoding="utf-8")
    return path


if __name__ == "__main__":
    print(main(sys.argv[1]))
