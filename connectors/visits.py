"""Visits: one request of one agency, from its events to their verdicts; everything is kept before it is answered."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import orjson
from starlette.responses import Response

from connectors import problems
from connectors.admission import Admission
from connectors.batch import Batch, Event
from connectors.inbox import Inbox
from connectors.problems import problem
from connectors.texts import ENGLISH, said, translated
from connectors.verdicts import Answer, Arrival, Verdict, answer, delivery_id, observe
from schemas.errors import Reason, Refused
from schemas.header import Door
from streams.telemetry import DoorTelemetry

TURN = 50
"""Events of a batch that are admitted before other requests get their turn."""


class Place(NamedTuple):
    """Where the events of all visits go, and who counts them."""

    admission: Admission
    inbox: Inbox
    telemetry: DoorTelemetry
    chance: Callable[[int], bytes]


class Visitor(NamedTuple):
    """Who comes, with what, and how the answer should be."""

    agency: str
    family: str
    key: str | None  # the request's Idempotency-Key
    lang: str
    accepted_at: int  # the door's clock, ms since 1970


class Visit:
    """One request of one agency."""

    def __init__(self, place: Place, visitor: Visitor) -> None:
        self._place = place
        self._visitor = visitor
        self._key = None if visitor.key is None else f"{visitor.agency} {visitor.family} {visitor.key}".encode()
        self.events = 0
        """How many deliveries were answered."""

    async def take(self, batch: Batch) -> Response:
        """Answer the events; raises Refused when the body turns out to be none, and nothing was kept."""
        answers = await self._answers(batch.events)
        await self._keep(answers)
        if not batch.single:
            return self._verdicts([each.verdict for each in answers])
        (one,) = answers
        if one.verdict.answer == "accepted":
            return _json(one.verdict.encode(), 202, self._visitor.lang)
        return self._refused("refused", problems.explained("refused", self._visitor.lang), one)

    async def refuse(self, why: Reason) -> Response:
        """Answer a request that fails as a whole: one refused delivery."""
        one = answer(self._place.admission, self._arrival(-1, b""), Refused((why,)))
        await self._keep([one])
        detail = f"{said(why.rule, self._visitor.lang)} {said(why.remedy, self._visitor.lang)}"
        return self._refused(why.code if why.code in problems.STATUS else "refused", detail, one)

    async def _answers(self, events: Iterator[Event]) -> list[Answer]:
        answers = []
        for index, (payload, event) in enumerate(events):
            answers.append(answer(self._place.admission, self._arrival(index, payload), event))
            if index % TURN == TURN - 1:
                await asyncio.sleep(0)
        return answers

    def _arrival(self, index: int, payload: bytes) -> Arrival:
        """Name the delivery: with an Idempotency-Key, a repeat of the same bytes has the same name."""
        name = self._place.chance(8) if self._key is None else delivery_id(self._key, b"%d" % index, payload)
        return Arrival(self._visitor.agency, self._visitor.family, name, self._visitor.accepted_at, door=Door.HTTP)

    async def _keep(self, answers: list[Answer]) -> None:
        began = time.perf_counter()
        await self._place.inbox.put([each.entry for each in answers])
        self._place.telemetry.inbox_acked(time.perf_counter() - began)
        observe(self._place.telemetry, self._visitor.agency, answers)
        self.events += len(answers)

    def _verdicts(self, verdicts: list[Verdict]) -> Response:
        """Return every event's own verdict in the order sent, and how often which answer and which code was given."""
        lang = self._visitor.lang
        refused = [verdict for verdict in verdicts if verdict.errors]
        codes = Counter(code for verdict in refused for code in {each.code for each in verdict.errors})
        told = verdicts if lang == ENGLISH else [_spoken(verdict, lang) for verdict in verdicts]
        summary = {"accepted": len(verdicts) - len(refused), "refused": len(refused), "codes": dict(codes)}
        return _json(orjson.dumps({"verdicts": told, "summary": summary}), 200, lang)

    def _refused(self, code: str, detail: str, one: Answer) -> Response:
        verdict = _spoken(one.verdict, self._visitor.lang)
        members: dict[str, Any] = {
            "answer": verdict.answer,
            "record_no": verdict.record_no,
            "revision": verdict.revision,
            "delivery": verdict.delivery,
            "errors": verdict.errors,
        }
        return problem(code, detail, lang=self._visitor.lang, **members)


def _spoken(verdict: Verdict, lang: str) -> Verdict:
    return replace(verdict, errors=tuple(translated(each, lang) for each in verdict.errors))


def _json(content: bytes, status: int, lang: str) -> Response:
    headers = {"Content-Language": lang, "Vary": "Accept-Language"}
    return Response(content, status, media_type="application/json", headers=headers)
