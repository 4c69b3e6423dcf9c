"""Settings: from an environment that is passed in, strict, and the same again in a child."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.ports import is_free
from ops.settings import PROCESSES, Settings, leaves, load, markdown, misspelt, shown, with_free_ports
from schemas.errors import Misconfigured


def test_defaults_make_a_system_on_this_machine() -> None:
    settings = load({})
    assert settings == Settings()
    assert settings.home == Path(".migex").absolute()
    assert settings.convention.name == "BY.yaml"
    assert (settings.broker.bootstrap, settings.broker.local) == ("127.0.0.1:9092", True)
    assert settings.feed_url == f"sqlite:///{settings.home}/feed.db"
    assert settings.secrets == settings.home / "secrets"


@pytest.mark.parametrize(
    ("environ", "bootstrap", "local"),
    [
        ({"MIGEX_BROKER__PORT": "9500"}, "127.0.0.1:9500", True),
        ({"MIGEX_BROKER__NODES": "3"}, "127.0.0.1:9092,127.0.0.1:9093,127.0.0.1:9094", True),
        ({"MIGEX_BROKER__BOOTSTRAP": "kafka:19092"}, "kafka:19092", False),
        ({"MIGEX_BROKER__LOCAL": "false"}, "127.0.0.1:9092", False),
    ],
)
def test_which_kafka(environ: dict[str, str], bootstrap: str, local: bool) -> None:
    broker = load(environ).broker
    assert (broker.bootstrap, broker.local) == (bootstrap, local)


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        (
            {"MIGEX_BROKER__BOOTSTRP": "x"},
            "MIGEX_BROKER__BOOTSTRP is no setting: did you mean MIGEX_BROKER__BOOTSTRAP?",
        ),
        ({"MIGEX_BROKRE__BOOTSTRAP": "x"}, "did you mean MIGEX_BROKER__BOOTSTRAP?"),
        ({"MIGEX_XYZZY": "x"}, "migex config docs"),
        ({"MIGEX_BROKER": "{}"}, "MIGEX_BROKER is no setting"),
        ({"MIGEX_BROKER__NODES": "2"}, "MIGEX_BROKER__NODES: Value error, must be 1 or 3"),
        ({"MIGEX_TICK_SECS": "soon"}, "MIGEX_TICK_SECS: Input should be a valid number"),
        ({"MIGEX_LOGS__LEVEL": "LOUD"}, "MIGEX_LOGS__LEVEL"),
    ],
)
def test_what_is_wrong_is_named(environ: dict[str, str], said: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        load(environ)
    assert said in str(caught.value)
    assert "default factory" not in str(caught.value)


def test_names_of_tests_and_of_others_are_no_settings() -> None:
    assert misspelt({"MIGEX_TEST_BROKER": "x", "HOME": "x", "migex_generation": "2"}) == []
    assert load({"migex_generation": "2"}).generation == 2


def test_a_child_sees_the_same_settings(tmp_path: Path) -> None:
    settings = with_free_ports(tmp_path, nodes=3, tick_secs=0.25)
    assert load(settings.environment()) == settings
    assert settings.broker.local
    assert settings.inherited().items() >= settings.environment().items()


def test_free_ports_are_free_and_different(tmp_path: Path) -> None:
    settings = with_free_ports(tmp_path, nodes=3)
    ports = [settings.address(name)[1] for name in PROCESSES]
    ports += range(settings.broker.port, settings.broker.port + 6)
    assert len(set(ports)) == len(PROCESSES) + 6
    assert all(map(is_free, ports))


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().generation = 2  # type: ignore[misc]


def test_passwords_are_not_shown() -> None:
    settings = load({"MIGEX_FEED__URL": "postgresql+psycopg://migex:s3cret@db/feed"})
    assert "MIGEX_FEED__URL=postgresql+psycopg://migex:***@db/feed" in shown(settings)


def test_every_setting_is_on_the_page() -> None:
    page = markdown()
    for name, _, field in leaves(Settings()):
        assert f"| `{name}` |" in page
        assert field.description
    assert str(Path.home()) not in page
    assert str(Path.cwd()) not in page
