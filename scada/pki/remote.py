"""A remote signing service of the Cloud Signature Consortium API, version 1, for demonstrations and tests.

    POST /csc/v1/credentials/info · credentials/authorize · signatures/signHash

It holds keys of sample persons in memory and signs a hash once it was authorised with the person's PIN. Knows the
three calls a signing application needs, and no more.
"""

import base64
import secrets
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import Encoding
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from scada.pki.authority import Identity

ECDSA_SHA256 = "1.2.840.10045.4.3.2"


@dataclass(slots=True)
class Credential:
    """A person's key at the service, with the PIN that authorises it."""

    identity: Identity
    access_token: str
    pin: str


@dataclass(slots=True)
class RemoteSigning:
    """The service: credentials by name, and authorisations not yet used."""

    credentials: dict[str, Credential]
    authorised: dict[str, tuple[str, frozenset[str]]] = field(default_factory=dict)

    def application(self) -> Starlette:
        """The service as an ASGI application."""
        calls = {
            "credentials/info": self._info,
            "credentials/authorize": self._authorize,
            "signatures/signHash": self._sign_hash,
        }
        return Starlette(routes=[Route(f"/csc/v1/{path}", call, methods=["POST"]) for path, call in calls.items()])

    async def _info(self, request: Request) -> JSONResponse:
        credential, _ = await self._asked(request)
        if credential is None:
            return _refused("invalid_request", 401)
        chain = [credential.identity.certificate, *credential.identity.chain]
        certificates = [base64.b64encode(each.public_bytes(Encoding.DER)).decode() for each in chain]
        return JSONResponse(
            {
                "key": {"status": "enabled", "algo": [ECDSA_SHA256], "len": 256},
                "cert": {"status": "valid", "certificates": certificates},
                "authMode": "explicit",
                "SCAL": "2",
                "PIN": {"presence": "true"},
                "multisign": 100,
            }
        )

    async def _authorize(self, request: Request) -> JSONResponse:
        credential, body = await self._asked(request)
        if credential is None or body.get("PIN") != credential.pin:
            return _refused("invalid_pin", 400)
        activation = secrets.token_urlsafe(24)
        self.authorised[activation] = (body["credentialID"], frozenset(body.get("hash", ())))
        return JSONResponse({"SAD": activation, "expiresIn": 300})

    async def _sign_hash(self, request: Request) -> JSONResponse:
        credential, body = await self._asked(request)
        name, authorised = self.authorised.pop(str(body.get("SAD")), ("", frozenset()))
        if credential is None or name != body.get("credentialID") or not authorised.issuperset(body["hash"]):
            return _refused("invalid_request", 400)
        key = credential.identity.key
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        algorithm = ec.ECDSA(utils.Prehashed(hashes.SHA256()))
        signed = [key.sign(base64.b64decode(each), algorithm) for each in body["hash"]]
        return JSONResponse({"signatures": [base64.b64encode(each).decode() for each in signed]})

    async def _asked(self, request: Request) -> tuple[Credential | None, dict[str, Any]]:
        body = await request.json()
        credential = self.credentials.get(body.get("credentialID", ""))
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        return (credential if credential is not None and token == credential.access_token else None), body


def _refused(error: str, status: int) -> JSONResponse:
    return JSONResponse({"error": error}, status_code=status)
