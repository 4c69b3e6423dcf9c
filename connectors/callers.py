"""Callers: which agency asks, as its API key or its client certificate says; never what the request itself claims."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from starlette.requests import Request

HEADER = "X-API-Key"

Keys = Callable[[], Mapping[str, str]]
"""Asked at each request: SHA-256 of an API key, as hexadecimal digits -> agency. May raise Unavailable."""


@dataclass(frozen=True, slots=True)
class Callers:
    """Whom the gateway knows. An API key is 256 random bits, so nothing can be learnt from how long a look-up takes."""

    keys: Keys
    certificates: Mapping[str, str] = field(default_factory=dict)  # name in a client certificate -> agency

    def agency(self, request: Request) -> str | None:
        """Return who asks; None: nobody we know, or a key and a certificate of different agencies."""
        named = {self.certificates[name] for name in names(_certificate(request)) if name in self.certificates}
        key = request.headers.get(HEADER)
        if key is not None:
            owner = self.keys().get(sha256(key.encode()).hexdigest())
            named.add(owner or "")  # a wrong key is not made good by a certificate
        return named.pop() or None if len(named) == 1 else None


def names(certificate: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names that a verified certificate bears: DNS names and URIs, else the subject's common names.

    The form is that of `ssl.SSLSocket.getpeercert`. Common names count only where no other name stands (RFC 9525, 2).
    """
    found = [name for kind, name in certificate.get("subjectAltName", ()) if kind in {"DNS", "URI"}]
    subject = [value for part in certificate.get("subject", ()) for name, value in part if name == "commonName"]
    yield from found or subject


def _certificate(request: Request) -> Mapping[str, Any]:
    found: Mapping[str, Any] | None = request.scope.get("extensions", {}).get("tls", {}).get("peercert")
    return found or {}
