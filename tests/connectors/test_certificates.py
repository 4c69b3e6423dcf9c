"""Client certificates: whose they are, over real TLS, with certificates made here."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from connectors.callers import Callers
from ops.ports import free_block
from ops.processes import gateway
from ops.settings import Gateway
from schemas.errors import Misconfigured
from tests.connectors.doors import CONVENTION, KEYS, Door
from tests.connectors.events import line

NAMES = {"gpk": "client.gpk.example", "mvd": "client.mvd.example", "stranger": "client.stranger.example"}
DAY = timedelta(days=1)


class Authority:
    """A certificate authority that lives for one test."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.file = self._written(name, self._signed(self._name, self._key, None))

    def issue(self, name: str, *, valid_days: int = 1) -> tuple[str, str]:
        """Return the files of a certificate for a name, and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._signed(subject, key, name, valid_days)
        encoded = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return self._written(name, certificate), self._file(f"{name}.key", encoded)

    def _signed(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, name: str | None, valid_days: int = 1
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        building = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 10 * DAY)
            .not_valid_after(now + valid_days * DAY)
            .add_extension(x509.BasicConstraints(ca=name is None, path_length=None), critical=True)
        )
        if name is not None:
            names: list[x509.GeneralName] = [x509.DNSName(name), x509.IPAddress(ip_address("127.0.0.1"))]
            building = building.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return building.sign(self._key, hashes.SHA256())

    def _written(self, name: str, certificate: x509.Certificate) -> str:
        return self._file(f"{name}.pem", certificate.public_bytes(serialization.Encoding.PEM))

    def _file(self, name: str, content: bytes) -> str:
        path = self._directory / name
        path.write_bytes(content)
        return str(path)


class Served:
    """A gateway that is served over TLS in a thread."""

    def __init__(self, directory: Path, *, only: bool) -> None:
        self.authority = Authority(directory, "ca.example")
        certificate, key = self.authority.issue("gateway.example")
        self.own = Gateway(
            port=free_block(1),
            certificate=certificate,
            key=key,
            client_ca=self.authority.file,
            clients=f"{NAMES['gpk']}=gpk, {NAMES['mvd']}=mvd",
            certificates_only=only,
        )
        known = {sha256(text.encode()).hexdigest(): agency for agency, text in KEYS.items()}
        self.door = Door(callers=Callers(lambda: known, gateway.clients(self.own, CONVENTION)))
        self._server = gateway.server(self.door.app, self.own)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._server._serve()))
        self.url = f"https://127.0.0.1:{self.own.port}"

    def start(self) -> None:
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive()

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()

    def post(self, certificate: tuple[str, str] | None, key: str | None) -> httpx.Response:
        trusted = ssl.create_default_context(cafile=self.authority.file)
        if certificate is not None:
            trusted.load_cert_chain(*certificate)
        headers = {"Content-Type": "application/json"} | ({} if key is None else {"X-API-Key": key})
        with httpx.Client(verify=trusted) as client:
            return client.post(f"{self.url}/v1/events/border.crossing", content=line(), headers=headers)

    def agencies(self) -> list[int]:
        return [entry.header.agency for entry in self.door.inbox.entries]


@pytest.fixture
def served(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Served]:
    made = Served(tmp_path, only=getattr(request, "param", False))
    made.start()
    yield made
    made.stop()


def test_a_certificate_names_the_agency(served: Served) -> None:
    issued = {agency: served.authority.issue(name) for agency, name in NAMES.items()}
    ids = {agency: each.id for agency, each in CONVENTION.agencies.items()}
    answered = [
        served.post(issued["gpk"], None).status_code,
        served.post(issued["gpk"], KEYS["gpk"]).status_code,
        served.post(issued["mvd"], None).status_code,  # it is known, and may not report crossings
        served.post(None, KEYS["gpk"]).status_code,
        served.post(issued["stranger"], KEYS["gpk"]).status_code,  # a certificate of nobody's says nothing
        served.post(issued["stranger"], None).status_code,
        served.post(issued["mvd"], KEYS["gpk"]).status_code,  # two agencies at once are none
        served.post(issued["gpk"], "a wrong key").status_code,
        served.post(None, None).status_code,
    ]
    may = 202 if "border.crossing" in CONVENTION.agencies["mvd"].families else 403
    assert answered == [202, 202, may, 202, 202, 401, 401, 401, 401]
    assert served.agencies() == [ids["gpk"], ids["gpk"], ids["mvd"], ids["gpk"], ids["gpk"]]


def test_a_certificate_of_another_authority_or_time_gets_no_connection(served: Served, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    forged = Authority(tmp_path / "other", "ca.example").issue(NAMES["gpk"])
    late = served.authority.issue(NAMES["gpk"], valid_days=-1)
    for certificate in (forged, late):
        with pytest.raises(httpx.TransportError):
            served.post(certificate, KEYS["gpk"])
    assert served.agencies() == []


@pytest.mark.parametrize("served", [True], indirect=True)
def test_nobody_gets_in_without_one_where_they_are_demanded(served: Served) -> None:
    with pytest.raises(httpx.TransportError):
        served.post(None, KEYS["gpk"])
    assert served.post(served.authority.issue(NAMES["gpk"]), KEYS["gpk"]).status_code == 202


@pytest.mark.parametrize(
    "wrong",
    [
        {"clients": "name"},
        {"clients": "name=nobody"},
        {"clients": "=gpk"},
        {"clients": "name=gpk", "client_ca": ""},
        {"clients": "name=gpk", "certificate": ""},
        {"certificates_only": True, "client_ca": ""},
    ],
)
def test_settings_that_would_let_the_wrong_ones_in_stop_the_start(wrong: dict[str, str]) -> None:
    settings = Gateway(**{"certificate": "a.pem", "client_ca": "b.pem"} | wrong)
    with pytest.raises(Misconfigured, match="MIGEX_GATEWAY__CLIENT"):
        gateway.clients(settings, CONVENTION)


def test_certificates_that_are_none_stop_the_start(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="PEM"):
        gateway.server(Door().app, Gateway(certificate=str(tmp_path / "none.pem")))


@pytest.mark.parametrize(
    "quotas", ["gpk", "gpk=1/2", "gpk=1/2/x", "nobody=1/2/3", "gpk=0/1/1", "gpk=1/0/1", "gpk=nan/1/1"]
)
def test_a_quota_that_is_none_stops_the_start(quotas: str) -> None:
    with pytest.raises(Misconfigured, match="QUOTAS"):
        gateway.quotas(Gateway(quotas=quotas), CONVENTION)
    gateway.quotas(Gateway(quotas="gpk=10/20/3, mvd=1.5/2/1"), CONVENTION)
