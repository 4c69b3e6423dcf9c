"""May one version of a contract follow another? FULL compatibility, and what Avro's own rules do not see.

`avro` calls compatible what silently corrupts values: a decimal's scale 2 -> 3, timestamp-millis -> micros, date ->
int, string -> bytes, an enum's unknown word read as its default, a field that takes another's values by an alias. So
what two versions both know they have in common, to the letter. And our cores are read by position, personal marks
decide what is stored: so both may only grow.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import avro.schema
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType

Avsc = Mapping[str, Any]

_LOGICAL = ("logicalType", "precision", "scale")
_DEFINED = ("record", "error", "enum", "fixed")
_NONE = "(none)"


def problems(older: Avsc, newer: Avsc) -> list[str]:
    """Return, in words, why `newer` may not follow `older`; an empty list: it may.

    Both ways: what was written under one is read under the other (FULL). Raises avro.errors.AvroException for text
    that is no Avro schema. A type that contains itself is none of ours, and not looked into.
    """
    old, new = (avro.schema.parse(json.dumps(schema)) for schema in (older, newer))
    return [
        *_unreadable(new, old, "The new version cannot read what the old one wrote"),
        *_unreadable(old, new, "The old version cannot read what the new one writes"),
        *_differences(older, newer, _WORDS),
        *_core_differences(older, newer),
        *_mark_differences(older, newer),
    ]


def logical_differences(older: Avsc, newer: Avsc) -> list[str]:
    """Return, in words, where a value that both versions have differs in logical type, precision or scale."""
    return list(_differences(older, newer, {"logical": _WORDS["logical"]}))


class _Value(NamedTuple):
    """What two versions must have in common about a value that both know."""

    kind: str  # Avro type
    logical: tuple[Any, ...] = ()  # logicalType, precision, scale
    name: str = ""  # full name of a record, enum or fixed type
    words: tuple[str, ...] = ()  # of an enum, in alphabetical order
    fallback: str = _NONE  # default of an enum
    aliases: tuple[str, ...] = ()
    default: str = _NONE  # of the field, as JSON


_WORDS = {
    "kind": "the type differs ({older} -> {newer})",
    "logical": "logical type, precision or scale differ ({older} -> {newer})",
    "name": "the type's full name differs ({older} -> {newer})",
    "words": "an enum keeps its words; a code list may grow ({older} -> {newer})",
    "fallback": "an enum keeps its default ({older} -> {newer})",
    "aliases": "a name is kept, and no alias puts another's values there ({older} -> {newer})",
    "default": "a default is kept, or one event would mean two things ({older} -> {newer})",
}


def _differences(older: Avsc, newer: Avsc, looked_at: Mapping[str, str]) -> Iterator[str]:
    before, after = dict(_Reading().values(older)), dict(_Reading().values(newer))
    for path in (path for path in before if path in after):
        for aspect, text in looked_at.items():
            was, is_now = getattr(before[path], aspect), getattr(after[path], aspect)
            if was != is_now:
                yield f"{path.rstrip(':') or '(schema)'}: {text.format(older=_shown(was), newer=_shown(is_now))}."
    if "aliases" in looked_at:
        renamed = (path for path, value in after.items() if path not in before and path.endswith(":") and value.aliases)
        yield from (f"{path.rstrip(':')}: a new field has no alias; an old one keeps its name." for path in renamed)


@dataclass(slots=True)
class _Reading:
    """One walk through a schema, names resolved."""

    known: dict[str, tuple[Any, str]] = field(default_factory=dict)  # full name -> definition and its namespace
    open: list[str] = field(default_factory=list)

    def values(self, kind: Any, path: str = "", namespace: str = "") -> Iterator[tuple[str, _Value]]:
        """Yield path and aspects of every value, and of every field under its path with a colon; nulls are left out."""
        if isinstance(kind, list):
            branches = [each for each in kind if each != "null"]
            for branch in branches:
                yield from self.values(branch, f"{path}|{_branch(branch)}" if len(branches) > 1 else path, namespace)
        elif isinstance(kind, str):
            yield from self._named(kind, path, namespace)
        elif kind["type"] in _DEFINED:
            yield from self._defined(kind, path, namespace)
        elif isinstance(kind["type"], Mapping | list):
            yield from self.values(kind["type"], path, namespace)
        elif kind["type"] in ("array", "map"):
            yield path, _Value(kind["type"])
            yield from self.values(kind["items" if kind["type"] == "array" else "values"], f"{path}[]", namespace)
        else:
            yield path, _Value(kind["type"], _logical(kind))

    def _named(self, name: str, path: str, namespace: str) -> Iterator[tuple[str, _Value]]:
        found = self.known.get(_full(name, namespace)) or self.known.get(name)
        if found is None:
            yield path, _Value(name, _logical({}))
        elif found[0]["name"] not in self.open:
            yield from self._defined(found[0], path, found[1])

    def _defined(self, kind: Avsc, path: str, namespace: str) -> Iterator[tuple[str, _Value]]:
        name = _full(kind["name"], kind.get("namespace", namespace))
        self.known[name] = (kind, namespace)
        yield (
            path,
            _Value(
                "record" if kind["type"] == "error" else kind["type"],
                _logical(kind),
                name,
                tuple(sorted(kind["symbols"])) if kind["type"] == "enum" else (),
                _default(kind) if kind["type"] == "enum" else _NONE,
                _aliases(kind),
            ),
        )
        self.open.append(kind["name"])
        for each in kind.get("fields", ()):
            inner = f"{path}.{each['name']}".lstrip(".")
            yield f"{inner}:", _Value("field", aliases=_aliases(each), default=_default(each))
            yield from self.values(each["type"], inner, name.rpartition(".")[0])
        self.open.pop()


def _full(name: str, namespace: str) -> str:
    return name if "." in name or not namespace else f"{namespace}.{name}"


def _branch(branch: Any) -> str:
    return str(branch if isinstance(branch, str) else branch.get("name", branch["type"]))


def _logical(kind: Avsc) -> tuple[Any, ...]:
    return tuple(kind.get(word) for word in _LOGICAL)


def _aliases(kind: Avsc) -> tuple[str, ...]:
    return tuple(sorted(kind.get("aliases", ())))


def _default(kind: Avsc) -> str:
    return json.dumps(kind["default"], sort_keys=True) if "default" in kind else _NONE


def _shown(aspect: Any) -> str:
    if isinstance(aspect, tuple):
        return " ".join(str(word) for word in aspect if word is not None) or "none"
    return str(aspect)


def _unreadable(reader: Any, writer: Any, who: str) -> Iterator[str]:
    found = ReaderWriterCompatibilityChecker().get_compatibility(reader, writer)
    if found.compatibility is SchemaCompatibilityType.compatible:
        return
    places = ", ".join(sorted(found.locations))
    yield f"{who}: {'; '.join(sorted(found.messages))} (at {places})."


def _paths(avsc: Avsc) -> set[str]:
    return {path for path, _ in _Reading().values(avsc)}


def _marked(avsc: Avsc, mark: str) -> dict[str, Any]:
    """Return path -> value of an attribute, in schema order."""
    return dict(_marks(avsc, mark, ""))


def _marks(kind: Any, mark: str, prefix: str) -> Iterator[tuple[str, Any]]:
    for branch in kind if isinstance(kind, list) else [kind]:
        if isinstance(branch, Mapping) and branch["type"] == "record":
            for each in branch["fields"]:
                path = f"{prefix}{each['name']}"
                if mark in each:
                    yield path, each[mark]
                yield from _marks(each["type"], mark, f"{path}.")


def _core_differences(older: Avsc, newer: Avsc) -> Iterator[str]:
    before, after = list(_marked(older, "core")), list(_marked(newer, "core"))
    if after[: len(before)] != before:
        yield "Core fields are read by position: keep the old ones in their order, and put new ones behind them."


def _mark_differences(older: Avsc, newer: Avsc) -> Iterator[str]:
    after = _marked(newer, "personal")
    kept = _paths(newer)
    for path, mark in _marked(older, "personal").items():
        if path in kept and after.get(path) != mark:
            yield f"{path}: a personal field keeps its mark ({mark})."
