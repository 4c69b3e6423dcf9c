"""Apache Kafka's jars: fetched once by Maven into the user's cache directory."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.errors import Misconfigured, Unavailable

FOLDER = Path(__file__).parent / "kafka"
POM = FOLDER / "pom.xml"
JAVA = 17
"""Oldest Java that Kafka 4's broker runs on (Kafka 4.0, upgrade notes)."""


def java() -> str:
    """Return the path of Java; raises Misconfigured when there is none, or one that is too old."""
    found = shutil.which("java")
    if found is None:
        raise Misconfigured(
            "java-missing", f"The local broker needs Java {JAVA} (Debian: openjdk-17-jre-headless). {_ELSE}"
        )
    text = subprocess.run([found, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(?:1\.)?(\d+)', text)
    if version is None or int(version[1]) < JAVA:
        raise Misconfigured("java-old", f"The local broker needs Java {JAVA} or newer; {found} is older. {_ELSE}")
    return found


_ELSE = "Or set MIGEX_BROKER__BOOTSTRAP to a Kafka that runs elsewhere."


def jars(cache: Path) -> Path:
    """Return the directory with Kafka's jars, fetching them the first time.

    Raises Misconfigured when Maven is missing, Unavailable when it cannot fetch.
    """
    pom = POM.read_bytes()
    version = re.search(rb"<kafka.version>(.+?)<", pom)
    assert version  # noqa: S101  # our own file
    folder = cache / "kafka" / f"{version[1].decode()}-{hashlib.sha256(pom).hexdigest()[:8]}"
    if folder.is_dir():  # it came by rename, so it is complete
        return folder
    with locked(cache / "kafka" / ".lock"):
        if not folder.is_dir():
            _fetch(folder)
    return folder


def _fetch(folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise Misconfigured(
            "maven-missing", f"The local broker's jars are fetched by Maven, once (Debian: maven). {_ELSE}"
        )
    draft = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={draft}"]
    done = subprocess.run([maven, "-q", "-B", "-f", str(POM), *goal], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        shutil.rmtree(draft, ignore_errors=True)
        raise Unavailable("jars-unavailable", f"Maven could not fetch Kafka's jars: {_first_error(done.stdout)}")
    draft.rename(folder)


def _first_error(text: str) -> str:
    errors = [line for line in text.splitlines() if "ERROR" in line]
    return (errors or ["it gave no reason"])[0][:400]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock between programs; waits for whoever holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
