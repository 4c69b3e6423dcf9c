"""HTML pages of the contracts, for people: whole in one file, without scripts or anything from elsewhere."""

from __future__ import annotations

import json
import shlex
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

from connectors.contract_pages.telling import Telling, Told, words
from schemas.codelists import CodeList
from schemas.contracts import Family
from streams.topics import Topics

STYLE = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
"""The style of our pages for people."""

_STYLE_HASH = b64encode(sha256(STYLE.encode()).digest()).decode()

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
"""What forbids a browser everything but the page itself."""

_LANGUAGE_NAMES = {"ru": "Русский", "be": "Беларуская", "en": "English"}
_FORMATS = {"avro": "avro", "json-schema": "json-schema", "example": "example-event", "codes": "code-lists"}
_TABLE_CODES = 25
"""A longer code list is set in columns."""

_GENERATION = 1  # agency topics have the same names in every generation


class Link(NamedTuple):
    """Where a page is: its path, and the origin of the gateway as the reader reached it."""

    origin: str  # "http://127.0.0.1:8080"
    path: str  # "/v1/contracts"
    at: str = ""  # the day, where the reader asked for one

    def query(self, **parameters: str) -> str:
        """Return the query with which a link keeps language and day."""
        return urlencode(parameters | ({"at": self.at} if self.at else {}))


def overview(families: Iterable[Family], telling: Telling, link: Link) -> str:
    """Return the page that lists all contracts."""
    rows = "".join(_line(family, telling, link) for family in families)
    heads = _heads(telling, "family", "meaning", "version", "entitled")
    title = telling.word("title")
    body = f"""<h1>{escape(title)}</h1>
<p class="soft">{escape(telling.word("lead"))}</p>
{_table("list", title, heads, rows)}
"""
    return _page(title, body, telling, link, "")


def page(family: Family, newest: Family, telling: Telling, link: Link) -> str:
    """Return the page of one contract; `newest` is the family's newest version, which HTTP takes."""
    title = telling.doc(family.avsc["doc"])
    parts = "".join(_part(name, doc, told, telling) for name, doc, told in telling.parts(family))
    lists = "".join(_code_list(each, telling) for each in telling.lists_of(family))
    body = f"""<h1>{escape(title)}</h1>
<p class="soft"><code>{escape(family.name)}</code> · {escape(telling.word("version"))} {family.version}</p>
{_facts(family, newest, telling)}
{parts}
{_rules(family, telling)}
<h2 id="codes">{escape(telling.word("codes", date=telling.at.isoformat()))}</h2>
{lists}
{_sending(family, telling, link) if family is newest else ""}
"""
    formats = "".join(
        _anchor(f"{link.path}?{link.query(lang=telling.lang, format=form)}", telling.word(name))
        for form, name in _FORMATS.items()
    )
    return _page(f"{family.name} v{family.version}: {title}", body, telling, link, formats)


def _page(title: str, body: str, telling: Telling, link: Link, formats: str) -> str:
    path = escape(link.path)
    languages = "".join(
        f'<a href="{path}?{escape(link.query(lang=lang))}" hreflang="{lang}" lang="{lang}"{current}>{name}</a>'
        for lang, name in _LANGUAGE_NAMES.items()
        for current in [' aria-current="true"' if lang == telling.lang else ""]
    )
    overall = _anchor(f"/v1/contracts?{link.query(lang=telling.lang)}", telling.word("all"))
    shown = f'<nav aria-label="{escape(telling.word("formats"))}">{overall}{formats}</nav>' if formats else ""
    return f"""<!doctype html>
<html lang="{telling.lang}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<a class="skip" href="#content">{escape(telling.word("skip"))}</a>
<header>
<strong>migex</strong>
<nav aria-label="{escape(telling.word("language"))}">{languages}</nav>
{shown}
<form action="{path}" method="get">
<input type="hidden" name="lang" value="{telling.lang}">
<label for="at">{escape(telling.word("at"))}</label>
<input type="date" id="at" name="at" value="{telling.at.isoformat()}" required>
<button>{escape(telling.word("show"))}</button>
</form>
</header>
<main id="content">
{body}</main>
</body>
</html>
"""


def _anchor(address: str, text: str) -> str:
    return f'<a href="{escape(address)}">{escape(text)}</a>'


def _heads(telling: Telling, *names: str) -> list[str]:
    return [telling.word(name) for name in names]


def _table(kind: str, caption: str, heads: Sequence[str], rows: str) -> str:
    head = "".join(f'<th scope="col">{escape(each)}</th>' for each in heads)
    label = escape(caption)
    return (
        f'<div class="wide" role="region" aria-label="{label}" tabindex="0"><table class="{kind}"><caption>{label}'
        f"</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _line(family: Family, telling: Telling, link: Link) -> str:
    address = f"/v1/contracts/{family.name}/{family.version}?{link.query(lang=telling.lang)}"
    return (
        f'<tr><th scope="row"><a href="{escape(address)}"><code>{escape(family.name)}</code></a></th>'
        f"<td>{escape(telling.doc(family.avsc['doc']))}</td><td>{family.version}</td>"
        f"<td>{'<br>'.join(map(escape, telling.entitled(family)))}</td></tr>"
    )


def _facts(family: Family, newest: Family, telling: Telling) -> str:
    entitled = telling.entitled(family) or [telling.word("nobody")]
    topics = Topics.of(_GENERATION, telling.convention).agency_topics()
    names = [name for name, (_, each) in topics.items() if each == family.name]
    facts = [
        ("entitled", "<br>".join(map(escape, entitled))),
        ("one-happening", f"{escape(telling.one_happening(family))}<br>{escape(telling.word('newest-speaks'))}"),
        ("http", f"<code>POST /v1/events/{escape(family.name)}</code>"),
        ("topics", "<br>".join(f"<code>{escape(name)}</code>" for name in names) or "–"),
        ("schema-id", str(family.schema_id)),
        ("fingerprint", f"<code>{family.fingerprint}</code>"),
        ("feeds", ", ".join(map(escape, family.feeds)) or "–"),
    ]
    if family is not newest:
        facts.append(("version", escape(telling.word("versions-note", version=newest.version))))
    shown = "".join(f"<dt>{escape(telling.word(name))}</dt><dd>{text}</dd>" for name, text in facts)
    return f"<dl>{shown}</dl>"


def _part(name: str, doc: str, fields: Sequence[Told], telling: Telling) -> str:
    title = telling.word(name) if name in words() else name
    rows = "".join(_row(told, telling) for told in fields)
    heads = _heads(telling, "field", "meaning", "type", "rule", "example", "door")
    return f"""<h2 id="{escape(name)}">{escape(title)}: <code>{escape(name)}</code></h2>
<p class="soft">{escape(doc)}</p>
{_table("fields", title, heads, rows)}
"""


def _rules(family: Family, telling: Telling) -> str:
    rules = telling.rules(family)
    if not rules:
        return ""
    rows = "".join(
        f"<tr><td>{'<br>'.join(_to_field(path) for path in fields) or '–'}</td><td>{escape(text)}</td></tr>"
        for fields, text in rules
    )
    title = telling.word("rules")
    table = _table("list", title, _heads(telling, "field", "rule"), rows)
    return f'<h2 id="rules">{escape(title)}</h2>\n{table}'


def _to_field(path: str) -> str:
    return f'<a href="#{escape(path)}"><code>{escape(path)}</code></a>'


def _row(told: Told, telling: Telling) -> str:
    rules = [f"<strong>{escape(told.needed)}</strong>", *map(escape, told.rules)]
    codes = ", ".join(f"<code>{escape(code)}</code>" for code in told.codes)
    if told.codelist:
        named = f'<a href="#list-{escape(told.codelist)}">{escape(telling.word("code-of", list=told.codelist))}</a>'
        rules.append(f"{named}: {codes}" if codes else named)
    elif codes:
        rules.append(codes)
    door = f'<span class="mark">{escape(told.door)}</span>' if told.mark else escape(told.door)
    return (
        f'<tr id="{escape(told.path)}"><th scope="row"><code>{escape(told.name)}</code></th>'
        f"<td>{escape(told.meaning)}</td><td>{escape(told.type)}</td>"
        f"<td><ul>{''.join(f'<li>{rule}</li>' for rule in rules)}</ul></td>"
        f"<td><code>{escape(told.example)}</code></td><td>{door}</td></tr>"
    )


def _code_list(codes: CodeList, telling: Telling) -> str:
    rows = codes.rows_on(telling.at)
    held = {row["code"] for row in rows}
    others = [code for code in codes if code not in held]
    note = telling.word("others", codes=", ".join(others)) if others else ""
    shown = _columns(rows, telling) if len(rows) > _TABLE_CODES else _rows(codes.name, rows, telling)
    return f"""<h3 id="list-{escape(codes.name)}">{escape(codes.name)}</h3>
{shown}
{f'<p class="soft">{escape(note)}</p>' if note else ""}
"""


def _rows(name: str, rows: Iterable[Mapping[str, str]], telling: Telling) -> str:
    lines = "".join(
        f'<tr><th scope="row"><code>{escape(row["code"])}</code></th><td>{escape(row[f"label_{telling.lang}"])}</td>'
        f"<td>{escape(_validity(row, telling))}</td><td>{escape(_source(row, telling))}</td></tr>"
        for row in rows
    )
    return _table("list", name, _heads(telling, "code", "label", "validity", "source"), lines)


def _columns(rows: Sequence[Mapping[str, str]], telling: Telling) -> str:
    lines = []
    for row in rows:
        validity = _validity(row, telling)
        label = row[f"label_{telling.lang}"] + (f" ({validity})" if validity else "")
        lines.append(f"<li><code>{escape(row['code'])}</code> {escape(label)}</li>")
    sources = "; ".join(sorted({_source(row, telling) for row in rows}))
    note = f'<p class="soft">{escape(telling.word("source"))}: {escape(sources)}</p>'
    return f'<ul class="codes">{"".join(lines)}</ul>{note}'


def _validity(row: Mapping[str, str], telling: Telling) -> str:
    words = [telling.word(end, date=row[f"valid_{end}"]) for end in ("from", "to") if row[f"valid_{end}"]]
    return " ".join(words)


def _source(row: Mapping[str, str], telling: Telling) -> str:
    sure = "" if row["source_confirmed"] == "true" else f"; {telling.word('unconfirmed')}"
    return f"{row['source']}{sure}"


def _sending(family: Family, telling: Telling, link: Link) -> str:
    event = json.dumps(family.example, ensure_ascii=False, indent=1)
    synthetic = "" if family.subject else f" {telling.word('synthetic')}"
    address = shlex.quote(f"{link.origin}/v1/events/{family.name}")
    headers = "-H 'X-API-Key: KEY' -H 'Content-Type: application/json'"
    command = f"curl {address} {headers} --data-binary @- <<'EVENT'\n{event}\nEVENT"
    return f"""<h2 id="send">{escape(telling.word("send"))}</h2>
<p>{escape(telling.word("send-lead"))}{escape(synthetic)}</p>
<pre tabindex="0"><code>{escape(command)}</code></pre>
"""
