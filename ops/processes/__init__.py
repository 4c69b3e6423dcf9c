"""What each long-running process is made of: one module a process, each with `run(settings)`, which ends at SIGTERM."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

AGENTS = ("deduplicate", "reconcile", "aggregate")
"""The processes that share a module, `worker`."""

PROCESSES: Mapping[str, str] = MappingProxyType(
    {
        "registry": "Answer Confluent clients that ask for schemas.",
        "gateway": "Be the HTTP door.",
        "kafka-door": "Be the Kafka door: read the agencies' topics, answer with verdicts.",
        "file-door": "Be the file door: take files from the agencies' folders, answer every row.",
        "clock": "Write ticks into the inbox.",
        "deduplicate": "Decide which version of each record speaks.",
        "reconcile": "Decide who is who, and what happened.",
        "aggregate": "Add up the cells of each cut.",
        "feed": "Serve the figures over HTTP.",
    }
)
"""Everything that runs beside the broker, in the order of starting, with what it is for.

A process other than an agent is the module of its name here (`kafka-door` is `kafka_door`) and a command of `migex`.
"""
