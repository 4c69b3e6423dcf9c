"""How a process of ours learns that it should end."""

from __future__ import annotations

import asyncio
import signal


def until_stopped() -> asyncio.Event:
    """Return an event that SIGTERM or SIGINT sets; call inside the running loop."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    return stopped
