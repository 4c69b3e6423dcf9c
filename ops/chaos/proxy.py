"""A proxy between the system and its brokers that can cut, hold and delay connections, on loopback."""

from __future__ import annotations

import asyncio
import contextlib
from random import Random

_CHUNK = 256 * 1024


class Proxy:
    """Passes on what comes to one port to another one, unless it is told to disturb it."""

    def __init__(self, port: int, behind: int) -> None:
        """`port` is the proxy's own, `behind` the one that it stands for."""
        self.port = port
        self._behind = behind
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = {}
        self._refusing = False
        self._delay_secs = 0.0
        self._flowing = asyncio.Event()
        self._flowing.set()

    async def __aenter__(self) -> Proxy:
        """Listen."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        """End all connections and stop listening."""
        if self._server is not None:
            self._server.close()
        tasks = list(self._open)
        self._reset(tasks)
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def connections(self) -> int:
        """How many connections pass."""
        return len(self._open)

    async def cut(self, share: float, secs: float, chance: Random) -> None:
        """Reset a share of the connections, and take no new ones for so long."""
        self._refusing = True
        try:
            self._reset([task for task in self._open if chance.random() < share])
            await asyncio.sleep(secs)
        finally:
            self._refusing = False

    async def hold(self, secs: float) -> None:
        """Pass nothing on for so long, in both directions, without anybody being told; then go on."""
        self._flowing.clear()
        try:
            await asyncio.sleep(secs)
        finally:
            self._flowing.set()

    async def delay(self, by_secs: float, secs: float) -> None:
        """Pass everything on late for so long."""
        self._delay_secs = by_secs
        try:
            await asyncio.sleep(secs)
        finally:
            self._delay_secs = 0.0

    def _reset(self, tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            for writer in self._open.get(task, ()):
                writer.transport.abort()
            task.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            writer.transport.abort()
            return
        try:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._behind)
        except OSError:
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - the loop runs every connection as a task
        self._open[task] = (writer, inner_writer)
        try:
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._pass(reader, inner_writer))
                ways.create_task(self._pass(inner_reader, writer))
        except* (OSError, asyncio.CancelledError):  # one end has gone, or `_reset` has ended it
            pass
        finally:
            del self._open[task]
            for each in (writer, inner_writer):
                each.close()

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while chunk := await source.read(_CHUNK):
            if self._delay_secs:
                await asyncio.sleep(self._delay_secs)
            await self._flowing.wait()
            sink.write(chunk)
            await sink.drain()
        with contextlib.suppress(OSError):
            sink.write_eof()
