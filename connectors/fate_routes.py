"""Routes of fates, for the gateway: what became of an agency's own records, one by one or many at once.

Unlike the pages beside them they ask who asks. What is known is answered in full or not at all: where a worker is away
the answer is 503 with Retry-After.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, TypeVar

import msgspec
import orjson
from fastapi import APIRouter, Query
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from connectors.bodies import body_of
from connectors.callers import Callers
from connectors.error_pages import spoken
from connectors.fate_docs import described
from connectors.fates import Asker, Fate, Fates, Missing
from connectors.problems import STATUS, explained, problem
from connectors.quotas import OverQuota, Quotas
from schemas.contracts import FAMILIES
from schemas.errors import Refused, Unavailable

RECORDS, RECEIPTS = "/v1/records", "/v1/receipts"

MOST = 100
"""Records or receipts of one question."""

_AGAIN = 503
_BODY_BYTES, _BODY_SECS = 64 * 1024, 10.0
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class _Asked(msgspec.Struct, forbid_unknown_fields=True):
    record_no: _Text
    family: str | None = None


class _Records(msgspec.Struct, forbid_unknown_fields=True):
    records: Annotated[list[_Asked], msgspec.Meta(max_length=MOST)]


class _Receipts(msgspec.Struct, forbid_unknown_fields=True):
    receipts: Annotated[list[_Text], msgspec.Meta(max_length=MOST)]


_Question = TypeVar("_Question")


_read_records = msgspec.json.Decoder(_Records).decode
_read_receipts = msgspec.json.Decoder(_Receipts).decode


class _Wrong(Exception):
    """A question that cannot be answered, by the code of its problem."""


_Reply = Callable[[Asker], Awaitable[Any]]


class FateRoutes:
    """The four routes."""

    def __init__(self, fates: Fates, callers: Callers, quotas: Quotas) -> None:
        """`callers` and `quotas` are the gateway's: a question counts as a request under way, and as no event."""
        self._fates = fates
        self._callers = callers
        self._quotas = quotas
        self.router = APIRouter(tags=["fates"])
        for path, method, endpoint in (
            (f"{RECORDS}/{{record_no:path}}", "GET", self.record),
            (RECORDS, "POST", self.records),
            (f"{RECEIPTS}/{{receipt}}", "GET", self.receipt),
            (RECEIPTS, "POST", self.receipts),
        ):
            self.router.add_api_route(path, endpoint, methods=[method], **described(path, method, MOST))

    async def record(
        self,
        request: Request,
        record_no: str,
        *,
        family: Annotated[str | None, Query(description="Family of the report; else all that you may report.")] = None,
    ) -> Response:
        """Say what became of one of your records."""

        async def reply(asker: Asker) -> Any:
            _check_family(family)
            (found,) = await self._fates.of_records(asker, [(record_no, family)])
            if isinstance(found, Missing):
                raise _Wrong("record-unsettled" if found.behind else "unknown-record")
            return {"record_no": record_no, "records": found}

        return await self._answer(request, reply)

    async def records(self, request: Request) -> Response:
        """Say what became of several of your records, in the order asked."""

        async def reply(asker: Asker) -> Any:
            asked = (await _body(request, _read_records)).records
            for each in asked:
                _check_family(each.family)
            names = [(each.record_no, each.family) for each in asked]
            found = await self._fates.of_records(asker, names)
            return {
                "answers": [
                    {"record_no": number, "family": family, **_records(each, asker.lang)}
                    for (number, family), each in zip(names, found, strict=True)
                ]
            }

        return await self._answer(request, reply)

    async def receipt(self, request: Request, receipt: str) -> Response:
        """Say what became of the version that a receipt was given for, and of its record."""

        async def reply(asker: Asker) -> Any:
            (found,) = await self._fates.of_receipts(asker, [receipt])
            if found is None:
                raise _Wrong("unknown-receipt")
            return found

        return await self._answer(request, reply)

    async def receipts(self, request: Request) -> Response:
        """Say the same of several receipts, in the order asked."""

        async def reply(asker: Asker) -> Any:
            asked = (await _body(request, _read_receipts)).receipts
            found = await self._fates.of_receipts(asker, asked)
            return {
                "answers": [
                    {"receipt": text, "fate": each, "error": None if each else _error("unknown-receipt", asker.lang)}
                    for text, each in zip(asked, found, strict=True)
                ]
            }

        return await self._answer(request, reply)

    async def _answer(self, request: Request, reply: _Reply) -> Response:
        lang = spoken(request)
        agency = self._callers.agency(request)
        if agency is None:
            return problem("unauthorised", lang=lang, headers={"WWW-Authenticate": "X-API-Key"})
        try:
            with self._quotas.request(agency):
                content = orjson.dumps(await reply(Asker(agency, lang)))
        except (OverQuota, Unavailable) as wait:
            code = wait.code if isinstance(wait, OverQuota) else "fates-away"
            return problem(code, lang=lang, headers=_after(wait.retry_after_secs))
        except _Wrong as wrong:
            return problem(str(wrong), lang=lang, headers=_after(1) if STATUS[str(wrong)] == _AGAIN else None)
        headers = {"Content-Language": lang, "Vary": "Accept-Language", "Cache-Control": "no-store"}
        return Response(content, media_type="application/json", headers=headers)


async def _body(request: Request, read: Callable[[bytes], _Question]) -> _Question:
    try:
        return read(await body_of(request, _BODY_BYTES, _BODY_SECS))
    except Refused as refused:
        raise _Wrong(refused.code if refused.code in STATUS else "bad-question") from None
    except TimeoutError:
        raise _Wrong("too-slow") from None
    except ClientDisconnect:
        raise _Wrong("bad-request") from None
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise _Wrong("bad-question") from None


def _check_family(family: str | None) -> None:
    if family is not None and family not in FAMILIES:
        raise _Wrong("unknown-family")


def _records(found: list[Fate] | Missing, lang: str) -> Mapping[str, Any]:
    if isinstance(found, Missing):
        return {"records": [], "error": _error("record-unsettled" if found.behind else "unknown-record", lang)}
    return {"records": found, "error": None}


def _error(code: str, lang: str) -> dict[str, str]:
    return {"code": code, "text": explained(code, lang)}


def _after(secs: int) -> dict[str, str]:
    return {"Retry-After": str(secs)}
