"""The commands about agencies and with what they come in; each imports what it needs, as in `ops.cli`."""

# ruff: noqa: PLC0415

from __future__ import annotations

from typing import TYPE_CHECKING

from cyclopts import App

if TYPE_CHECKING:
    from ops.api_keys import ApiKeys
    from schemas.conventions import Convention

app = App(name="agency", help="Who may publish, and with which API keys.", group="System")
key = App(name="key", help="An agency's API keys; several hold at once, so that one can be replaced.")
kafka = App(name="kafka", help="An agency's password for Kafka, where Kafka asks for one.")
app.command(key)
app.command(kafka)


@app.command(name="list")
def list_() -> None:
    """Show all agencies of the convention, what they may report, and their keys by id."""
    from rich.table import Table

    from ops.console import console

    convention, keys = _at()
    known = keys.known()
    shown = Table("agency", "name", "families", "key", "made", "revoked", box=None, pad_edge=False)
    for code, agency in convention.agencies.items():
        for number, each in enumerate(known.get(code) or [None]):
            first = (code, agency.names["en"], str(len(agency.families))) if number == 0 else ("", "", "")
            shown.add_row(*first, *((each.id, each.made, each.revoked) if each else ("none", "", "")))
    console().print(shown)


@app.command(name="add")
def add(code: str, /) -> None:
    """Let an agency of the convention in: make its first key and print it, once.

    Args:
        code: Its code in the convention file, which also says what it may report.
    """
    from schemas.errors import Misconfigured

    _, keys = _at(code)
    if any(not each.revoked for each in keys.known().get(code, [])):
        raise Misconfigured("agency-known", f"{code} has a key already: `migex agency key add {code}` makes another.")
    _tell(keys, code)


@key.command(name="add")
def key_add(code: str, /) -> None:
    """Make one more key and print it, once; the others stay in force until they are revoked.

    Args:
        code: Code of the agency.
    """
    _, keys = _at(code)
    _tell(keys, code)


@key.command(name="revoke")
def key_revoke(code: str, key_id: str, /) -> None:
    """Let a key be worth nothing from the next request on; no restart is needed.

    Args:
        code: Code of the agency.
        key_id: Id of the key, as `migex agency list` shows it.
    """
    from ops.console import console

    _, keys = _at(code)
    revoked = keys.revoke(code, key_id)
    left = sum(not each.revoked for each in keys.known()[code])
    console().print(f"{code}: key {revoked.id} is revoked; {left} in force", highlight=False)


@kafka.command(name="add")
def kafka_add(code: str, /) -> None:
    """Give an agency a new password for Kafka, in a file, and the rights to its own topics; an old one ends.

    Args:
        code: Code of the agency.
    """
    from ops.console import console
    from ops.enrolment import enrol_agency
    from ops.settings import load

    _at(code)
    for line in enrol_agency(load(), code):
        console().print(line, soft_wrap=True, highlight=False)


@kafka.command(name="revoke")
def kafka_revoke(code: str, /) -> None:
    """Let an agency come to Kafka no more, until it gets a new password.

    Args:
        code: Code of the agency.
    """
    from ops.console import console
    from ops.enrolment import dismiss_agency
    from ops.settings import load

    _at(code)
    console().print(dismiss_agency(load(), code), highlight=False)


def _tell(keys: ApiKeys, code: str) -> None:
    import sys

    made, text = keys.add(code)
    sys.stdout.write(text + "\n")  # alone on standard output, so that it can be put into a file
    sys.stdout.flush()
    sys.stderr.write(f"{code}: this is key {made.id}. It is not kept here: hand it over now.\n")


def _at(code: str | None = None) -> tuple[Convention, ApiKeys]:
    """Return the convention and the keys; raises Misconfigured when the convention has no such agency."""
    from ops.api_keys import ApiKeys
    from ops.settings import load
    from schemas import conventions
    from schemas.errors import Misconfigured

    settings = load()
    convention = conventions.load(settings.convention)
    if code is not None and code not in convention.agencies:
        known = ", ".join(convention.agencies)
        detail = f"{convention.id} has no agency {code!r}; it has {known}. Add it to the convention file first."
        raise Misconfigured("unknown-agency", detail)
    return convention, ApiKeys(settings.secrets)
