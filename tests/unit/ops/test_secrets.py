"""Secrets: made once, kept from others, never shown."""

from __future__ import annotations

import stat
from hashlib import sha256
from pathlib import Path

import pytest

from ops import secrets
from ops.api_keys import InForce
from schemas.errors import Misconfigured


def test_everything_is_made_once(tmp_path: Path) -> None:
    home = tmp_path / "secrets"
    made = secrets.make(home, ["gpk", "mvd"])
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    assert {path.name for path in made} == {"link-1.key", "digest.key", "1.key", "gpk.key", "mvd.key"}
    assert secrets.make(home, ["gpk", "mvd"]) == []
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == before
    assert secrets.make(home, ["mfa"]) == [home / "api-keys" / "mfa.key"]
    assert secrets.load(home).link_key_id == 1


def test_only_the_owner_can_read(tmp_path: Path) -> None:
    home = tmp_path / "secrets"
    secrets.make(home, ["gpk"])
    modes = {stat.S_IMODE(path.stat().st_mode) for path in home.rglob("*") if path.is_file()}
    assert modes == {0o600}
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_api_keys_are_known_by_their_hash_alone(tmp_path: Path) -> None:
    secrets.make(tmp_path, ["gpk", "mvd"])
    key = secrets.api_key(tmp_path, "gpk")
    assert InForce(tmp_path)()[sha256(key.encode()).hexdigest()] == "gpk"
    assert key not in (tmp_path / "agencies.json").read_text()
    (tmp_path / "api-keys" / "gpk.key").unlink()  # handed over to the agency
    assert secrets.make(tmp_path, ["gpk", "mvd"]) == []
    assert len(InForce(tmp_path)()) == 2


def test_a_further_link_key_counts_when_its_level_is_said(tmp_path: Path) -> None:
    secrets.make(tmp_path, [])
    old = secrets.load(tmp_path)
    assert secrets.make_link_key(tmp_path, 2) == tmp_path / "link-2.key"
    assert secrets.make_link_key(tmp_path, 2) is None
    assert secrets.load(tmp_path) == old
    secrets.raise_level(tmp_path, 2)
    new = secrets.load(tmp_path)
    assert (new.link_key_id, new.link_key, len(new.nested), new.digest_key) == (2, old.link_key, 1, old.digest_key)
    secrets.raise_level(tmp_path, 1)  # a generation of an earlier level changes nothing at the doors
    assert secrets.level(tmp_path) == 2
    with pytest.raises(Misconfigured, match="link-3"):
        secrets.raise_level(tmp_path, 3)
    (tmp_path / "link-1.key").unlink()
    assert secrets.make(tmp_path, []) == []
    assert secrets.lifting(tmp_path, 2).level == b"\0\2"  # who lifts does without the first key


def test_a_level_that_is_none_stops_the_start(tmp_path: Path) -> None:
    secrets.make(tmp_path, [])
    path = tmp_path / "link-level"
    path.touch(mode=0o600)
    for wrong in ("", "0", "two", "-1"):
        path.write_text(wrong)
        with pytest.raises(Misconfigured, match="link-level"):
            secrets.load(tmp_path)


@pytest.mark.parametrize("name", ["link-1.key", "digest.key", "agencies.json"])
@pytest.mark.parametrize(("fault", "code"), [("missing", "no-secret"), ("open", "open-secret"), ("torn", "bad-secret")])
def test_a_faulty_file_stops_the_start_and_is_named(tmp_path: Path, name: str, fault: str, code: str) -> None:
    secrets.make(tmp_path, ["gpk"])
    path = tmp_path / name
    if fault == "missing":
        path.unlink()
    elif fault == "open":
        path.chmod(0o644)
    else:
        path.write_text("{zz")
    read = InForce if name == "agencies.json" else secrets.load
    with pytest.raises(Misconfigured, match=name) as error:
        read(tmp_path)
    assert error.value.code == code


def test_an_absent_directory_asks_for_init(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="migex init"):
        secrets.load(tmp_path / "nothing")
    with pytest.raises(Misconfigured, match="migex init"):
        secrets.api_key(tmp_path / "nothing", "gpk")
