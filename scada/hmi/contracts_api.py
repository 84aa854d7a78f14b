"""The contract desk's door over HTTP, with its description (OpenAPI 3.1).

    public    GET  …/verify/NUMBER (page)   POST …/verify (a file → the verdict)   GET …/openapi.json
    clerks    GET  … (list) · …/NUMBER · …/NUMBER/document     POST … (new) · …/NUMBER/ACTION
    billing   GET  …/valid/POINT?at=µs      GET …/unbound?at=µs

Knows HTTP and JSON. Who asks is told by ``actor_of``; without a name everything but the public part answers 401.
Does not decide anything: that is the desk's.
"""

import asyncio
import hmac
import html
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from scada.contracts.desk import ContractDesk
from scada.contracts.execution import Execution
from scada.contracts.layout import BUYER_FIELD, SELLER_FIELD
from scada.contracts.reasons import NotAccepted
from scada.contracts.request import ActionRefused, SupplyRequest
from scada.contracts.verdict import as_json, finding_json, sentences
from scada.contracts.verify import verify
from scada.hmi.contracts_openapi import description
from scada.model.contract import Action, Customer, MeterInstallation, RequestKind, State, Supply
from scada.model.errors import GridScadaError, StoreRejected, StoreUnavailable

log = logging.getLogger(__name__)

PREFIX = "/api/v1/contracts"
JSON_LIMIT = 64 * 1024
VERIFICATIONS = 2
"""Files of the public that are verified at the same time; others wait."""

ActorOf = Callable[[Request], str]
"""The name of the person or service that asks, '' for nobody. Raises NotAllowed for one who may not ask for this."""


class NotAllowed(Exception):
    """Who asks is known, and may not ask for this."""


def bearer(tokens: Mapping[str, str]) -> ActorOf:
    """Actors by their access token (token → name), compared without telling how much of it was right."""

    def actor_of(request: Request) -> str:
        given = request.headers.get("authorization", "").removeprefix("Bearer ").encode()
        named = [name for token, name in tokens.items() if hmac.compare_digest(token.encode(), given)]
        return named[0] if named else ""

    return actor_of


def contract_routes(desk: ContractDesk, execution: Execution, actor_of: ActorOf) -> list[BaseRoute]:
    """The routes, to be mounted into an application; ``GET {PREFIX}/openapi.json`` describes them."""
    door = _Door(desk, execution, actor_of)
    return [
        Route(f"{PREFIX}/openapi.json", _described),
        Route(f"{PREFIX}/verify", door.verify, methods=["POST"]),
        Route(f"{PREFIX}/verify/{{number}}", door.page),
        Route(f"{PREFIX}/valid/{{point:path}}", door.valid),
        Route(f"{PREFIX}/unbound", door.unbound),
        Route(PREFIX, door.list, methods=["GET"]),
        Route(PREFIX, door.new, methods=["POST"]),
        Route(f"{PREFIX}/{{number}}", door.show),
        Route(f"{PREFIX}/{{number}}/document", door.document),
        Route(f"{PREFIX}/{{number}}/upload", door.upload, methods=["POST"]),
        Route(f"{PREFIX}/{{number}}/{{action}}", door.act, methods=["POST"]),
    ]


async def _described(_: Request) -> Response:
    return _answer(description(PREFIX))


class _TooLarge(Exception):
    """The body is longer than what is allowed; it was not read to its end."""


class _Door:
    def __init__(self, desk: ContractDesk, execution: Execution, actor_of: ActorOf) -> None:
        self._desk, self._execution, self._actor_of = desk, execution, actor_of
        self._limit = desk.settings.rules.upload_limit_kib * 1024
        self._verifications = asyncio.Semaphore(VERIFICATIONS)

    async def verify(self, request: Request) -> Response:
        try:
            content = await _body(request, self._limit)
        except _TooLarge:
            return _answer({"error": f"a file has at most {self._limit} bytes"}, 413)
        async with self._verifications:
            # 0.3 s of computing for an honest file, more for a hostile one: not on the loop that serves the others.
            holders = {BUYER_FIELD: "", SELLER_FIELD: self._desk.seller.identity}
            judged = verify(content, self._desk.trust, self._desk.clock(), holders=holders)
            verdict = await asyncio.to_thread(asyncio.run, judged)
        archived = await asyncio.to_thread(self._is_archived, verdict.sha256)
        return _answer({**as_json(verdict), "sentences": sentences(verdict), "in_our_archive": archived})

    async def page(self, request: Request) -> Response:
        """Tells only the state and the document's hash: whoever holds the contract knows the rest."""
        number = request.path_params["number"]
        try:
            known = await self._desk.request(number)
        except StoreUnavailable:
            return HTMLResponse(_PAGE.format(number=html.escape(number), state="?", sha256="?", prefix=PREFIX), 503)
        except ActionRefused:
            return HTMLResponse(_PAGE.format(number=html.escape(number), state="–", sha256="–", prefix=PREFIX), 404)
        state, digest = known.state.value, known.document_sha256 or "–"
        return HTMLResponse(_PAGE.format(number=html.escape(number), state=state, sha256=digest, prefix=PREFIX))

    async def list(self, request: Request) -> Response:
        async def work(_: str) -> Any:
            states = tuple(State(each) for each in request.query_params.getlist("state"))
            rows = await asyncio.to_thread(self._desk.store.records, states)
            return [asdict(row) for row in rows]

        return await self._answered(request, work)

    async def show(self, request: Request) -> Response:
        async def work(_: str) -> Any:
            number = request.path_params["number"]
            history = [asdict(event) for event in await self._desk.history(number)]
            return {**self._as_json(await self._desk.request(number)), "history": history}

        return await self._answered(request, work)

    async def document(self, request: Request) -> Response:
        async def work(_: str) -> Any:
            known = await self._desk.request(request.path_params["number"])
            return Response(self._desk.document(known), media_type="application/pdf")

        return await self._answered(request, work)

    async def new(self, request: Request) -> Response:
        async def work(actor: str) -> Any:
            asked = msgspec.json.decode(await _body(request, JSON_LIMIT), type=_Application)
            return self._as_json(await self._desk.apply(asked.customer, asked.supply, actor))

        return await self._answered(request, work)

    async def upload(self, request: Request) -> Response:
        async def work(actor: str) -> Any:
            content = await _body(request, self._limit)
            return self._as_json(await self._execution.upload(request.path_params["number"], content, actor))

        return await self._answered(request, work)

    async def act(self, request: Request) -> Response:
        async def work(actor: str) -> Any:
            body = await _body(request, JSON_LIMIT)
            action = Action(request.path_params["action"])
            return self._as_json(await self._moved(request.path_params["number"], action, actor, body or b"{}"))

        return await self._answered(request, work)

    async def valid(self, request: Request) -> Response:
        async def work(_: str) -> Any:
            at = int(request.query_params.get("at", self._desk.clock()))
            row = await self._desk.valid_contract(request.path_params["point"], at)
            return None if row is None else asdict(row)

        return await self._answered(request, work)

    async def unbound(self, request: Request) -> Response:
        async def work(_: str) -> Any:
            at = int(request.query_params.get("at", self._desk.clock()))
            return list(await asyncio.to_thread(self._desk.store.points_without_contract, at))

        return await self._answered(request, work)

    async def _moved(self, number: str, action: Action, actor: str, body: bytes) -> SupplyRequest:
        desk = self._desk
        match action:
            case Action.PREPARE:
                asked = msgspec.json.decode(body, type=_Preparation)
                return await self._execution.prepare(number, actor, asked.effective_from)
            case Action.SIGN_SELLER:
                return await self._execution.sign_as_seller(number, actor)
            case Action.INSTALL_METER:
                return await desk.install_meter(number, msgspec.json.decode(body, type=MeterInstallation), actor)
            case Action.ACTIVATE:
                return await desk.activate(number, actor)
            case Action.AMEND | Action.TERMINATE:
                change = msgspec.json.decode(body, type=_Change)
                kind = RequestKind.AMENDMENT if action is Action.AMEND else RequestKind.TERMINATION
                new = {"tariff_class": change.tariff_class, "customer_name": change.customer_name}
                return await desk.change(number, kind, actor, **new)
            case Action.SURVEY | Action.OFFER | Action.ENERGISE | Action.REJECT:
                return await desk.act(number, action, actor, msgspec.json.decode(body, type=dict[str, Any]))
            case _:
                raise ActionRefused(f"{action} is not asked for here")

    async def _answered(self, request: Request, work: Callable[[str], Awaitable[Any]]) -> Response:
        try:
            actor = self._actor_of(request)
        except NotAllowed as refusal:
            return _answer({"error": str(refusal)}, 403)
        if not actor:
            return _answer({"error": "who asks is not known"}, 401)
        try:
            answer = await work(actor)
        except _TooLarge:
            return _answer({"error": "the body is too large"}, 413)
        except NotAccepted as refusal:
            findings = [finding_json(each) for each in refusal.findings]
            return _answer({"error": str(refusal), "findings": findings, "waits": refusal.waits}, 422)
        except (ActionRefused, StoreRejected) as error:
            return _answer({"error": str(error)}, 409)
        except StoreUnavailable as error:
            return _answer({"error": str(error)}, 503)
        except GridScadaError as error:
            log.error("Contracts: %s %s failed: %s", request.method, request.url.path, error)
            return _answer({"error": str(error)}, 500)
        except (ValueError, OverflowError, RecursionError) as error:
            return _answer({"error": str(error)}, 400)
        return answer if isinstance(answer, Response) else _answer(answer)

    def _as_json(self, request: SupplyRequest) -> dict[str, Any]:
        end = self._desk.deadline(request)
        clock = {
            "due": end.day.isoformat(),
            "working_days_left": self._desk.days_left(end),
            "provisional": end.provisional,
            "unconfirmed": end.unconfirmed,
        }
        return {**asdict(request), "clock": clock}

    def _is_archived(self, digest: str) -> bool:
        return self._desk.archive.holds(digest, "pdf")


class _Application(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a new request."""

    customer: Customer
    supply: Supply


class _Preparation(msgspec.Struct, forbid_unknown_fields=True):
    """The body of ``prepare``."""

    effective_from: int | None = None


class _Change(msgspec.Struct, forbid_unknown_fields=True):
    """The body of ``amend`` and ``terminate``."""

    tariff_class: str = ""
    customer_name: str = ""


async def _body(request: Request, limit: int) -> bytes:
    """The body, read no further than ``limit``. Raises _TooLarge."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise _TooLarge
        parts.append(part)
    return b"".join(parts)


def _answer(content: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")


_PAGE = """<!doctype html><html lang="vi"><meta charset="utf-8"><title>{number}</title>
<style>body{{font:16px/1.5 sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem}}
code{{word-break:break-all}}</style>
<h1>{number}</h1>
<p>Trạng thái / <i>State</i>: <b>{state}</b></p>
<p>SHA-256 của văn bản / <i>of the document</i>: <code>{sha256}</code></p>
<p>Chọn tệp PDF để kiểm tra. <i>Choose the PDF to verify.</i></p>
<input type="file" accept="application/pdf" id="f"><pre id="o" style="white-space:pre-wrap"></pre>
<script>
document.getElementById("f").onchange = async e => {{
  const r = await fetch("{prefix}/verify", {{method: "POST", body: e.target.files[0]}});
  const v = await r.json();
  document.getElementById("o").textContent = v.sentences ? v.sentences.join("\\n") : v.error;
}};
</script></html>"""
