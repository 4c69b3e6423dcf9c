"""What the README tells an integrator to type, typed: every example, against one real system."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ops.settings import Settings, with_free_ports
from tests.clients.test_java_registry_client import jars
from tests.house import tree

pytestmark = [pytest.mark.broker, pytest.mark.timeout(600)]

FIRST = tree.ROOT / "examples" / "first"
README = (tree.ROOT / "README.md").read_text(encoding="utf-8")


class Integrator:
    """Somebody who has the README and a system that is up."""

    def __init__(self, settings: Settings) -> None:
        names = {
            "BOOTSTRAP": ("127.0.0.1:9092", settings.broker.bootstrap),
            "GATEWAY": ("http://127.0.0.1:8080", settings.gateway_url),
            "REGISTRY": ("http://127.0.0.1:8081", "http://{}:{}".format(*settings.address("registry"))),
            "KEY_FILE": (".migex/secrets/api-keys/gpk.key", str(settings.secrets / "api-keys" / "gpk.key")),
        }
        self._addresses = dict(names.values())
        self._env = os.environ | {name: here for name, (_, here) in names.items()}

    def types(self, command: str) -> str:
        """Type a command of the README in a checkout, at this system's addresses; return what it printed."""
        for usual, here in self._addresses.items():
            command = command.replace(usual, here)
        return self.run("bash", "-c", command)

    def run(self, *argv: str | Path) -> str:
        done = subprocess.run(
            argv, cwd=tree.ROOT, env=self._env, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def integrator(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Integrator]:
    """Bring a system up (`broker` is asked for its check of Java and Maven)."""
    settings = with_free_ports(tmp_path_factory.mktemp("system"))
    command = [sys.executable, "-m", "ops.cli"]
    up = subprocess.run([*command, "up"], env=settings.inherited(), capture_output=True, text=True, check=False)
    try:
        assert up.returncode == 0, up.stdout + up.stderr
        yield Integrator(settings)
    finally:
        subprocess.run([*command, "down"], env=settings.inherited(), capture_output=True, check=False)


def commands(program: str) -> list[str]:
    """Return the README's commands that begin with a program, with their continued lines."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    joined = "".join(block for language, block in blocks if not language).replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.startswith(program)]


def accepted(text: str) -> dict[str, Any]:
    verdict: dict[str, Any] = json.loads(text)
    assert verdict["answer"] == "accepted", verdict
    return verdict


def test_curl(integrator: Integrator) -> None:
    shutil.which("curl") or pytest.skip("curl is not installed.")
    (first,) = [each for each in commands("curl -sS") if "/v1/events/" in each]
    assert accepted(integrator.types(first)) == accepted(integrator.types(first)), "sent again, it is the same delivery"


def test_the_python_client(integrator: Integrator) -> None:
    lines = integrator.run(sys.executable, FIRST / "by_client.py").splitlines()
    told = [line.split() for line in lines if not line.startswith(" ")]
    assert [" ".join(words[:-1]) if "accepted" in words else " ".join(words) for words in told] == [
        "checked refused",
        "wrong refused",
        "mended accepted",
        "sent again accepted",
        "corrected accepted",
        "withdrawn accepted",
    ]
    receipts = [words[-1] for words in told if "accepted" in words]
    assert receipts[0] == receipts[1]
    assert len(set(receipts)) == 3
    (why,) = [line for line in lines if line.startswith(" ")]
    assert "event.mode" in why
    assert "ROAD" in why, "what may stand there instead"


def test_confluents_python_client(integrator: Integrator) -> None:
    accepted(integrator.run(sys.executable, FIRST / "by_kafka.py"))


def test_confluents_java_client(integrator: Integrator, tmp_path: Path) -> None:
    java = shutil.which("java") or pytest.skip("Java is not installed.")
    program = [FIRST / "ByKafka.java", FIRST / "gpk.border.crossing.jsonl"]
    accepted(integrator.run(java, "-cp", f"{jars(tmp_path)}/*", *program))


def test_kcat_reads_the_verdicts(integrator: Integrator) -> None:
    shutil.which("kcat") or pytest.skip("kcat is not installed (Debian: kcat).")
    accepted(integrator.run(sys.executable, FIRST / "by_kafka.py"))
    (read,) = commands("kcat")
    accepted(integrator.types(read).splitlines()[-1])
