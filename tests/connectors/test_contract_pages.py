"""The contract pages: every contract in every form and language, with the codes of a day."""

from __future__ import annotations

import copy
import csv
import json
import re
from collections.abc import AsyncIterator, Iterator
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from jsonschema_rs import Draft202012Validator, meta

from connectors.contract_pages import ContractPages
from connectors.contract_pages.routes import FORMS
from connectors.contract_pages.telling import words
from connectors.negotiation import preferred
from schemas import conventions
from schemas.codelists import CodeLists
from schemas.contract_words import contract_words
from schemas.contracts import CONTRACTS, DIRECTORY, FAMILIES, Family
from schemas.words import LANGUAGES
from tests.connectors.events import NOW

CONVENTION = conventions.load()
LISTS = CodeLists.load(*CONVENTION.codelist_directories)
each_contract = pytest.mark.parametrize("contract", CONTRACTS.values(), ids=lambda c: f"{c.name}-{c.version}")
each_language = pytest.mark.parametrize("lang", LANGUAGES)


@pytest.fixture
async def reader() -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.include_router(ContractPages(CONVENTION, LISTS, lambda: NOW / 1000).router)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway:8080") as client:
        yield client


def path(contract: Family) -> str:
    return f"/v1/contracts/{contract.name}/{contract.version}"


async def test_all_contracts_are_listed_with_their_forms(reader: httpx.AsyncClient) -> None:
    listed = (await reader.get("/v1/contracts", params={"lang": "en"})).json()
    assert [each["family"] for each in listed] == list(FAMILIES)
    for each in listed:
        family = FAMILIES[each["family"]]
        assert each["title"] == family.avsc["doc"]
        assert each["agencies"] == [a.code for a in CONVENTION.agencies.values() if family.name in a.families]
        assert list(each["links"]) == list(FORMS)
    answers = [await reader.get(link) for link in listed[0]["links"].values()]
    assert [(a.status_code, a.headers["content-type"].partition(";")[0]) for a in answers] == [
        (200, kind) for kind in FORMS.values()
    ]


@each_contract
async def test_a_contract_in_its_machine_forms(reader: httpx.AsyncClient, contract: Family) -> None:
    assert (await reader.get(path(contract))).json() == contract.avsc
    assert (await reader.get(path(contract), headers={"Accept": "application/json"})).json() == contract.avsc
    assert (await reader.get(path(contract), params={"format": "example"})).json() == contract.example
    codes = (await reader.get(path(contract), params={"format": "codes"})).json()
    assert set(codes["lists"]) == {f.codelist for f in contract.fields if f.codelist}


def broken_examples(family: Family) -> Iterator[dict[str, Any]]:
    """Yield the example with each of its values of another type, and once with a field that nobody knows."""
    for part, values in family.example.items():
        for name in values or ():
            event = copy.deepcopy(family.example)
            event[part][name] = {"nobody": "knows"}
            yield event
    yield {**family.example, "colour": "red"}


@each_contract
async def test_the_json_schema_takes_the_example_and_nothing_else(reader: httpx.AsyncClient, contract: Family) -> None:
    asked = {"format": "json-schema", "at": contract.example["header"]["occurred_at"][:10]}
    schema = (await reader.get(path(contract), params=asked)).json()
    meta.validate(schema)
    schema_takes = Draft202012Validator(schema).is_valid
    assert schema_takes(contract.example)
    assert not any(map(schema_takes, broken_examples(contract)))
    assert "customTypePath" not in json.dumps(schema)
    cancel = copy.deepcopy(contract.example)
    cancel["header"] |= {"op": "CANCEL", "occurred_at": None}
    cancel |= {part: None for part in cancel if part != "header"}
    assert schema_takes(cancel)
    cancel["header"]["op"] = "CORRECT"
    assert not schema_takes(cancel)


async def test_codes_are_those_of_the_day(reader: httpx.AsyncClient) -> None:
    permit = path(FAMILIES["permit.decision"])

    async def codes(at: str) -> list[str]:
        answer = (await reader.get(permit, params={"format": "codes", "at": at})).json()
        schema = (await reader.get(permit, params={"format": "json-schema", "at": at})).json()
        found = [row["code"] for row in answer["lists"]["PERM"]]
        assert schema["$defs"]["codes.PERM"]["enum"] == found
        return found

    assert "RECRUIT" in await codes("2023-06-30")
    assert "RECRUIT" not in await codes("2023-07-01")
    page = (await reader.get(permit, params={"format": "html", "at": "2023-07-01", "lang": "en"})).text
    assert "There are further codes at other dates: RECRUIT." in page


class Outline(HTMLParser):
    """What a page is made of, as a screen reader would find it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.levels: list[int] = []
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.lang = ""
        self.loaded: list[str] = []
        self.tables = self.captions = self.heads = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag not in ("meta", "input", "br", "link", "img"):
            self.open.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.levels.append(int(tag[1]))
        self.lang = given.get("lang", "") if tag == "html" else self.lang
        self.ids += [given["id"]] if "id" in given else []
        self.targets += [given["href"][1:]] if given.get("href", "").startswith("#") else []
        self.loaded += [f"{tag} {value}" for name, value in given.items() if name in ("src", "data", "action")]
        self.tables += tag == "table"
        self.captions += tag == "caption"
        self.heads += tag == "th" and given.get("scope") in ("col", "row")
        assert tag != "th" or given.get("scope") in ("col", "row")
        assert tag not in ("script", "link", "img", "iframe")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@each_contract
@each_language
async def test_the_page_for_people(reader: httpx.AsyncClient, contract: Family, lang: str) -> None:
    answer = await reader.get(path(contract), headers={"Accept": "text/html", "Accept-Language": f"{lang}-BY"})
    assert answer.headers["content-language"] == lang
    page, outline = answer.text, Outline(answer.text)
    assert outline.open == []
    assert outline.lang == lang
    assert outline.levels[0] == 1
    assert outline.levels.count(1) == 1
    assert all(deeper <= level + 1 for level, deeper in zip(outline.levels, outline.levels[1:], strict=False))
    assert len(outline.ids) == len(set(outline.ids))
    assert set(outline.targets) <= set(outline.ids)
    assert outline.loaded == [f"form {path(contract)}"]
    assert outline.tables == outline.captions > 0
    for field in contract.fields:
        assert f'id="{field.path}"' in page
    personal = sum(field.personal is not None for field in contract.fields)
    assert page.count('class="mark"') == personal
    assert f"curl http://gateway:8080/v1/events/{contract.name}" in page
    assert "{" not in re.sub("<style>.*?</style>|<pre.*?</pre>", "", page, flags=re.DOTALL)


async def test_a_browser_may_load_nothing(reader: httpx.AsyncClient) -> None:
    answer = await reader.get("/v1/contracts", params={"format": "html"})
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert Outline(answer.text).lang == CONVENTION.languages[0]


@pytest.mark.parametrize("host", ["gateway'; rm -rf ~; '", 'a"><b>', "x" * 300 + " y"])
async def test_a_host_that_is_none_is_not_shown(reader: httpx.AsyncClient, host: str) -> None:
    crossing = path(FAMILIES["border.crossing"])
    answer = await reader.get(crossing, params={"format": "html"}, headers={"Host": host})
    assert "curl http://gateway:8080/v1/events/border.crossing" in answer.text
    assert host not in answer.text


@pytest.mark.parametrize(
    ("where", "status", "code"),
    [
        ("/v1/contracts/nothing", 404, "unknown-family"),
        ("/v1/contracts/nothing/1", 404, "not-found"),
        ("/v1/contracts/border.crossing/99", 404, "not-found"),
        ("/v1/contracts/border.crossing/newest", 404, "not-found"),
        ("/v1/contracts/border.crossing/1?format=pdf", 422, "bad-parameter"),
        ("/v1/contracts/border.crossing/1?lang=de", 422, "bad-parameter"),
        ("/v1/contracts/border.crossing/1?at=2023-02-30", 422, "bad-parameter"),
        ("/v1/contracts/border.crossing/1?at=20230101", 422, "bad-parameter"),
        ("/v1/contracts?format=avro", 422, "bad-parameter"),
    ],
)
async def test_what_is_not_there(reader: httpx.AsyncClient, where: str, status: int, code: str) -> None:
    answer = await reader.get(where)
    assert (answer.status_code, answer.json()["type"]) == (status, f"/v1/errors/{code}")


async def test_a_family_leads_to_its_newest_contract(reader: httpx.AsyncClient) -> None:
    answer = await reader.get("/v1/contracts/border.crossing?lang=be")
    newest = path(FAMILIES["border.crossing"])
    assert (answer.status_code, answer.headers["location"]) == (307, f"{newest}?lang=be")


@pytest.mark.parametrize(
    ("header", "offers", "chosen"),
    [
        ("", ["a/b", "c/d"], "a/b"),
        ("*/*", ["a/b", "c/d"], "a/b"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", ["a/b", "text/html"], "text/html"),
        ("a/*;q=0.1, c/d;q=0.2", ["a/b", "c/d"], "c/d"),
        ("a/*, a/b;q=0", ["a/b", "a/c"], "a/c"),
        ("nothing", ["a/b"], "a/b"),
        ("a/b;q=x, c/d;q=0.001", ["a/b", "c/d"], "c/d"),
        ("be-BY,ru;q=0.7,en;q=0.3", ["ru", "be", "en"], "be"),
        ("de, en;q=0.5", ["ru", "be", "en"], "en"),
        ("," * 100_000, ["ru", "be"], "ru"),
    ],
)
def test_negotiation(header: str, offers: list[str], chosen: str) -> None:
    assert preferred(header, offers) == chosen


def sentences(contract: Family) -> Iterator[str]:
    """Yield all that a contract says to people."""
    yield contract.avsc["doc"]
    yield from (part["doc"] for part in contract.avsc["fields"])
    yield from (field.doc for field in contract.fields)
    yield from (text for rule in contract.rules for text, _ in rule.sentences)


@each_contract
def test_every_sentence_of_a_contract_is_there_in_every_language(contract: Family) -> None:
    assert [text for text in sentences(contract) if text not in contract_words()] == []


def test_every_pattern_is_told_in_words() -> None:
    patterns = {field.pattern for contract in CONTRACTS.values() for field in contract.fields if field.pattern}
    assert sorted(each for each in patterns if each not in words()) == []


@pytest.mark.parametrize(
    "file", [DIRECTORY / "words.csv", DIRECTORY.parents[1] / "connectors" / "contract_pages" / "words.csv"]
)
def test_no_text_is_missing_in_a_language(file: Any) -> None:
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row for row in rows if not all(row[lang].strip() for lang in LANGUAGES)] == []
    assert [
        row["en"] for row in rows if len(row["en"]) > 24 and row["ru"] == row["be"] and "JSON" not in row["en"]
    ] == []
    places = [{lang: sorted(re.findall(r"\{\w+\}", row[lang])) for lang in LANGUAGES} for row in rows]
    assert [each for each in places if not each["ru"] == each["be"] == each["en"]] == []
