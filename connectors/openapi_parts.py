"""OpenAPI parts: what the gateway's document says again and again: who may ask, in which language, and how it fails."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.problems import MEDIA_TYPE

SECURITY: list[dict[str, list[str]]] = [{"ApiKey": []}, {"Certificate": []}]
"""An agency names itself by a key or by a certificate."""

LANGUAGE: dict[str, Any] = {
    "name": "Accept-Language",
    "in": "header",
    "description": "The language of texts for people: en (default), ru or be.",
    "schema": {"type": "string"},
}
_AGAIN = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}}


def whole(text: str, /, **properties: Any) -> dict[str, Any]:
    """Return the schema of an object of which every property is always there."""
    return {"type": "object", "description": text, "required": list(properties), "properties": properties}


def ref(name: str) -> dict[str, Any]:
    """Return a reference to one of the document's schemas."""
    return {"$ref": f"#/components/schemas/{name}"}


def failures(texts: Mapping[int, str]) -> dict[int | str, dict[str, Any]]:
    """Return what is said of failures by their status: a problem each, with Retry-After where to ask again helps."""
    problem = {MEDIA_TYPE: {"schema": ref("Problem")}}
    return {
        status: {"description": text, "content": problem, **({"headers": _AGAIN} if status in {429, 503} else {})}
        for status, text in texts.items()
    }
