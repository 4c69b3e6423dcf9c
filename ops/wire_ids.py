"""Which schema ids stand in messages: those of our registry, or those of the one that agencies use instead."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from connectors.other_registry import publish
from ops.settings import Settings
from schemas.contracts import CONTRACTS, Family
from schemas.conventions import Convention


async def wire_ids(settings: Settings, convention: Convention) -> Mapping[int, Family]:
    """Return every contract by the id that messages name it by.

    With `MIGEX_REGISTRY__URL` the contracts are put into that registry first; raises Unavailable and Misconfigured as
    `connectors.other_registry.publish` does.
    """
    if not settings.registry.url:
        return CONTRACTS
    async with httpx.AsyncClient(base_url=settings.registry.url, timeout=30) as registry:
        return await publish(registry, convention)
