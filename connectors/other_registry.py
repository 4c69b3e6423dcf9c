"""Another registry: the contracts in one that agencies use instead of ours, such as Apicurio, and their ids there.

Any registry with Confluent's HTTP API will do. It gives ids of its own, so the Kafka door reads by those, and by those
alone: one number must not mean two contracts.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import httpx

from connectors.registry import LEVEL
from connectors.subjects import Subjects
from schemas.contracts import CONTRACTS, Family
from schemas.conventions import Convention
from schemas.errors import Misconfigured, Unavailable

_LEVEL = LEVEL["compatibilityLevel"]


async def publish(registry: httpx.AsyncClient, convention: Convention) -> dict[int, Family]:
    """Register all contracts of a convention's agencies, and return them by their ids there.

    What is there already stays and has the same id. Only later versions by others are bound to follow ours: the
    registry is told FULL_TRANSITIVE. Raises Unavailable when it is away, Misconfigured when it takes no contracts.
    """
    if (await _asked(registry, "GET", "/config")).get("compatibilityLevel") != _LEVEL:
        await _asked(registry, "PUT", "/config", {"compatibility": _LEVEL})
    ours = Subjects(convention)
    found: dict[int, Family] = {}
    for subject in ours.names():
        for entry in ours.versions(subject):
            path = f"/subjects/{quote(subject, safe='')}/versions"
            answer = await _asked(registry, "POST", path, {"schemaType": "AVRO", "schema": entry.text})
            found[int(answer["id"])] = CONTRACTS[entry.schema_id]
    return found


async def _asked(registry: httpx.AsyncClient, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    try:
        answer = await registry.request(method, path, json=body)
    except httpx.TransportError as error:
        detail = f"The registry at {registry.base_url} does not answer: {type(error).__name__}."
        raise Unavailable("registry-away", detail) from error
    try:
        content = answer.json()
    except json.JSONDecodeError:
        content = None
    if answer.status_code >= 500:
        raise Unavailable("registry-away", f"The registry at {registry.base_url} answers {answer.status_code}.")
    if answer.status_code != 200 or not isinstance(content, dict):
        detail = f"The registry answers {answer.status_code} to {method} {path}: it must take the contracts"
        raise Misconfigured("registry-refuses", f"{detail}; check MIGEX_REGISTRY__URL and who may write there.")
    return content
