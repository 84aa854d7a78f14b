"""JSON Web Signatures in general serialisation (RFC 7515, 7.2.1) with ES256 (RFC 7518, 3.4): several over one payload.

Knows bytes, keys and certificates (header ``x5c``, RFC 7515, 4.1.6). Does not know what is signed, whom to trust or the
time. Only ES256 is accepted, whatever a header says. A signer is one method, so that a key may stay on its token; the
JOSE libraries want the key itself.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding

from scada.model.errors import GridScadaError

ALGORITHM = "ES256"
HALF = 32
"""Bytes of each of the two numbers of a signature (RFC 7518, 3.4)."""
MOST_BYTES = 64 * 1024
MOST_SIGNATURES = 4
MOST_CERTIFICATES = 6


class NotSigned(GridScadaError):
    """The bytes are no signed document; the message says why."""


class Signer(Protocol):
    """Whoever holds a private key, in a file or on a token."""

    @property
    def chain(self) -> Sequence[x509.Certificate]:
        """The signer's certificate, then its issuers without the root."""
        ...

    def sign(self, content: bytes) -> bytes:
        """The ECDSA P-256 SHA-256 signature of ``content``: r and s, 32 bytes each."""
        ...


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature. ``protected`` are the exact characters that were signed together with the payload."""

    protected: str
    value: bytes
    chain: tuple[x509.Certificate, ...]

    @property
    def certificate(self) -> x509.Certificate:
        """The signer's own certificate."""
        return self.chain[0]


@dataclass(frozen=True, slots=True)
class SignedDocument:
    """A payload, to the byte, and who signed it."""

    payload: bytes
    signatures: tuple[Signature, ...]


class LocalSigner:
    """A signer with its key in memory."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, chain: Sequence[x509.Certificate]) -> None:
        self._key = key
        self.chain = tuple(chain)

    def sign(self, content: bytes) -> bytes:
        return raw_signature(self._key.sign(content, ec.ECDSA(hashes.SHA256())))


def sign(payload: bytes, signer: Signer) -> bytes:
    """A document with one signature over ``payload``."""
    return _written(payload, [_signed(payload, signer)])


def countersign(document: bytes, signer: Signer) -> bytes:
    """The same document with one signature more, over the same payload. Raises NotSigned."""
    fields = _fields(document)
    return _written(_bytes(fields.payload, "payload"), [*fields.signatures, _signed_text(fields.payload, signer)])


def read(document: bytes) -> SignedDocument:
    """What the document holds; nothing is verified yet. Raises NotSigned."""
    fields = _fields(document)
    payload = _bytes(fields.payload, "payload")
    if not 1 <= len(fields.signatures) <= MOST_SIGNATURES:
        raise NotSigned(f"{len(fields.signatures)} signatures; 1 to {MOST_SIGNATURES} are accepted")
    return SignedDocument(payload, tuple(_signature(each) for each in fields.signatures))


def is_valid(payload: bytes, signature: Signature) -> bool:
    """Whether the signature is the certificate's key over exactly this payload: intact and valid, not yet trusted."""
    key = signature.certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        return False
    if len(signature.value) != 2 * HALF:
        return False
    r, s = (int.from_bytes(half, "big") for half in (signature.value[:HALF], signature.value[HALF:]))
    content = f"{signature.protected}.{_text(payload)}".encode()
    try:
        key.verify(encode_dss_signature(r, s), content, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def raw_signature(der: bytes) -> bytes:
    """r and s, 32 bytes each, of a DER signature."""
    r, s = decode_dss_signature(der)
    return r.to_bytes(HALF, "big") + s.to_bytes(HALF, "big")


class _SignatureFields(msgspec.Struct, forbid_unknown_fields=True):
    protected: str
    signature: str


class _Fields(msgspec.Struct, forbid_unknown_fields=True):
    payload: str
    signatures: list[_SignatureFields]


class _Header(msgspec.Struct, forbid_unknown_fields=True):
    """``crit`` and every other header we would have to understand are refused by being unknown."""

    alg: str
    x5c: list[str]
    typ: str = ""


def _fields(document: bytes) -> _Fields:
    if len(document) > MOST_BYTES:
        raise NotSigned(f"{len(document)} bytes; at most {MOST_BYTES} are accepted")
    try:
        return msgspec.json.decode(document, type=_Fields)
    except msgspec.MsgspecError as error:
        raise NotSigned(f"is no JWS in general serialisation: {error}") from None


def _signature(fields: _SignatureFields) -> Signature:
    try:
        header = msgspec.json.decode(_bytes(fields.protected, "protected header"), type=_Header)
    except msgspec.MsgspecError as error:
        raise NotSigned(f"its protected header cannot be used: {error}") from None
    if header.alg != ALGORITHM:
        raise NotSigned(f"it is signed with {header.alg!r}; only {ALGORITHM} is accepted")
    if not 1 <= len(header.x5c) <= MOST_CERTIFICATES:
        raise NotSigned(f"{len(header.x5c)} certificates; 1 to {MOST_CERTIFICATES} are accepted")
    try:
        chain = tuple(x509.load_der_x509_certificate(base64.b64decode(each, validate=True)) for each in header.x5c)
    except ValueError as error:
        raise NotSigned(f"its certificate cannot be read: {error}") from None
    return Signature(fields.protected, _bytes(fields.signature, "signature"), chain)


def _signed(payload: bytes, signer: Signer) -> _SignatureFields:
    return _signed_text(_text(payload), signer)


def _signed_text(payload: str, signer: Signer) -> _SignatureFields:
    certificates = [base64.b64encode(each.public_bytes(Encoding.DER)).decode() for each in signer.chain]
    header: dict[str, Any] = {"alg": ALGORITHM, "typ": "JOSE+JSON", "x5c": certificates}
    protected = _text(msgspec.json.encode(header))
    return _SignatureFields(protected, _text(signer.sign(f"{protected}.{payload}".encode())))


def _written(payload: bytes, signatures: Sequence[_SignatureFields]) -> bytes:
    return msgspec.json.encode(_Fields(_text(payload), list(signatures)))


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _bytes(text: str, what: str) -> bytes:
    """Base64url without padding, and in one spelling only: another spelling of the same bytes is a changed document."""
    try:
        content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise NotSigned(f"its {what} is not base64url") from None
    if _text(content) != text:
        raise NotSigned(f"its {what} is not base64url as it should be written")
    return content
