"""Bombs for the gateway: packed bodies, arrays and lines without end, questions about too many records."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from backports import zstd

from connectors.gateway import Limits
from tests.bombs.blast import Bomb
from tests.bombs.doors import FAMILY, http
from tests.connectors.events import line
from tests.connectors.test_avro_file import block, head, number

MOST = Limits().body_bytes
JSON, NDJSON, AVRO = ({"Content-Type": f"application/{each}"} for each in ("json", "x-ndjson", "avro"))
GZIP, ZSTD = {"Content-Encoding": "gzip"}, {"Content-Encoding": "zstd"}
ZEROS = bytes(1_000_000)


def deflated(wbits: int) -> bytes:
    """Return 200 MB of nothing, packed."""
    packing = zlib.compressobj(1, wbits=wbits)
    return b"".join([packing.compress(ZEROS) for _ in range(200)]) + packing.flush()


def zstd_packed() -> bytes:
    """Return 500 MB of nothing, packed."""
    packing = zstd.ZstdCompressor()
    return b"".join([packing.compress(ZEROS) for _ in range(500)]) + packing.flush()


def swarm(**changes: Any) -> bytes:
    """Return lines, each of them an event of nearly the greatest length with this in it."""
    made = line(**changes)
    return b"\n".join([made] * (MOST // len(made)))


def _events(headers: Mapping[str, str]) -> Callable[[str, Callable[[], bytes]], Bomb]:
    door = http(f"/v1/events/{FAMILY}", line(), headers)
    return lambda told, make: Bomb(door, told, make)


_json, _ndjson, _avro = map(_events, (JSON, NDJSON, AVRO))

EVENTS: Mapping[str, Bomb] = {
    "events, gzip": _events(GZIP)("too-large", partial(deflated, 31)),
    "events, zstd": _events(ZSTD)("too-large", zstd_packed),
    "events, gzip, members": _events(GZIP)("bad-encoding", lambda: gzip.compress(b"") * (MOST // 20)),
    "events, Avro, block": _avro("too-large", lambda: head(b"deflate") + block(1, deflated(-15))),
    "events, Avro, blocks": _avro("malformed-avro", lambda: head() + block(0, b"") * (MOST // 20)),
    "events, Avro, map": _avro("malformed-avro", lambda: b"Obj\x01" + number(MOST // 2) + bytes(MOST - 100)),
    "events, Avro, count": _avro("too-many", lambda: head() + block(2**62, bytes(1000))),
    "events, JSON, elements": _json("too-many", lambda: b"[" + b"1," * (MOST // 2 - 2) + b"1]"),
    "events, JSON, elements below the bound of commas": _json("too-many", lambda: b"[" + b"1," * 639_000 + b"1]"),
    "events, JSON, in depth": _json("not-json", lambda: b"[" * MOST),
    "events, JSON, a number": _json("too-large", lambda: b"9" * MOST),
    "events, lines": _ndjson("too-many", lambda: b"1\n" * (MOST // 2)),
    "events, one long line": _ndjson("too-large", lambda: b"[" * MOST),
    "events, unknown fields": _ndjson("unknown-field", lambda: swarm(**{f"header__{n:05}": 1 for n in range(5000)})),
    "events, lists of lists": _ndjson("wrong-type", lambda: swarm(header__legal_basis=[[]] * 20_000)),
}

_PREFLIGHT = f"/v1/preflight/{FAMILY}"
_CSV = {"Content-Type": "text/csv"}


def packed(content: Callable[[], bytes]) -> Callable[[], bytes]:
    """Return what makes this content, packed by gzip."""
    return lambda: gzip.compress(content(), 1)


FIRST = ",".join(("record_no", "revision", "op", "recorded_at")).encode()
MANY = 55 << 20

PREFLIGHTS: Mapping[str, Bomb] = {
    "preflight, gzip": Bomb(http(_PREFLIGHT, line(), NDJSON | GZIP), "too-large", partial(deflated, 31)),
    "preflight, zstd": Bomb(http(_PREFLIGHT, line(), NDJSON | ZSTD), "too-large", zstd_packed),
    "preflight, blank lines": Bomb(http(_PREFLIGHT, line(), NDJSON | GZIP), "bad-table", packed(lambda: b"\n" * MANY)),
    "preflight, blank lines of CSV": Bomb(
        http(_PREFLIGHT, FIRST, _CSV | GZIP), "bad-table", packed(lambda: FIRST + b"\n" * MANY)
    ),
    "preflight, empty rows of CSV": Bomb(
        http(_PREFLIGHT, FIRST, _CSV | GZIP), "bad-table", packed(lambda: FIRST + b"\n,,," * (MANY // 4))
    ),
    "preflight, columns of CSV": Bomb(http(_PREFLIGHT, FIRST, _CSV | GZIP), "bad-table", packed(lambda: b"," * 60_000)),
    "preflight, quotation marks": Bomb(
        http(_PREFLIGHT, FIRST, _CSV | GZIP), "bad-table", packed(lambda: FIRST + b'\n"' + b"\n" * MANY)
    ),
    "preflight, JSON": Bomb(
        http(_PREFLIGHT, line(), JSON | GZIP), "too-many", packed(lambda: b"[" + b"1," * 639_000 + b"1" * 10**7 + b"]")
    ),
    "preflight, JSON too long": Bomb(
        http(_PREFLIGHT, line(), JSON | GZIP), "too-large", packed(lambda: b"[" + b"1," * (MANY // 2) + b"1]")
    ),
    "preflight, lists of lists": Bomb(
        http(_PREFLIGHT, line(), NDJSON | GZIP), "wrong-type", packed(lambda: swarm(header__legal_basis=[[]] * 20_000))
    ),
    "preflight, Avro": Bomb(
        http(_PREFLIGHT, head(), AVRO), "too-large", lambda: head(b"deflate") + block(1, deflated(-15))
    ),
}

QUESTIONS: Mapping[str, Bomb] = {
    f"{place}, {name}": bomb
    for place in ("/v1/records", "/v1/receipts")
    for name, bomb in {
        "gzip": Bomb(http(place, b"{}", GZIP), "too-large", partial(deflated, 31)),
        "zstd": Bomb(http(place, b"{}", ZSTD), "too-large", zstd_packed),
        "in depth": Bomb(http(place, b"{}", {}), "bad-question", lambda: b"[" * 64_000),
        "elements": Bomb(
            http(place, b"{}", {}), "bad-question", lambda: b'{"records":[' + b"1," * 30_000 + b'1],"receipts":[]}'
        ),
        "texts": Bomb(http(place, b"{}", {}), "bad-question", lambda: b'{"receipts":[' + b'"a",' * 15_000 + b'"a"]}'),
    }.items()
}
