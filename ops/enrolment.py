"""Enrolment: who may come to Kafka, with which password and which rights: the product's principals and the agencies."""

from __future__ import annotations

from collections.abc import Iterator

from ops import acl
from ops.access import access, access_as, make_passwords, password_file, require_principals
from ops.settings import Settings
from schemas.conventions import load
from streams.kafka import Kafka
from streams.principals import agency_user, product_users
from streams.topics import Topics


def enrol(settings: Settings, kafka: Kafka | None = None) -> Iterator[str]:
    """Make Kafka know our users and give them their rights; yield what was done, in words.

    `kafka` is the way of somebody who may do that, by default the operator's. An agency's password is set where its
    file lies here. Raises Misconfigured where nobody proves who he is, Unavailable when Kafka does not do as asked.
    """
    require_principals(settings)
    kafka = kafka or access(settings)
    if kafka.by_password:
        yield from (f"made {path}" for path in make_passwords(settings, product_users()))
        agencies = [user for user in users_of(settings) if user not in product_users()]
        passwords = {user: access_as(settings, user).password for user in [*product_users(), *agencies]}
        yield from (f"{user} is known" for user in acl.set_passwords(kafka, passwords))
    yield from _given(settings, kafka)


def enrol_agency(settings: Settings, agency: str) -> Iterator[str]:
    """Give an agency a new password for Kafka, in a file, and its rights; yield what was done.

    The old password is good no more. Raises as `enrol`.
    """
    require_principals(settings)
    user = agency_user(agency)
    password_file(settings, user).unlink(missing_ok=True)
    make_passwords(settings, [user])
    yield f"made {password_file(settings, user)}: hand it over, then remove it here"
    kafka = access(settings)
    acl.set_passwords(kafka, {user: access_as(settings, user).password})
    yield from _given(settings, kafka)


def dismiss_agency(settings: Settings, agency: str) -> str:
    """Let an agency come to Kafka no more, until it is enrolled again, and say so; raises as `enrol`.

    What it is connected with now ends when Kafka next asks for the password.
    """
    user = agency_user(agency)
    require_principals(settings)
    acl.forget_password(access(settings), user)
    password_file(settings, user).unlink(missing_ok=True)
    return f"{user} is known no more"


def users_of(settings: Settings) -> list[str]:
    """Return the product's users, and those of the agencies whose password lies here."""
    agencies = map(agency_user, load(settings.convention).agencies)
    return [*product_users(), *(user for user in agencies if password_file(settings, user).exists())]


def _given(settings: Settings, kafka: Kafka) -> Iterator[str]:
    for change in acl.apply(kafka, Topics.of(settings.generation, load(settings.convention))):
        yield f"{'given' if change.missing else 'withdrawn'}: {change.right}"
