"""Bombs for the gateway; as a program: lets each go off, from a directory, and prints a line about what it cost."""

from __future__ import annotations

import asyncio
import gzip
import os
import resource
import sys
import time
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

from backports import zstd

from connectors.gateway import Limits
from tests.connectors.doors import NDJSON, Door
from tests.connectors.test_avro_file import block, head, number

MOST = Limits().body_bytes
AVRO = {"Content-Type": "application/avro"}
ZEROS = bytes(1_000_000)


def deflated(wbits: int) -> bytes:
    """Return 200 MB of nothing, packed."""
    packing = zlib.compressobj(9, wbits=wbits)
    return b"".join([packing.compress(ZEROS) for _ in range(200)]) + packing.flush()


def zstd_packed() -> bytes:
    """Return 1 GB of nothing, packed."""
    packing = zstd.ZstdCompressor()
    return b"".join([packing.compress(ZEROS) for _ in range(1000)]) + packing.flush()


BOMBS: Mapping[str, tuple[Callable[[], bytes], Mapping[str, str]]] = {
    "gzip": (lambda: deflated(31), {"Content-Encoding": "gzip"}),
    "zstd": (zstd_packed, {"Content-Encoding": "zstd"}),
    "gzip members": (lambda: gzip.compress(b"") * (MOST // 20), {"Content-Encoding": "gzip"}),
    "Avro block": (lambda: head(b"deflate") + block(1, deflated(-15)), AVRO),
    "Avro blocks": (lambda: head() + block(0, b"") * (MOST // 20), AVRO),
    "Avro map": (lambda: b"Obj\x01" + number(MOST // 2) + bytes(MOST - 100), AVRO),
    "JSON elements": (lambda: b"[" + b"1," * (MOST // 2 - 2) + b"1]", {}),
    "JSON elements below the bound of commas": (lambda: b"[" + b"1," * 639_000 + b"1]", {}),
    "JSON in depth": (lambda: b"[" * MOST, {}),
    "lines": (lambda: b"1\n" * (MOST // 2), NDJSON),
    "one long line": (lambda: b"[" * MOST, NDJSON),
}
"""What a bomb is made of, and the headers with which it comes."""


async def go_off(content: bytes, headers: Mapping[str, str]) -> None:
    """Print the status, by how many MiB the process grew, and the seconds of CPU that it took."""
    door = Door(Limits())
    async with door.client:
        await door.post(b"{}")  # what is loaded at the first request is not the bomb's
        memory, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        response = await door.post(content, **headers)
        seconds = time.process_time() - began
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024
    sys.stdout.write(f"{response.status_code} {grown:.1f} {seconds:.2f}\n")


def main(directory: Path) -> None:
    """Let each bomb go off in a process of its own, which begins as small as this one."""
    for which in range(len(BOMBS)):
        sys.stdout.flush()
        child = os.fork()
        if not child:
            _, headers = list(BOMBS.values())[which]
            asyncio.run(go_off((directory / str(which)).read_bytes(), headers))
            sys.stdout.flush()
            os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
