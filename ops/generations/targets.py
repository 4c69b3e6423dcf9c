"""Targets: where Prometheus finds the workers that run here for each generation, as a file that it watches."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ops.crews import Program, agent_of
from ops.pids import write_whole


def targets(programs: Mapping[str, Program], current: int | None) -> list[dict[str, Any]]:
    """Return the workers as Prometheus' file discovery reads them; `current` is the generation that readers see.

    Alerts about figures look at its crew alone: a generation that is being built is late, and its books are not full.
    """
    return [
        {
            "targets": [f"{program.settings.address(agent_of(name))[0]}:{program.noted['port']}"],
            "labels": {
                "process": agent_of(name),
                "generation": str(program.noted["generation"]),
                "crew": "current" if program.noted["generation"] == current else "beside",
            },
        }
        for name, program in programs.items()
    ]


def write(file: Path, found: list[dict[str, Any]]) -> None:
    """Write the file, if anything changed, so that Prometheus reads the old one or the new one, never half of it.

    Raises OSError.
    """
    content = json.dumps(found, indent=1).encode() + b"\n"
    if not file.exists() or file.read_bytes() != content:
        write_whole(file, content)
