"""Lifting: cores of earlier link keys are brought up to later ones, without identities (law L8)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from msgspec.structs import replace

from schemas import contracts
from schemas import core as cores
from schemas.contracts import PSEUDONYM
from schemas.core import DOCUMENT, NAME, PERSONAL_NO
from schemas.header import LINK_KEY_ID, OWNER
from schemas.keys import joined, raised

_KEYED = frozenset({PERSONAL_NO, DOCUMENT, NAME})
"""Kinds of link keys that are made with secrets; those of subjects that are no persons are plain digests."""


class Lift:
    """What brings cores up to the level of a generation: a pure function of header, core and secrets."""

    def __init__(self, nested: Sequence[bytes] = ()) -> None:
        """`nested` are the secrets of the levels 2 to that of the generation; none: it has the first level."""
        self._nested = tuple(nested)
        self.level = (1 + len(self._nested)).to_bytes(2, "big")
        """The level as a packed header has it: cores whose header says less are to be lifted."""

    def __call__(self, header: bytes, raw: bytes) -> bytes:
        """Return a core with its link keys and pseudonyms at the level; raises Broken when it cannot be read."""
        nested = self._nested[max(int.from_bytes(header[LINK_KEY_ID], "big"), 1) - 1 :]
        core = cores.decode(raw)
        codes = list(core.codes)
        for place in _pseudonyms(int.from_bytes(header[OWNER][2:], "big")):
            if place < len(codes) and codes[place]:
                codes[place] = raised(codes[place], nested)
        keys = joined(*[_raised(key, nested) for key in cores.link_keys(core.keys)])
        return cores.encode(replace(core, keys=keys, codes=tuple(codes)))


UNLIFTED = Lift()
"""What brings nothing up: for a generation of the first level."""


def _raised(key: bytes, nested: Sequence[bytes]) -> bytes:
    return key[:1] + raised(key[1:], nested) if key[0] in _KEYED else key


@cache
def _pseudonyms(family: int) -> tuple[int, ...]:
    """Return where the pseudonyms stand among the codes of a family's cores."""
    known = contracts.family(family)
    return tuple(known.core_index[field.name] for field in known.fields if field.core and field.personal == PSEUDONYM)
