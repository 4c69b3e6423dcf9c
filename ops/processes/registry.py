"""The schema registry's process."""

from __future__ import annotations

import uvicorn
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector

from connectors.registry import create_app
from ops.settings import Settings
from schemas.conventions import load


def run(settings: Settings) -> None:
    """Answer Confluent clients until SIGTERM."""
    metrics = CollectorRegistry()
    ProcessCollector(registry=metrics)
    PlatformCollector(registry=metrics)
    host, port = settings.address("registry")
    uvicorn.run(create_app(load(settings.convention), metrics), host=host, port=port, log_config=None, access_log=False)
