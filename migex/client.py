"""Client: one agency's way through one gateway."""

from __future__ import annotations

import gzip
import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import httpx

from migex.answers import Verdict
from migex.batches import MOST, Batch, Event, batches, name
from migex.checks import Check, content
from migex.line import Line, refusal

PACK_FROM_BYTES = 1024
"""Bodies from this size on are packed by gzip."""

FATES = 100
"""Records or receipts of one question."""

_FINAL = frozenset({401, 403, 404, 405, 415})
"""Statuses that every other batch would get too."""


class Client:
    """One agency's way through one gateway; may be used by several threads."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        language: str = "en",
        batch: int = MOST,
        at_once: int = 4,
        patience_secs: float = 120,
        http: httpx.Client | None = None,
    ) -> None:
        """`url` such as http://127.0.0.1:8080, `key` the agency's API key, `language` of rules and remedies.

        `batch` events go into a request at most, `at_once` requests are under way. A gateway that does not answer,
        or says "later", is asked again for `patience_secs`. `http` brings certificates, proxies or other timeouts;
        it is closed with this client.
        """
        headers = {"X-API-Key": key, "Accept-Language": language}
        self._line = Line(url, headers, patience_secs, http or httpx.Client(timeout=60))
        self._batch = batch
        self._at_once = at_once

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._line.close()

    def publish(self, family: str, events: Iterable[Event], *, run: str = "") -> Iterator[Verdict]:
        """Send the events of one family and yield the verdict of each, in their order; sends as it is iterated.

        The same events in the same batches are the same delivery however often they are sent, also by another call
        or after a crash; whoever wants another delivery names another `run`. Raises GatewayAway when the gateway
        stays away (call it again with the same events), GatewayRefuses when the key, the agency's rights or the
        address are wrong, ValueError or TypeError for an event that has no form in JSON.
        """
        waiting: deque[Future[list[Verdict]]] = deque()
        with ThreadPoolExecutor(self._at_once) as senders:
            try:
                for each in batches(events, self._batch):
                    waiting.append(senders.submit(self._verdicts, family, each, run))
                    if len(waiting) >= self._at_once:
                        yield from waiting.popleft().result()
                while waiting:
                    yield from waiting.popleft().result()
            finally:
                for unsent in waiting:
                    unsent.cancel()

    def preflight(self, family: str, events: Iterable[Event] | Path | str) -> Check:
        """Return what events, or the rows of a file by its path, would be told; nothing is published, counted or kept.

        A file's form is told by how its name ends (`migex.checks.FORMS`); its columns are called as the contract's
        fields. At most 50,000 rows and 64 MiB, and the answer is held in memory. Raises GatewayAway and GatewayRefuses
        as `publish` does, the latter also for what is no such file at all; ValueError, TypeError and OSError as
        `migex.checks.content` does.
        """
        kind, body = content(events)
        response = self._post(f"/v1/preflight/{quote(family, safe='')}", body, {"Content-Type": kind})
        if response.status_code != 200:
            raise refusal(response)
        try:
            return Check.of(response.json())
        except (ValueError, KeyError, TypeError):
            raise refusal(response) from None

    def records(self, numbers: Iterable[str], *, family: str | None = None) -> Iterator[dict[str, Any]]:
        """Yield what became of each of the agency's records, by their numbers, in order; `family`: in that one alone.

        Each has `records`, one for every family that has the number, or `error` when there is none. GatewayAway: what
        counts them does not answer.
        """
        asked = ({"record_no": number, "family": family} for number in numbers)
        yield from self._fates("records", asked)

    def receipts(self, receipts: Iterable[str]) -> Iterator[dict[str, Any]]:
        """Yield what became of the versions that receipts were given for, in order: each has `fate` or `error`."""
        yield from self._fates("receipts", receipts)

    def contracts(self) -> list[dict[str, Any]]:
        """Return the list of contracts: each family's name, version, title, and who may report it."""
        contracts: list[dict[str, Any]] = self._get("/v1/contracts", {"format": "json"})
        return contracts

    def contract(self, family: str, version: int = 1, *, form: str = "avro", at: str | None = None) -> Any:
        """Return a contract as `form`: avro, json-schema, example or codes, of the day `at` (such as 2023-07-01)."""
        wanted = {"format": form, **({"at": at} if at else {})}
        return self._get(f"/v1/contracts/{quote(family, safe='')}/{version}", wanted)

    def codes(self, family: str, codelist: str, *, at: str | None = None) -> dict[str, dict[str, Any]]:
        """Return the codes of a list that the family's fields may carry on a day, with what is known of each."""
        rows = self.contract(family, form="codes", at=at)["lists"][codelist]
        return {row["code"]: row for row in rows}

    def error(self, code: str) -> dict[str, Any]:
        """Return what the catalogue says of a code: what it means and what to do."""
        explained: dict[str, Any] = self._get(f"/v1/errors/{quote(code, safe='')}")
        return explained

    def _fates(self, what: str, names: Iterable[object]) -> Iterator[dict[str, Any]]:
        names = iter(names)
        while some := list(islice(names, FATES)):
            asked = json.dumps({what: some}).encode()
            response = self._post(f"/v1/{what}", asked, {"Content-Type": "application/json"})
            if response.status_code != 200:
                raise refusal(response)
            yield from response.json()["answers"]

    def _get(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        response = self._line.ask("GET", path, headers={"Accept": "application/json"}, params=params)
        if response.status_code != 200:
            raise refusal(response)
        return response.json()

    def _verdicts(self, family: str, batch: Batch, run: str) -> list[Verdict]:
        """Send one batch; a batch that is too large for this gateway goes in halves."""
        headers = {"Content-Type": batch.content_type, "Idempotency-Key": name(batch.body, run)}
        response = self._post(f"/v1/events/{quote(family, safe='')}", batch.body, headers)
        if response.status_code in _FINAL:
            raise refusal(response)
        try:
            answer = response.json()
            # without a list: one event, or a body that was refused as a whole
            told = answer.get("verdicts", [answer])
            if response.status_code == 413 and len(batch.lines) > len(told):
                return [verdict for half in batch.halves() for verdict in self._verdicts(family, half, run)]
            return [Verdict.of(each, event) for each, event in zip(told, batch.events, strict=True)]
        except (ValueError, KeyError, TypeError):
            raise refusal(response) from None

    def _post(self, path: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
        headers["Accept"] = "application/json"
        if len(body) >= PACK_FROM_BYTES:
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body, compresslevel=1)
        return self._line.ask("POST", path, content=body, headers=headers)
