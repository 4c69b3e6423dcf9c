"""How a process of ours serves HTTP until it is told to stop."""

from __future__ import annotations

import signal
from typing import Any

import uvicorn
from fastapi import FastAPI

from ops.processes.http_connection import Connection


def serve(app: FastAPI, host: str, port: int, **options: Any) -> None:
    """Serve until SIGTERM or SIGINT, then end what is under way and return; `options` are uvicorn's.

    uvicorn raises the signal once more when it is done, which would end the process with status 143 instead of 0; so
    the signals are left to do nothing when that happens.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    uvicorn.run(app, host=host, port=port, log_config=None, access_log=False, http=Connection, **options)
