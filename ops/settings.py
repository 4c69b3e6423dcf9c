"""Every setting of the product: read once from the environment, passed on as arguments.

`MIGEX_` begins each name and `__` stands between a section and its setting: `MIGEX_BROKER__BOOTSTRAP`. Nothing else
in the product reads the environment.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import platform
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.sources.utils import parse_env_vars

import schemas
from ops import processes
from ops.ports import free_block
from schemas.errors import Misconfigured
from streams.kafka import Protocol

PREFIX = "MIGEX_"
TEST_PREFIX = "MIGEX_TEST_"
"""Names that only the tests read; they are no settings."""

PROCESSES = processes.PROCESSES

_PASSWORD = re.compile(r"(://[^:/@]+:)[^@]+@")
_HIDDEN = r"\1***@"
_METRICS = tuple(name for name in PROCESSES if name not in {"registry", "feed"})
"""The processes that answer /health and /metrics on a port beside their own or without one of their own."""


def user_cache(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the directory where this user's programs keep what can be fetched again."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "migex"
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "migex"


def _local_bootstrap(port: int, nodes: int) -> str:
    return ",".join(f"127.0.0.1:{port + n}" for n in range(nodes))


def _host_name(home: Path) -> str:
    """Return a name that two hosts do not share, and two systems on one host neither; the same after a restart."""
    name = re.sub("[^A-Za-z0-9._-]", "-", platform.node())[:60] or "host"
    return f"{name}-{hashlib.sha256(bytes(home)).hexdigest()[:6]}"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Broker(_Section):
    """Where Kafka is."""

    port: int = Field(9092, ge=1024, le=65000, description="First port of the local broker; it takes two a node.")
    nodes: int = Field(1, description="Nodes of the local broker: 1, or 3 to rehearse the loss of one.")
    bootstrap: str = Field(
        default_factory=lambda d: _local_bootstrap(d.get("port", 9092), d.get("nodes", 1)),
        description="Addresses of the Kafka to use, `host:port,…`; default: the local broker's.",
    )

    local: bool = Field(
        default_factory=lambda d: d.get("bootstrap") == _local_bootstrap(d.get("port", 9092), d.get("nodes", 1)),
        description="Whether `migex up` starts and `migex down` stops a local broker; false: a Kafka runs there.",
    )

    certificate: str = Field(
        "", description="PEM file of the local broker's certificate and key, for TLS; its CA is MIGEX_KAFKA__CA."
    )

    @field_validator("nodes")
    @classmethod
    def _one_or_three(cls, nodes: int) -> int:
        if nodes not in {1, 3}:
            raise ValueError("must be 1 or 3")
        return nodes


class Kafka(_Section):
    """How Kafka is told who we are; each process is a principal of its own (`streams/principals.yaml`)."""

    protocol: Protocol = Field(
        "PLAINTEXT",
        description="PLAINTEXT: nobody proves who he is; SASL_PLAINTEXT, SASL_SSL: by password (SCRAM-SHA-512), "
        "without and with TLS; SSL: by certificate. The local broker takes the same.",
    )
    user: str = Field("", description="Principal to be, whatever runs; empty: `migex.<process>`, `agency.<code>`.")
    password_file: str = Field(
        "",
        description="File with that user's password; empty: `<home>/secrets/kafka/<user>.password`. With `{user}` in "
        "its name: everybody's.",
    )
    ca: str = Field("", description="PEM file of the CA of Kafka's certificates; empty: the CAs of this machine.")
    certificate: str = Field("", description="PEM file of our own certificate. `{user}` is filled in.")
    key: str = Field("", description="PEM file of its key; empty: it is in the certificate's. `{user}` is filled in.")


class Gateway(_Section):
    """The HTTP door."""

    host: str = Field("127.0.0.1", description="Address on which the gateway listens.")
    port: int = Field(8080, ge=1, le=65535, description="Port on which the gateway listens.")
    certificate: str = Field("", description="PEM file of the gateway's certificate and those above it; empty: no TLS.")
    key: str = Field("", description="PEM file of its key; empty: it is in the certificate's.")
    client_ca: str = Field("", description="PEM file of the CA of client certificates; empty: none is asked for.")
    clients: str = Field(
        "",
        description="Whose a client certificate is: `<name in it>=<agency>,…`; a DNS name, a URI, or the common name.",
    )
    certificates_only: bool = Field(False, description="Whether nobody gets in without a client certificate.")
    events_per_sec: float = Field(20_000, gt=0, description="Events that one agency may bring in a second, lastingly.")
    burst: int = Field(100_000, ge=1, description="Events that it may bring at once after a pause.")
    requests: int = Field(16, ge=1, description="Requests that it may have under way at the same time.")
    quotas: str = Field(
        "", description="Agencies with a quota of their own: `<agency>=<events a second>/<burst>/<requests>,…`"
    )


class Outbox(_Section):
    """An agency's outbox, brought to the gateway by `migex outbox run` beside the agency's own database."""

    database: str = Field("", description="Address of the database: postgresql://user@host/name or sqlite:///file.")
    gateway: str = Field("", description="Address of the gateway; empty: this system's.")
    key_file: str = Field("", description="File with the agency's API key, readable by its owner only.")
    ca: str = Field("", description="PEM file of the CA of the gateway's certificate; empty: the CAs of this machine.")
    idle_secs: float = Field(5.0, gt=0, description="Seconds at most between two looks into the table.")
    metrics_host: str = Field("127.0.0.1", description="Address on which the poller shows its metrics.")
    metrics_port: int = Field(0, ge=0, le=65535, description="Port of its metrics; 0: none.")


class Files(_Section):
    """The file door."""

    directory: str = Field(
        "", description="Directory of the agencies' folders, on one file system; empty: `<home>/files`."
    )
    settle_secs: float = Field(
        5.0,
        ge=0,
        description="Seconds for which a file must not change before it is taken; `.part` names never are.",
    )
    look_secs: float = Field(1.0, gt=0, description="Seconds between two looks at the folders.")
    megabytes: int = Field(1024, ge=1, description="Size of a file at most; JSON arrays and Avro: 64 in any case.")
    lang: Literal["en", "ru", "be"] = Field("en", description="Language of rules and remedies: en, ru or be.")
    keep_days: int = Field(
        30, ge=0, description="Days after which what lies in `done` and `failed` is deleted; 0: never."
    )


class Registry(_Section):
    """The schema registry."""

    host: str = Field("127.0.0.1", description="Address on which the schema registry listens.")
    port: int = Field(8081, ge=1, le=65535, description="Port on which the schema registry listens.")
    sandbox: bool = Field(
        False,
        description="Whether clients may register schemas of their own, in `<home>/registry.db`, to try things out.",
    )
    url: str = Field(
        "",
        pattern="^(https?://.*)?$",
        description="Address of another registry with Confluent's API that agencies use, such as Apicurio's "
        "`/apis/ccompat/v7`; the Kafka door puts the contracts there and reads by the ids they have there. "
        "Empty: ours.",
    )


class Feed(_Section):
    """The feed: its store and its server."""

    url: str = Field("", description="SQLAlchemy address of the feed store; empty: SQLite in `<home>/feed.db`.")
    host: str = Field("127.0.0.1", description="Address on which the feed listens.")
    port: int = Field(8090, ge=1, le=65535, description="Port on which the feed listens.")


class Archive(_Section):
    """The archive of the inbox's old end."""

    directory: str = Field("", description="Directory of the archive; empty: `<home>/archive`. All hosts need it.")
    megabytes: int = Field(16, ge=1, le=1024, description="Size of its files before compression, about.")


class Checkpoints(_Section):
    """Published copies of the agents' state, with which another host can go on."""

    directory: str = Field(
        "", description="Directory of the checkpoints, for all hosts the same one; empty: `<home>/checkpoints`."
    )
    secs: float = Field(60.0, gt=0, description="Seconds between two checkpoints of a partition that has moved on.")


class Metrics(_Section):
    """Metrics, health and questions of the processes that do not answer them where everybody asks."""

    host: str = Field("127.0.0.1", description="Address on which they listen.")
    base_port: int = Field(
        9464, ge=1, le=65000, description=f"First of their ports: {', '.join(_METRICS)}, one after another."
    )
    workers: str = Field(
        "",
        pattern=r"^([a-z]+=[^=,\s:]+:\d+(,|$))*$",
        description="Where workers answer questions about records, `<agent>=<host>:<port>,…`; empty: on this host.",
    )


class Logs(_Section):
    """Log lines."""

    level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="DEBUG, INFO, WARNING or ERROR.")
    max_megabytes: int = Field(20, ge=1, description="Size at which the supervisor turns a log file; three are kept.")


class Settings(BaseSettings):
    """All settings of one system; several systems on one machine differ in `home` and ports."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid", env_ignore_empty=True
    )

    home: Path = Field(Path(".migex"), description="Directory of everything that this system keeps.")
    cache: Path = Field(default_factory=user_cache, description="Directory of what can be fetched again: Kafka's jars.")
    convention: Path = Field(
        Path(schemas.__file__).parent / "conventions" / "BY.yaml",
        description="Convention file: agencies, tables, code lists, deadlines.",
    )
    generation: int = Field(1, ge=1, description="Number of the way of counting; names topics and state.")
    host: str = Field(
        default_factory=lambda d: _host_name(d["home"]),
        pattern="^[A-Za-z0-9._-]{1,100}$",
        description="Name of this host among those that share the work: its workers' names begin with it.",
    )
    rehearsal: bool = Field(
        False, description="For tests only: whether SIGUSR1 may tell a process at which named moment to kill itself."
    )
    template: bool = Field(
        sys.platform == "linux",
        description="Whether the supervisor forks all processes from one that has imported everything (Linux only), "
        "so that one that was killed is back in a second; it takes about 110 MB, which the others share.",
    )
    reconcilers: int = Field(
        2,
        ge=1,
        le=8,
        description="How many workers of reconcile, the costliest agent, the supervisor runs for the current "
        "generation; a generation that is being built has one a core.",
    )
    tick_secs: float = Field(1.0, gt=0, description="Seconds between two ticks while events arrive.")
    tick_ahead_secs: float = Field(
        60.0,
        gt=0,
        description="Seconds that the time of the clock's host may be ahead of the brokers'; beyond that no tick is "
        "written, because a cut in the future would stop all others until then.",
    )
    broker: Broker = Field(default_factory=Broker, description="Where Kafka is.")
    kafka: Kafka = Field(default_factory=Kafka, description="How Kafka is told who we are.")
    gateway: Gateway = Field(default_factory=Gateway, description="The HTTP door.")
    outbox: Outbox = Field(default_factory=Outbox, description="An agency's outbox.")
    files: Files = Field(default_factory=Files, description="The file door.")
    registry: Registry = Field(default_factory=Registry, description="The schema registry.")
    feed: Feed = Field(default_factory=Feed, description="The feed.")
    archive: Archive = Field(default_factory=Archive, description="The archive of the inbox's old end.")
    checkpoints: Checkpoints = Field(default_factory=Checkpoints, description="Published copies of the state.")
    metrics: Metrics = Field(default_factory=Metrics, description="Metrics and health of the other processes.")
    logs: Logs = Field(default_factory=Logs, description="Log lines.")

    @field_validator("home", "cache", "convention")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return path.expanduser().absolute()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what is passed in and nothing else: `load` alone reads the environment."""
        return (init_settings,)

    @property
    def secrets(self) -> Path:
        """Directory of keys, readable by their owner only."""
        return self.home / "secrets"

    @property
    def state(self) -> Path:
        """Directory of the agents' state."""
        return self.home / "state"

    @property
    def checkpoints_directory(self) -> Path:
        """Directory of the published checkpoints."""
        given = self.checkpoints.directory
        return Path(given).expanduser().absolute() if given else self.home / "checkpoints"

    @property
    def files_directory(self) -> Path:
        """Directory of the agencies' folders."""
        return Path(self.files.directory).expanduser().absolute() if self.files.directory else self.home / "files"

    @property
    def archive_directory(self) -> Path:
        """Directory of the archive."""
        return Path(self.archive.directory).expanduser().absolute() if self.archive.directory else self.home / "archive"

    @property
    def feed_url(self) -> str:
        """SQLAlchemy address of the feed store."""
        return self.feed.url or f"sqlite:///{self.home / 'feed.db'}"

    def address(self, process: str) -> tuple[str, int]:
        """Return host and port where a process of `PROCESSES` answers /health and /metrics."""
        if process in _METRICS:
            return self.metrics.host, self.metrics.base_port + _METRICS.index(process)
        section = cast("Registry | Feed", getattr(self, process))
        return section.host, section.port

    @property
    def gateway_url(self) -> str:
        """Where the gateway takes events, such as http://127.0.0.1:8080."""
        own = self.gateway
        return f"{'https' if own.certificate else 'http'}://{own.host}:{own.port}"

    def environment(self) -> dict[str, str]:
        """Return every setting as an environment variable."""
        return {name: str(value) for name, value, _ in leaves(self)}

    def inherited(self) -> dict[str, str]:
        """Return the whole environment for a child: this process's own, with every setting as it is here."""
        return {**os.environ, **self.environment()}


class _Environment(EnvSettingsSource):
    """The environment that was passed in, read by pydantic-settings' rules."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        super().__init__(Settings)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return parse_env_vars(self._environ, self.case_sensitive, self.env_ignore_empty, self.env_parse_none_str)


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings of this environment; raises Misconfigured naming the variable that is wrong."""
    complaints = misspelt(environ)
    if complaints:
        raise Misconfigured("unknown-setting", " ".join(complaints))
    try:
        return Settings(**_Environment(environ)())
    except ValidationError as error:
        wrong = [e for e in error.errors() if e["type"] != "default_factory_not_called"]  # a mere consequence
        raise Misconfigured("bad-setting", " ".join(map(_complaint, wrong))) from None


def misspelt(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return a sentence for each `MIGEX_` name that is no setting; pydantic-settings ignores a misspelt section."""
    known = [name for name, _, _ in leaves(Settings())]
    found = [name for name in environ if name.upper().startswith(PREFIX) and not name.upper().startswith(TEST_PREFIX)]
    return [_unknown(name, known) for name in sorted(found) if name.upper() not in known]


def leaves(section: BaseModel, prefix: str = PREFIX) -> Iterator[tuple[str, Any, FieldInfo]]:
    """Yield the name in the environment, the value and the definition of every setting."""
    for name, field in type(section).model_fields.items():
        value, variable = getattr(section, name), f"{prefix}{name.upper()}"
        if isinstance(value, BaseModel):
            yield from leaves(value, f"{variable}__")
        else:
            yield variable, value, field


def with_free_ports(home: Path, nodes: int = 1, **others: Any) -> Settings:
    """Return settings for one more system on this machine: its own `home`, and ports that are free now."""
    base = free_block(2 * nodes + 3 + 32)  # of the last 32, further workers and generations take some (ops.crews)
    http = base + 2 * nodes
    return Settings(
        home=home,
        broker=Broker(port=base, nodes=nodes),
        gateway=Gateway(port=http),
        registry=Registry(port=http + 1),
        feed=Feed(port=http + 2),
        metrics=Metrics(base_port=http + 3),
        **others,
    )


def shown(settings: Settings) -> list[str]:
    """Return a line for each setting as it is in force, without passwords."""
    return [f"{name}={_PASSWORD.sub(_HIDDEN, value)}" for name, value in settings.environment().items()]


def markdown() -> str:
    """Return the table of all settings as docs/settings.md has it."""
    rows = [
        f"| `{name}` | {_default(name, value)} | {field.description} |" for name, value, field in leaves(Settings())
    ]
    head = [
        "# Settings",
        "",
        "Environment variables, read once at start. `migex config check` finds misspelt names, `migex config show`",
        "prints what is in force. This page is made by `migex config docs`.",
        "",
        "| variable | default | meaning |",
        "|---|---|---|",
    ]
    return "\n".join([*head, *rows]) + "\n"


def _default(name: str, value: object) -> str:
    described = {  # these depend on the machine
        "MIGEX_HOME": "`.migex`",
        "MIGEX_CACHE": "`migex` in the user's cache directory",
        "MIGEX_CONVENTION": "`schemas/conventions/BY.yaml` of the product",
        "MIGEX_FEED__URL": "empty",
        "MIGEX_CHECKPOINTS__DIRECTORY": "empty",
        "MIGEX_HOST": "the machine's name and a digest of `MIGEX_HOME`",
        "MIGEX_ARCHIVE__DIRECTORY": "empty",
        "MIGEX_FILES__DIRECTORY": "empty",
        "MIGEX_TEMPLATE": "`True` on Linux",
        "MIGEX_BROKER__LOCAL": "whether the addresses are the local broker's",
    }
    return described.get(name, f"`{value}`")


def _unknown(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name.upper(), known, n=1)
    hint = f"did you mean {near[0]}?" if near else "`migex config docs` lists all settings."
    return f"{name} is no setting: {hint}"


def _complaint(error: Mapping[str, Any]) -> str:
    name = PREFIX + "__".join(str(part).upper() for part in error["loc"])
    return f"{name}: {error['msg']}. `migex config docs` lists all settings."
