"""The error catalogue: every code that can be answered stands in it, in three languages, and nothing else does."""

from __future__ import annotations

import ast
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import connectors
from connectors import problems, reasons
from connectors.error_catalogue import catalogue, meaning, remedy
from connectors.reasons import code_of, of_shape, reason
from connectors.texts import Text, said, sentences, translated
from schemas.codelists import CodeList
from schemas.contract_rules import KINDS
from schemas.contract_words import contract_words
from schemas.contracts import CONTRACTS
from schemas.errors import Listed, Reason, Refused
from schemas.words import LANGUAGES
from tests.connectors.doors import ADMISSION, LISTS
from tests.connectors.events import NOW, event

ROOM = Path(connectors.__file__).parent
MAKERS = {"reason", "problem", "of", "refusal"}


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(ROOM.rglob("*.py")):
        yield path.relative_to(ROOM).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def literals(*texts: ast.Module) -> set[str]:
    nodes = (node for text in texts for node in ast.walk(text))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def calls(name: str) -> Iterator[tuple[str, ast.Call, dict[str, set[str]]]]:
    """Yield module, call and the texts that names stand for there."""
    for module, tree in modules():
        named: dict[str, set[str]] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    several = isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple)
                    pairs = zip(target.elts, node.value.elts, strict=True) if several else [(target, node.value)]  # type: ignore[attr-defined]
                    for one, value in pairs:
                        if isinstance(one, ast.Name):
                            named.setdefault(one.id, set()).update(texts(value, {}))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == name:
                yield module, node, named


def texts(node: ast.expr, named: dict[str, set[str]]) -> set[str]:
    """Return what an argument may say; an f-string is `{f}`, which no file of texts has."""
    if isinstance(node, ast.Constant):
        return {str(node.value)}
    if isinstance(node, ast.Name):
        return named.get(node.id, set())
    if isinstance(node, ast.IfExp):
        return texts(node.body, named) | texts(node.orelse, named)
    return {"{f}"} if isinstance(node, ast.JoinedStr) else set()


def test_every_code_has_a_meaning_and_a_remedy_in_every_language() -> None:
    for code in catalogue():
        for lang in LANGUAGES:
            assert meaning(code, lang).strip(), (code, lang)
            assert remedy(code, lang).strip(), (code, lang)
        assert len({meaning(code, lang) for lang in LANGUAGES}) == len(LANGUAGES), code


def test_every_code_that_is_answered_stands_in_the_catalogue() -> None:
    answered = {
        code for name in MAKERS for _, call, named in calls(name) if call.args for code in texts(call.args[0], named)
    }
    coded = {code for code in answered if " " not in code and "-" in code and code.islower() and "{" not in code}
    of_the_feed = {"table-unknown"}  # the feed has its own
    assert {code for code in coded if code not in catalogue()} - of_the_feed == set()
    assert {code for code in problems.STATUS if code not in catalogue()} == set()
    known = {code_of(kind) for kind in [*reasons._OF_PYDANTIC, *reasons._WRONG_TYPE, "new to us"]}
    assert {code for code in known if code not in catalogue()} == set()


def test_nothing_stands_in_the_catalogue_that_is_never_answered() -> None:
    said_somewhere = literals(*(tree for _, tree in modules())) | {kind.code for kind in KINDS.values()}
    assert {code for code in catalogue() if code not in said_somewhere} == set()


def test_every_sentence_has_its_translations() -> None:
    missing = {
        (module, call.lineno, text)
        for module, call, named in calls("reason")
        for argument in call.args[2:4]
        for text in texts(argument, named)
        if text and text not in sentences() and text not in {remedy(code) for code in catalogue()}
    }
    assert missing == set(), "a rule and a remedy are sentences of connectors/rules.csv, values are filled into them"


def test_no_sentence_is_left_over_or_half_translated() -> None:
    said_somewhere = literals(*(tree for _, tree in modules())) | {kind.code for kind in KINDS.values()}
    assert {text for text in sentences() if text not in said_somewhere} == set()
    for text in sentences():
        gaps = {
            lang: sorted(name for _, name, _, _ in string.Formatter().parse(sentences()(text, lang)) if name)
            for lang in LANGUAGES
        }
        assert len({tuple(each) for each in gaps.values()}) == 1, text
        assert all(sentences()(text, lang).strip() for lang in LANGUAGES), text


def test_what_a_reason_says_is_said_in_every_language() -> None:
    one = reason("too-large", "(event)", "An event has at most {n} bytes.", n=17)
    assert one.rule == "An event has at most 17 bytes."
    assert translated(one, "en") is one
    assert translated(one, "ru").rule == "Событие занимает не более 17 байт."
    assert translated(one, "be").remedy == remedy("too-large", "be")
    assert said("Not ours.", "ru") == "Not ours."


@pytest.mark.parametrize("lang", ["ru", "be"])
def test_what_contracts_say_is_said_too(lang: str) -> None:
    for family in CONTRACTS.values():
        for field in family.fields:
            for code in (
                "missing-field",
                "wrong-type",
                "too-long",
                "too-short",
                "out-of-range",
                "bad-format",
                "not-in-codelist",
            ):
                rule = of_shape(family, code, field.path).rule
                assert isinstance(rule, Text)
                untranslated = [
                    text for text, _ in rule.parts if text not in sentences() and text not in contract_words()
                ]
                assert untranslated == [], (family.name, field.path)
                assert said(rule, lang) != rule


def refused(**changes: Any) -> Reason:
    with pytest.raises(Refused) as error:
        ADMISSION.admit("gpk", "border.crossing", event(**changes), bytes(8), NOW)
    (one,) = error.value.reasons
    return one


def test_a_code_list_that_refuses_is_named_with_its_edition_and_day() -> None:
    one = refused(event__mode="ROCKET")
    assert one.rule == "A code of the list MODE: AIR, FOOT, OTHER, RAIL, RIVER, ROAD."
    assert one.listed == Listed("MODE", LISTS["MODE"].version, "2018-03-01")
    long = refused(person__citizenship=["ZZZ"])
    assert long.rule == "A code of the list COUNTRY."
    assert "such as UZB" in long.remedy
    assert "/v1/contracts/border.crossing/1?format=codes&at=2018-03-01" in long.remedy
    assert long.listed is not None
    assert len(long.listed.version) == 12
    assert long.listed.version != one.listed.version


def test_another_validity_makes_another_edition() -> None:
    rows = list(LISTS["MODE"].rows)
    assert CodeList("MODE", rows).version == CodeList("MODE", reversed(rows)).version == LISTS["MODE"].version
    assert CodeList("MODE", rows[1:]).version != LISTS["MODE"].version
    assert CodeList("MODE", [{**rows[0], "valid_to": "2030-01-01"}, *rows[1:]]).version != LISTS["MODE"].version
    assert CodeList("MODE", [{**rows[0], "label_ru": "!"}, *rows[1:]]).version == LISTS["MODE"].version
