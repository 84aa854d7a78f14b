"""The local authority's HTTP doors on loopback: revocation lists, OCSP, issuer certificates, time-stamps.

    GET  /crl/NAME.crl   POST /ocsp/NAME   GET /ca/NAME.cer   POST /tsa

Knows HTTP. What is answered, ``ocsp``, ``tsa`` and ``authority`` decide.
"""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn
from cryptography.hazmat.primitives.serialization import Encoding
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from scada.model.ports import Clock
from scada.pki import ocsp, tsa
from scada.pki.folder import LocalPki

Answer = Callable[[str, bytes, int], bytes]


@dataclass(slots=True)
class Doors:
    """What each door answers, given the authority's name, the request and the time. Tests put broken ones in place.

    ``None`` closes a door: it then answers 503, as an overloaded authority does.
    """

    crl: Answer | None
    ocsp: Answer | None
    tsa: Answer | None


def doors(pki: LocalPki) -> Doors:
    """The honest doors of an authority."""
    return Doors(
        crl=lambda name, _, now: pki.authorities[name].crl(now),
        ocsp=lambda name, question, now: ocsp.answer(pki.authorities[name], pki.responders[name], question, now),
        tsa=lambda _, question, now: tsa.answer(pki.time_stamper, question, now),
    )


def application(pki: LocalPki, open_doors: Doors, clock: Clock) -> Starlette:
    """The doors as an ASGI application."""

    async def crl(request: Request) -> Response:
        return _answered(open_doors.crl, request.path_params["name"], b"", clock(), "application/pkix-crl")

    async def ocsp_door(request: Request) -> Response:
        name, question = request.path_params["name"], await request.body()
        return _answered(open_doors.ocsp, name, question, clock(), "application/ocsp-response")

    async def tsa_door(request: Request) -> Response:
        return _answered(open_doors.tsa, "time", await request.body(), clock(), "application/timestamp-reply")

    async def issuer(request: Request) -> Response:
        authority = pki.authorities.get(request.path_params["name"])
        if authority is None:
            return Response(status_code=404)
        return Response(authority.certificate.public_bytes(Encoding.DER), media_type="application/pkix-cert")

    return Starlette(
        routes=[
            Route("/crl/{name}.crl", crl),
            Route("/ocsp/{name}", ocsp_door, methods=["POST"]),
            Route("/ca/{name}.cer", issuer),
            Route("/tsa", tsa_door, methods=["POST"]),
        ]
    )


def listening_socket(port: int = 0) -> socket.socket:
    """A socket on loopback; certificates name its port, so it is bound before they are issued."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(128)
    return listener


def base_url(listener: socket.socket) -> str:
    """The address of a listening socket."""
    host, port = listener.getsockname()
    return f"http://{host}:{port}"


@contextmanager
def served(app: ASGIApp, listener: socket.socket) -> Iterator[None]:
    """Serve an application in a thread while the block lasts."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="pki-servers", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listener.close()


def _answered(answer: Answer | None, name: str, question: bytes, now: int, media_type: str) -> Response:
    if answer is None:
        return Response(status_code=503)
    try:
        return Response(answer(name, question, now), media_type=media_type)
    except KeyError:
        return Response(status_code=404)
