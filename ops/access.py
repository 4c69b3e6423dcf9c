"""Access: which way to Kafka, and as which principal, from the settings and the files of secrets."""

from __future__ import annotations

import secrets as chance
from collections.abc import Iterable
from pathlib import Path

from connectors import key_files
from ops.broker_properties import Guard
from ops.settings import Settings
from schemas.errors import Misconfigured
from streams.kafka import Kafka, Tls
from streams.principals import BROKER, agency_user, product_user


def access(settings: Settings, name: str = "operator", *, agency: str | None = None) -> Kafka:
    """Return the way to Kafka as one of the product's principals, or as an agency.

    Raises Misconfigured when there is no password, or its file is open to others.
    """
    user = settings.kafka.user or (product_user(name) if agency is None else agency_user(agency))
    return access_as(settings, user)


def access_as(settings: Settings, user: str) -> Kafka:
    """Return the way to Kafka as a user, whatever `MIGEX_KAFKA__USER` says; raises as `access` does."""
    own = settings.kafka
    tls = Tls(*(_file(path, user) for path in (own.ca, own.certificate, own.key)))
    password = key_files.read(password_file(settings, user)).strip() if own.protocol.startswith("SASL_") else ""
    return Kafka(settings.broker.bootstrap, own.protocol, user, password, tls)


def guard(settings: Settings) -> Guard:
    """Return how the local broker knows who speaks to it; raises Misconfigured where it does not ask."""
    require_principals(settings)
    own = settings.kafka
    tls = Tls(_file(own.ca, BROKER), _file(settings.broker.certificate, BROKER))
    return Guard(password_file(settings, BROKER), (own.protocol,), tls)


def guarded(settings: Settings) -> bool:
    """Return whether everybody proves to Kafka who he is."""
    return settings.kafka.protocol != "PLAINTEXT"


def require_principals(settings: Settings) -> None:
    """Raise Misconfigured where nobody proves who he is."""
    if not guarded(settings):
        rule = "MIGEX_KAFKA__PROTOCOL is PLAINTEXT: nobody proves to Kafka who he is, so nobody can have rights."
        raise Misconfigured("no-principals", f"{rule} Set it to SASL_PLAINTEXT, SASL_SSL or SSL.")


def password_file(settings: Settings, user: str) -> Path:
    """Return where the password of a Kafka user lies: a file that the settings name is not everybody's."""
    given = settings.kafka.password_file if user == settings.kafka.user else ""
    if "{user}" in settings.kafka.password_file:
        given = settings.kafka.password_file
    return _file(given, user) or settings.secrets / "kafka" / f"{user}.password"


def _file(path: str, user: str) -> Path | None:
    return Path(path.replace("{user}", user)).expanduser().absolute() if path else None


def make_passwords(settings: Settings, users: Iterable[str]) -> list[Path]:
    """Make a password for each user who has none here, and return the files made."""
    made = []
    for user in users:
        path = password_file(settings, user)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if key_files.write_once(path, chance.token_urlsafe(32)):
            made.append(path)
    return made
