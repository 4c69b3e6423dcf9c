"""May one version of a contract follow another? FULL compatibility, and what Avro's own rules do not see.

`avro` calls compatible what silently corrupts values: a decimal's scale 2 -> 3, timestamp-millis -> micros, date ->
int. And our cores are read by position, personal marks decide what is stored: so both may only grow.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import avro.schema
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType

Avsc = Mapping[str, Any]

_LOGICAL = ("logicalType", "precision", "scale")


def problems(older: Avsc, newer: Avsc) -> list[str]:
    """Return, in words, why `newer` may not follow `older`; an empty list: it may.

    Both ways: what was written under one is read under the other (FULL). Raises avro.errors.AvroException for text
    that is no Avro schema.
    """
    return [
        *_unreadable(reader=newer, writer=older, who="The new version cannot read what the old one wrote"),
        *_unreadable(reader=older, writer=newer, who="The old version cannot read what the new one writes"),
        *logical_differences(older, newer),
        *_core_differences(older, newer),
        *_mark_differences(older, newer),
    ]


def logical_differences(older: Avsc, newer: Avsc) -> list[str]:
    """Return, in words, where a field that both versions have differs in logical type, precision or scale."""
    before, after = dict(_logical_types(older, "")), dict(_logical_types(newer, ""))
    return [
        f"{path}: logical type, precision or scale differ ({_words(before[path])} -> {_words(after[path])})."
        for path in before
        if path in after and before[path] != after[path]
    ]


def _unreadable(*, reader: Avsc, writer: Avsc, who: str) -> Iterator[str]:
    parsed = [avro.schema.parse(json.dumps(schema)) for schema in (reader, writer)]
    found = ReaderWriterCompatibilityChecker().get_compatibility(*parsed)
    if found.compatibility is SchemaCompatibilityType.compatible:
        return
    places = ", ".join(sorted(found.locations))
    yield f"{who}: {'; '.join(sorted(found.messages))} (at {places})."


def _logical_types(kind: Any, path: str) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield path and logical type of every value in a schema; null branches are left out."""
    if isinstance(kind, list):
        for branch in kind:
            if branch != "null":
                yield from _logical_types(branch, path)
    elif isinstance(kind, Mapping):
        name = kind["type"]
        if name == "record":
            for field in kind["fields"]:
                yield from _logical_types(field["type"], f"{path}.{field['name']}".lstrip("."))
        elif isinstance(name, Mapping | list):
            yield from _logical_types(name, path)
        elif name in ("array", "map"):
            yield from _logical_types(kind["items" if name == "array" else "values"], f"{path}[]")
        else:
            yield path, tuple(kind.get(word) for word in _LOGICAL)
    else:
        yield path, (None,) * len(_LOGICAL)


def _words(logical: tuple[Any, ...]) -> str:
    return " ".join(str(word) for word in logical if word is not None) or "none"


def _marked(avsc: Avsc, mark: str) -> dict[str, Any]:
    """Return path -> value of an attribute, in schema order."""
    return dict(_marks(avsc, mark, ""))


def _marks(kind: Any, mark: str, prefix: str) -> Iterator[tuple[str, Any]]:
    for branch in kind if isinstance(kind, list) else [kind]:
        if isinstance(branch, Mapping) and branch["type"] == "record":
            for field in branch["fields"]:
                path = f"{prefix}{field['name']}"
                if mark in field:
                    yield path, field[mark]
                yield from _marks(field["type"], mark, f"{path}.")


def _core_differences(older: Avsc, newer: Avsc) -> Iterator[str]:
    before, after = list(_marked(older, "core")), list(_marked(newer, "core"))
    if after[: len(before)] != before:
        yield "Core fields are read by position: keep the old ones in their order, and put new ones behind them."


def _mark_differences(older: Avsc, newer: Avsc) -> Iterator[str]:
    after = _marked(newer, "personal")
    kept = dict(_logical_types(newer, ""))
    for path, mark in _marked(older, "personal").items():
        if path in kept and after.get(path) != mark:
            yield f"{path}: a personal field keeps its mark ({mark})."
