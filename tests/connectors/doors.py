"""A gateway with an inbox in memory, for the tests of the doors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

import httpx
from prometheus_client import CollectorRegistry

from connectors.callers import Callers
from connectors.contract_pages import ContractPages
from connectors.fate_routes import FateRoutes
from connectors.fates import Fates
from connectors.gateway import Edges, Limits, create_app
from connectors.inbox import MemoryInbox
from connectors.preflight_routes import PreflightRoutes
from connectors.quotas import Quota, Quotas
from schemas import conventions
from schemas.codelists import CodeLists
from streams.dataflows.definition import Rules
from streams.telemetry import DoorTelemetry
from tests.connectors.events import NOW, admission
from tests.connectors.folded import Folded

CONVENTION = conventions.load()
KEYS: Mapping[str, str] = {agency: f"key of {agency}" for agency in CONVENTION.agencies}
LIMITS = Limits(body_bytes=300_000, event_bytes=20_000, events=200, body_secs=0.5)
NDJSON = {"Content-Type": "application/x-ndjson"}
ADMISSION = admission()
LISTS = CodeLists.load(*CONVENTION.codelist_directories)


class Door:
    """A gateway with an inbox in memory, and a client of the border service."""

    def __init__(self, limits: Limits = LIMITS, **edges: Any) -> None:
        self.inbox = MemoryInbox()
        self.folded = Folded(self.inbox)
        self.metrics = CollectorRegistry()
        self.keys = {sha256(key.encode()).hexdigest(): agency for agency, key in KEYS.items()}
        callers, quotas = Callers(lambda: self.keys), edges.get("quotas", Quotas(Quota()))
        fates = Fates(self.folded, Rules(CONVENTION, LISTS), ADMISSION.receipts)
        known: dict[str, Any] = {
            "admission": ADMISSION,
            "inbox": self.inbox,
            "callers": callers,
            "quotas": quotas,
            "telemetry": DoorTelemetry(self.metrics, "http", KEYS),
            "pages": [
                ContractPages(CONVENTION, LISTS, lambda: NOW / 1000).router,
                FateRoutes(fates, edges.get("callers", callers), quotas).router,
                PreflightRoutes(ADMISSION, self.folded, (callers, quotas), lambda: NOW / 1000).router,
            ],
            "limits": limits,
            "now": lambda: NOW / 1000,
        }
        self.app = create_app(Edges(**known | edges))
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://gateway")

    async def post(
        self, content: Any, family: str = "border.crossing", agency: str = "gpk", **headers: str
    ) -> httpx.Response:
        sent = {"X-API-Key": KEYS[agency], "Content-Type": "application/json"} | headers
        return await self.client.post(f"/v1/events/{family}", content=content, headers=sent)

    async def ask(self, path: str, agency: str = "gpk", **headers: str) -> httpx.Response:
        return await self.client.get(path, headers={"X-API-Key": KEYS[agency]} | headers)

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def opened(door: Door) -> AsyncIterator[Door]:
    """Give the door while its client is open."""
    async with door.client:
        yield door


def codes(answer: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return code and field of every reason in an answer."""
    return [(each["code"], each["field"]) for each in answer["errors"]]
