"""How to reach Kafka and as whom: the one place from which every client takes its connection."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from ssl import SSLContext, SSLError, create_default_context
from typing import Any, Literal

from schemas.errors import Misconfigured

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
"""Kafka's names: without proof of who we are, by our certificate, by a password, by a password through TLS."""

MECHANISM = "SCRAM-SHA-512"
"""How a password is proved. Tokens (OAUTHBEARER) are not offered: brokers 4.1.0 and 4.1.1 took forged ones."""


@dataclass(frozen=True, slots=True)
class Tls:
    """Certificates, as PEM files."""

    ca: Path | None = None  # whom we trust; None: whom this machine trusts
    certificate: Path | None = None  # our own, with those between it and its CA
    key: Path | None = None  # its private key; None: it is in the certificate's file


@dataclass(frozen=True, slots=True)
class Kafka:
    """One way to one cluster as one principal."""

    bootstrap: str  # host:port,…
    protocol: Protocol = "PLAINTEXT"
    user: str = ""
    password: str = field(default="", repr=False)
    tls: Tls = Tls()

    @property
    def named(self) -> bool:
        """Whether the cluster is told who we are, so that it can hold us to our rights."""
        return self.protocol != "PLAINTEXT"

    @property
    def by_password(self) -> bool:
        """Whether we are known by a password."""
        return self.protocol.startswith("SASL_")

    def options(self) -> dict[str, Any]:
        """Return what each client of aiokafka is made with; raises Misconfigured for certificates it cannot use."""
        options: dict[str, Any] = {"bootstrap_servers": self.bootstrap, "security_protocol": self.protocol}
        if self.by_password:
            options |= {"sasl_mechanism": MECHANISM}
            options |= {"sasl_plain_username": self.user, "sasl_plain_password": self.password}
        context = self.ssl_context()
        return options if context is None else options | {"ssl_context": context}

    def librdkafka(self) -> dict[str, str | int | float | bool]:
        """Return what each client of librdkafka is made with."""
        options: dict[str, str | int | float | bool] = {"bootstrap.servers": self.bootstrap}
        options["security.protocol"] = self.protocol
        if self.by_password:
            options |= {"sasl.mechanism": MECHANISM, "sasl.username": self.user, "sasl.password": self.password}
        if self.protocol.endswith("SSL"):
            tls = self.tls
            files = {"ca": tls.ca, "certificate": tls.certificate, "key": tls.key or tls.certificate}
            options |= {f"ssl.{name}.location": str(path) for name, path in files.items() if path is not None}
        return options

    def ssl_context(self) -> SSLContext | None:
        """Return how we speak TLS, None when we do not; raises Misconfigured for certificates it cannot use."""
        if not self.protocol.endswith("SSL"):
            return None
        try:
            context = create_default_context(cafile=self.tls.ca)
            if self.tls.certificate is not None:
                context.load_cert_chain(self.tls.certificate, self.tls.key)
        except (OSError, SSLError) as error:
            files = ", ".join(str(path) for path in (self.tls.ca, self.tls.certificate, self.tls.key) if path)
            rule = f"TLS to Kafka cannot begin with {files}: {error.strerror or error}."
            raise Misconfigured("bad-certificate", f"{rule} Look at MIGEX_KAFKA__CA, …CERTIFICATE and …KEY.") from error
        return context
