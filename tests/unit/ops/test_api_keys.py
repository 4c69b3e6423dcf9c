"""API keys: several at once, revoked without a restart, never kept."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest

from ops.api_keys import ApiKeys, InForce
from ops.cli import app
from schemas.errors import Misconfigured, Unavailable

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


def keys(directory: Path) -> ApiKeys:
    return ApiKeys(directory, lambda: NOW)


def digest(key: str) -> str:
    return sha256(key.encode()).hexdigest()


def test_two_keys_hold_until_one_is_revoked(tmp_path: Path) -> None:
    old, old_text = keys(tmp_path).add("gpk")
    in_force = InForce(tmp_path)
    assert in_force() == {digest(old_text): "gpk"}
    new, new_text = keys(tmp_path).add("gpk")
    assert in_force() == {digest(old_text): "gpk", digest(new_text): "gpk"}
    assert keys(tmp_path).revoke("gpk", old.id).revoked == NOW.isoformat()
    assert in_force() == {digest(new_text): "gpk"}
    assert [key.id for key in keys(tmp_path).known()["gpk"]] == [old.id, new.id]
    written = (tmp_path / "agencies.json").read_text()
    assert old_text not in written
    assert new_text not in written


def test_a_revoked_key_does_not_come_back(tmp_path: Path) -> None:
    keys(tmp_path).make(["gpk"])
    (only,) = keys(tmp_path).known()["gpk"]
    keys(tmp_path).revoke("gpk", only.id)
    assert keys(tmp_path).make(["gpk"]) == []
    assert InForce(tmp_path)() == {}


@pytest.mark.parametrize(("agency", "key_id"), [("gpk", "00000000"), ("mvd", ""), ("gpk", ""), ("nobody", "0")])
def test_only_a_key_that_is_there_can_be_revoked(tmp_path: Path, agency: str, key_id: str) -> None:
    keys(tmp_path).add("gpk")
    with pytest.raises(Misconfigured, match="agency list"):
        keys(tmp_path).revoke(agency, key_id)


def test_hashes_of_an_earlier_version_still_count(tmp_path: Path) -> None:
    path = tmp_path / "agencies.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps({"gpk": [digest("k")]}))
    assert InForce(tmp_path)() == {digest("k"): "gpk"}
    keys(tmp_path).add("gpk")
    assert len(InForce(tmp_path)()) == 2


@pytest.mark.parametrize("fault", ["missing", "open", "torn", "strange"])
def test_nobody_is_let_in_while_the_hashes_cannot_be_read(tmp_path: Path, fault: str) -> None:
    keys(tmp_path).add("gpk")
    in_force = InForce(tmp_path)
    path = tmp_path / "agencies.json"
    if fault == "missing":
        path.unlink()
    elif fault == "open":
        path.chmod(0o644)
    else:
        path.write_text('{"gpk": [{"x": 1}]}' if fault == "strange" else "{")
    with pytest.raises(Unavailable):
        in_force()


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MIGEX_HOME", str(tmp_path))
    app(["agency", "add", "gpk"], result_action="return_value")
    first = capsys.readouterr()
    assert digest(first.out.strip()) in InForce(tmp_path / "secrets")()
    with pytest.raises(Misconfigured, match="key add"):
        app(["agency", "add", "gpk"], result_action="return_value")
    with pytest.raises(Misconfigured, match="no agency 'cia'"):
        app(["agency", "add", "cia"], result_action="return_value")
    app(["agency", "key", "add", "gpk"], result_action="return_value")
    second = capsys.readouterr().out.strip()
    app(["agency", "key", "revoke", "gpk", digest(first.out.strip())[:8]], result_action="return_value")
    assert "1 in force" in capsys.readouterr().out
    assert InForce(tmp_path / "secrets")() == {digest(second): "gpk"}
    app(["agency", "list"], result_action="return_value")
    listed = capsys.readouterr().out
    assert digest(second)[:8] in listed
    assert second not in listed
