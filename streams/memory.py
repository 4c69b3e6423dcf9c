"""Views in memory: a store for replays and tests, and the overlay in which a step reads its own writes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import merge

from streams.fold import View


class Memory:
    """A key-value store in dictionaries, one per first byte of the key, so that a scan sorts only its own kind."""

    remote = False

    def __init__(self) -> None:
        self._kinds: defaultdict[int, dict[bytes, bytes]] = defaultdict(dict)

    def get(self, key: bytes) -> bytes | None:
        """See `View`."""
        return self._kinds[key[0]].get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See `View`."""
        kinds = self._kinds
        return [kinds[key[0]].get(key) for key in keys]

    def put(self, key: bytes, value: bytes) -> None:
        """See `View`."""
        self._kinds[key[0]][key] = value

    def delete(self, key: bytes) -> None:
        """See `View`."""
        self._kinds[key[0]].pop(key, None)

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """See `View`."""
        kind = self._kinds[prefix[0]]
        return iter(sorted((key, value) for key, value in kind.items() if key.startswith(prefix)))


class Warm:
    """A reader of a view that remembers what was written under one kind of keys: what nearly every step reads again.

    A read from a dictionary costs a tenth of one from the disk.
    """

    def __init__(self, below: View, kind: bytes, most: int = 100_000) -> None:
        """`kind` is the first byte of these keys, or empty: none. With more than `most`, all are forgotten."""
        self._below = below
        self.remote = below.remote
        self._kind = kind
        self._most = most
        self._known: dict[bytes, bytes | None] = {}
        self.get, self.put, self.delete, self.scan = below.get, below.put, below.delete, below.scan

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See `View`."""
        known = self._known
        if not keys or keys[0][:1] != self._kind:
            return self._below.get_many(keys)
        missing = [key for key in keys if key not in known]
        found = dict(zip(missing, self._below.get_many(missing), strict=True))
        return [known[key] if key in known else found[key] for key in keys]

    def written(self, writes: Mapping[bytes, bytes | None]) -> None:
        """Remember what was written below."""
        if not self._kind:
            return
        kind = self._kind[0]
        self._known.update([(key, value) for key, value in writes.items() if key[0] == kind])
        if len(self._known) > self._most:
            self._known.clear()


class Overlay:
    """A view on a view: reads fall through, writes stay here until somebody takes `writes` and stores them at once."""

    def __init__(self, below: View) -> None:
        self._below = below
        self.remote = below.remote
        self._known: dict[bytes, bytes | None] = {}  # what was read or put: nothing is read twice in a step
        self.writes: dict[bytes, bytes | None] = {}
        """What was put; None: deleted."""

    def get(self, key: bytes) -> bytes | None:
        """See `View`."""
        known = self._known
        if key in known:
            return known[key]
        value = known[key] = self._below.get(key)
        return value

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See `View`."""
        known = self._known
        missing = [key for key in keys if key not in known]
        if missing:
            known.update(zip(missing, self._below.get_many(missing), strict=True))
        return [known[key] for key in keys]

    def put(self, key: bytes, value: bytes) -> None:
        """See `View`."""
        self._known[key] = self.writes[key] = value

    def delete(self, key: bytes) -> None:
        """See `View`."""
        self._known[key] = self.writes[key] = None

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """See `View`."""
        own = sorted((key, value) for key, value in self.writes.items() if key.startswith(prefix))
        return _merged(own, self._below.scan(prefix))

    def commit(self) -> None:
        """Write everything into the view below; only where that one needs no atomicity (memory)."""
        for key, value in self.writes.items():
            if value is None:
                self._below.delete(key)
            else:
                self._below.put(key, value)
        self.writes.clear()
        self._known.clear()


def _merged(
    own: Iterable[tuple[bytes, bytes | None]], below: Iterable[tuple[bytes, bytes]]
) -> Iterator[tuple[bytes, bytes]]:
    """Yield the pairs of both, ascending by key, one's own first; lazily, since most scans stop early."""
    nearest = ((key, 0, value) for key, value in own)
    last = None
    for key, _, value in merge(nearest, ((key, 1, value) for key, value in below)):
        if key != last and value is not None:
            yield key, value
        last = key
