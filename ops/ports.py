"""Free ports on the loopback address."""

from __future__ import annotations

import random
import socket

from schemas.errors import Unavailable

# Below the range from which Linux takes the ports of outgoing connections (32768 and up), so that no client's own end
# sits on a port between our looking and a server's binding it.
_LOWEST, _HIGHEST = 10240, 32000


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Return whether a server could bind this port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_block(size: int) -> int:
    """Return the first of `size` neighbouring ports that are free now; raises Unavailable when none are found."""
    chance = random.SystemRandom()
    for _ in range(200):
        base = chance.randrange(_LOWEST, _HIGHEST - size)
        if all(is_free(port) for port in range(base, base + size)):
            return base
    raise Unavailable("no-free-ports", f"No {size} neighbouring ports between {_LOWEST} and {_HIGHEST} are free.")
