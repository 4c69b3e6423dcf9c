"""The registry as a process of its own: it answers, and ends cleanly when told."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx

from ops.processes.http_connection import HEAD_BYTES
from ops.settings import with_free_ports

PROGRAM = """
import sys
from pathlib import Path
from ops.processes.registry import run
from ops.processes.http_connection import HEAD_BYTES
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


def endless_head(host: str, port: int) -> bytes:
    """Send more of a request's head than any client does; return what comes back, nothing when it is given up."""
    with socket.create_connection((host, port), 10) as peer:
        with suppress(ConnectionError):
            peer.sendall(b"GET /health HTTP/1.1\r\nX: " + b"x" * 2 * HEAD_BYTES)
        try:
            return peer.recv(100)
        except ConnectionResetError:
            return b""


def test_it_answers_and_ends_with_status_0_on_sigterm(tmp_path: Path) -> None:
    settings = with_free_ports(tmp_path)
    host, port = settings.address("registry")
    running = subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path), str(port)])
    try:
        assert answer(f"http://{host}:{port}/health", 30).json() == {"status": "up"}
        assert "process_cpu_seconds_total" in httpx.get(f"http://{host}:{port}/metrics").text
        assert endless_head(host, port) == b""
    finally:
        running.terminate()
    assert running.wait(20) == 0
