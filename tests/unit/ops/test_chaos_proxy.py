"""The proxy passes on, and cuts, holds and delays when it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest

from ops.chaos.proxy import Proxy
from ops.ports import free_block


@asynccontextmanager
async def echo() -> AsyncIterator[Proxy]:
    """A server that sends back what it gets, behind a proxy; gives the proxy, which says its port."""

    async def back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(100):
            writer.write(chunk)
        writer.close()

    port = free_block(2)
    server = await asyncio.start_server(back, "127.0.0.1", port + 1)
    async with Proxy(port, port + 1) as proxy:
        yield proxy
    server.close()


async def connect(proxy: Proxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", proxy.port)


async def test_what_is_sent_comes_back() -> None:
    async with echo() as proxy:
        reader, writer = await connect(proxy)
        writer.write(b"there and back")
        assert await reader.readexactly(14) == b"there and back"
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()


async def ended(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read() == b""
    except ConnectionResetError:
        return True


async def test_a_cut_ends_connections_and_takes_no_new_ones_until_it_is_over() -> None:
    async with echo() as proxy:
        reader, writer = await connect(proxy)
        writer.write(b"x")
        await reader.readexactly(1)
        cut = asyncio.create_task(proxy.cut(1.0, 0.2, Random(1)))
        assert await ended(reader)
        refused, _ = await connect(proxy)
        assert await ended(refused)
        assert not cut.done()
        await cut
        reader, writer = await connect(proxy)
        writer.write(b"again")
        assert await reader.readexactly(5) == b"again"
        writer.close()


@pytest.mark.parametrize("how", ["hold", "delay"])
async def test_nothing_is_lost_by_being_late(how: str) -> None:
    async with echo() as proxy:
        reader, writer = await connect(proxy)
        late = asyncio.create_task(proxy.hold(0.2) if how == "hold" else proxy.delay(0.05, 0.05))
        await asyncio.sleep(0)
        writer.write(b"late")
        assert await reader.readexactly(4) == b"late"
        assert late.done()
        writer.close()


async def test_what_stands_behind_may_be_away() -> None:
    port = free_block(2)
    async with Proxy(port, port + 1) as proxy:
        reader, _ = await connect(proxy)
        assert await ended(reader)
        assert proxy.connections == 0
