"""The schema registry's process."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector

from connectors.registry import create_app
from connectors.sandbox import Sandbox
from ops.processes.serving import serve
from ops.settings import Settings
from schemas.conventions import load


def run(settings: Settings) -> None:
    """Answer Confluent clients until SIGTERM."""
    metrics = CollectorRegistry()
    ProcessCollector(registry=metrics)
    PlatformCollector(registry=metrics)
    sandbox = Sandbox(settings.home / "registry.db") if settings.registry.sandbox else None
    serve(create_app(load(settings.convention), metrics, sandbox), *settings.address("registry"))
