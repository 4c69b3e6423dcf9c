"""What the feed's OpenAPI document says of parameters and answers."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from connectors import feed_problems
from connectors.formats.words import LANGUAGES
from connectors.table_query import CHANGE_FORMATS, FORMATS, MAX_CHANGES

From = Annotated[str | None, Query(alias="from", description="First period, such as 2018-01, 2018-Q1 or 2018.")]
To = Annotated[str | None, Query(description="Last period, of any frequency.")]
At = Annotated[
    str | None, Query(description="As of the newest complete cut up to this instant, such as 2018-03-01T00:00:00Z.")
]
Of = Annotated[
    int | None, Query(ge=1, description="Figures of this generation, to look at it before it is switched to.")
]
Detail = Annotated[bool, Query(description="Keep internal dimensions, such as the checkpoint of F06.")]
Totals = Annotated[bool, Query(description="Add rows for all areas together, the CIS and the EAEU.")]
After = Annotated[str | None, Query(description="Go on behind this place: the header Migex-Next of the page before.")]
Limit = Annotated[int, Query(ge=1, le=MAX_CHANGES, description="Changes of one answer at most.")]
Format = Annotated[str | None, Query(description=f"One of {', '.join(FORMATS)}; else what Accept asks for, else text.")]
Lang = Annotated[
    str | None, Query(description=f"Language of text: {', '.join(LANGUAGES)}; else the convention's first.")
]
Width = Annotated[int, Query(ge=20, le=10_000, description="Columns of a line of text.")]
Newest = Annotated[int, Query(ge=1, le=10_000, description="How many cuts.")]

_TEXT = {"schema": {"type": "string"}}
_REASON = {
    "type": "object",
    "required": ["code", "field", "rule", "remedy"],
    "properties": {name: {"type": "string"} for name in ("code", "field", "rule", "remedy")},
}
_PROBLEM = {
    "type": "object",
    "description": "RFC 9457.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "pattern": "^urn:migex:problem:"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {"type": "array", "items": _REASON},
    },
}


def _kinds(*media_types: str) -> dict[str, Any]:
    return {"content": {kind: {"schema": {}} if "json" in kind else _TEXT for kind in media_types}}


def _problem(description: str) -> dict[str, Any]:
    return {"description": description, "content": {feed_problems.MEDIA_TYPE: {"schema": _PROBLEM}}}


Answers = dict[int | str, dict[str, Any]]
"""HTTP status -> what the document says of it."""

_ALWAYS: Answers = {503: _problem("The store is away; Retry-After says when to ask again.")}
_ASKED: Answers = {
    **_ALWAYS,
    404: _problem("There is no such table or generation, or no complete cut at that instant; `errors` says which."),
    422: _problem("A parameter has the wrong form; `errors` names it, its rule and the remedy."),
}

PAGE: Answers = {200: {"description": "The page.", **_kinds("text/html")}, **_ALWAYS}
METRICS: Answers = {200: {"description": "For Prometheus.", **_kinds(CONTENT_TYPE_LATEST)}}
JSON: Answers = {200: {"description": "The answer.", **_kinds("application/json")}, **_ALWAYS}
ASKED_JSON: Answers = {**JSON, **_ASKED}
TABLE: Answers = {
    **_ASKED,
    200: {"description": "The table.", **_kinds(*FORMATS.values())},
    304: {"description": "The reader has this answer already (If-None-Match)."},
}
CHANGES: Answers = {
    **_ASKED,
    200: {"description": "The changes.", **_kinds(*(FORMATS[name] for name in CHANGE_FORMATS))},
    304: {"description": "The reader has this answer already (If-None-Match)."},
}
