"""Negotiation: which of our forms or languages a reader likes best, as Accept and Accept-Language say it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

MAX_HEADER = 2000
"""Characters of a header that are looked at."""


def preferred(header: str, offers: Sequence[str]) -> str:
    """Return the offer that the header likes best; the first one where it likes several alike or none at all.

    An offer is a media type, or a language such as `be`, which `be-BY` asks for too (RFC 9110, 12.5.1 and 12.5.4).
    """
    ranges = list(_ranges(header[:MAX_HEADER].lower()))
    return max(offers, key=lambda offer: _liking(offer.lower(), ranges))


def _liking(offer: str, ranges: Sequence[tuple[str, float]]) -> float:
    """Return the quality of the most exact range that the offer falls into, 0 where there is none."""
    found = [(_exactness(offer, name), quality) for name, quality in ranges]
    return max((each for each in found if each[0]), default=(0, 0.0))[1]


def _exactness(offer: str, name: str) -> int:
    if name in ("*", "*/*"):
        return 1
    if name.endswith("/*"):
        return 2 if offer.startswith(name[:-1]) else 0
    return 3 if offer == name or ("/" not in name and name.startswith(f"{offer}-")) else 0


def _ranges(header: str) -> Iterator[tuple[str, float]]:
    for part in header.split(","):
        name, *parameters = (each.strip() for each in part.split(";"))
        yield name, _quality(parameters)


def _quality(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return min(max(float(parameter[2:]), 0.0), 1.0)
            except ValueError:
                return 0.0
    return 1.0
