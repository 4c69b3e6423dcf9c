"""The commands about Kafka: the local broker, topics, rights; each imports what it needs, as in `ops.cli`."""

# ruff: noqa: PLC0415

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cyclopts import App, Parameter

if TYPE_CHECKING:
    from ops.settings import Settings
    from streams.topics import Topics

_GROUP = "System"
_PLAIN = Parameter(negative=())
broker = App(name="broker", help="A local Apache Kafka, for this machine only.", group=_GROUP, default_parameter=_PLAIN)
topics = App(name="topics", help="The Kafka topics, kept as data.", group=_GROUP, default_parameter=_PLAIN)
acl = App(name="acl", help="Who may do what on Kafka, kept as data.", group=_GROUP, default_parameter=_PLAIN)


@broker.command(name="up")
def broker_up(*, nodes: Literal[1, 3] | None = None, port: int | None = None, secure: bool = False) -> None:
    """Start the local Kafka, fetching it by Maven the first time, and print its addresses.

    Args:
        nodes: 1, or 3 to rehearse the loss of one. Default: MIGEX_BROKER__NODES.
        port: First port; two a node are taken. Default: MIGEX_BROKER__PORT.
        secure: Everybody proves who he is by a password, and may do what he has a right to, nothing else.
    """
    from ops import system

    own = _settings()
    broker, kafka = own.broker, own.kafka
    broker = broker.model_copy(update={"nodes": nodes or broker.nodes, "port": port or broker.port})
    if secure and kafka.protocol == "PLAINTEXT":
        kafka = kafka.model_copy(update={"protocol": "SASL_PLAINTEXT"})
    bootstrap, done = system.start_broker(own.model_copy(update={"broker": broker, "kafka": kafka}))
    for line in (bootstrap, *done):
        _print(line)
    names = []
    if bootstrap != own.broker.bootstrap:
        names += [f"MIGEX_BROKER__PORT={broker.port}", f"MIGEX_BROKER__NODES={broker.nodes}"]
    if kafka != own.kafka:
        names.append(f"MIGEX_KAFKA__PROTOCOL={kafka.protocol}")
    if names:
        _print(f"to use it: export {' '.join(names)}")


@broker.command(name="files")
def broker_files(directory: Path, /, *, host: str = "kafka") -> None:
    """Write what a Kafka in a container starts with, so that it asks everybody for a password (docker-compose.yml).

    Args:
        directory: Where to: server.properties, and the arguments of its storage's format. Both hold a password.
        host: Name by which other containers know it.
    """
    from ops.access import guard
    from ops.broker_properties import container_files

    for path in container_files(directory, host, guard(_settings())):
        _print(f"made {path}")


@broker.command(name="down")
def broker_down() -> None:
    """Stop the local Kafka. Its data stays."""
    from ops.broker import Broker

    settings = _settings()
    Broker.found(settings.home, settings.cache).down()


@broker.command(name="status")
def broker_status() -> int:
    """Show the nodes of the local Kafka. Exit status 1 unless all answer."""
    from ops.broker import Broker

    settings = _settings()
    nodes = Broker.found(settings.home, settings.cache).status()
    for node in nodes:
        state = "answers" if node.answers else "does not answer" if node.pid else "down"
        _print(f"node {node.node}  127.0.0.1:{node.port}  pid {node.pid or '-'}  {state}")
    return 0 if all(node.answers for node in nodes) else 1


@topics.command(name="apply")
def topics_apply() -> None:
    """Create missing topics and put settings right. Never deletes."""
    import asyncio

    from ops import topics as cluster
    from ops.access import access

    settings = _settings()
    for wanted in _every_generation(settings):
        for change in asyncio.run(cluster.apply(access(settings), wanted)):
            _print(f"{change.name}: {change.aspect} was {change.found}, is {change.wanted}")


@topics.command(name="diff")
def topics_diff() -> int:
    """Print what is missing or different on the cluster. Exit status 1 if anything is."""
    import asyncio

    from ops import topics as cluster
    from ops.access import access

    settings = _settings()
    generations = _every_generation(settings)
    differences = [asyncio.run(cluster.diff(access(settings), wanted)) for wanted in generations]
    found = list(dict.fromkeys(difference for each in differences for difference in each))
    for difference in found:
        _print(str(difference))
    return 1 if found else 0


@acl.command(name="apply")
def acl_apply() -> None:
    """Make Kafka know our users, give them the rights of streams/principals.yaml and take away all others of theirs.

    The first time it is run as somebody who may give rights: MIGEX_KAFKA__USER, MIGEX_KAFKA__PASSWORD_FILE.
    """
    from ops.enrolment import enrol

    for line in enrol(_settings()):
        _print(line)


@acl.command(name="diff")
def acl_diff() -> int:
    """Print which rights are missing or too much on the cluster. Exit status 1 if any is."""
    from ops.access import access
    from ops.acl import diff

    settings = _settings()
    found = diff(access(settings), _topics(settings))
    for difference in found:
        _print(str(difference))
    return 1 if found else 0


@acl.command(name="check")
def acl_check(*users: str) -> None:
    """Try what each user must not do, as each process does before it starts; a right that nobody should have fails it.

    Args:
        users: Names such as migex.gateway or agency.gpk. Default: all whose password lies here.
    """
    import asyncio

    from ops.access import access_as
    from ops.enrolment import users_of
    from ops.trespass import check

    settings = _settings()
    for user in users or users_of(settings):
        asyncio.run(check(access_as(settings, user), user, _topics(settings)))
        _print(f"{user} may do nothing that it must not")


def _every_generation(settings: Settings) -> list[Topics]:
    """Return the topics of each generation that workers work for."""
    from ops.generations.roster import Roster
    from schemas.conventions import load
    from streams.topics import Topics

    return [Topics.of(number, load(settings.convention)) for number in Roster(settings).numbers()]


def _topics(settings: Settings) -> Topics:
    from schemas.conventions import load
    from streams.topics import Topics

    return Topics.of(settings.generation, load(settings.convention))


def _settings() -> Settings:
    from ops.settings import load

    return load()


def _print(line: str) -> None:
    from ops.console import console

    console().print(line, soft_wrap=True, highlight=False)
