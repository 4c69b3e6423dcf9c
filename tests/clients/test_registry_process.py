"""The registry as a process of its own: it answers, and ends cleanly when told."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import httpx

from ops.settings import with_free_ports

PROGRAM = """
import sys
from pathlib import Path
from ops.processes.registry import run
from ops.settings import Registry, Settings
run(Settings(home=Path(sys.argv[1]), registry=Registry(port=int(sys.argv[2]))))
"""


def answer(url: str, within_secs: float) -> httpx.Response:
    """Return the first answer; raises httpx.TransportError when none comes in time."""
    until = time.monotonic() + within_secs
    while True:
        try:
            return httpx.get(url)
        except httpx.TransportError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def test_it_answers_and_ends_with_status_0_on_sigterm(tmp_path: Path) -> None:
    settings = with_free_ports(tmp_path)
    host, port = settings.address("registry")
    running = subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path), str(port)])
    try:
        assert answer(f"http://{host}:{port}/health", 30).json() == {"status": "up"}
        assert "process_cpu_seconds_total" in httpx.get(f"http://{host}:{port}/metrics").text
    finally:
        running.terminate()
    assert running.wait(20) == 0
