"""Where a signing key can be: a PKCS#12 file, a token's process, a remote signing service.

Each function gives a pyHanko signer: one that can sign a digest and knows its certificate. Does not know PDF.
ECDSA signs as it is; RSA always with PSS (Circular on digital signatures asks for it; pyHanko's default is not).
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from asn1crypto import algos, x509
from cryptography.hazmat.primitives import hashes
from pyhanko.sign import SimpleSigner
from pyhanko.sign.general import SigningError
from pyhanko.sign.signers.csc_signer import (
    CSCAuthorizationInfo,
    CSCAuthorizationManager,
    CSCCredentialInfo,
    CSCServiceSessionInfo,
    CSCSigner,
    fetch_certs_in_csc_credential,
)
from pyhanko.sign.signers.pdf_cms import Signer
from pyhanko_certvalidator.registry import SimpleCertificateStore

from scada.contracts.reasons import Finding, NotAccepted, Reason, told_by
from scada.contracts.token import PSS_SALT, TokenProcess


class KeyFileError(ValueError):
    """The PKCS#12 file cannot be opened: damaged, or another passphrase."""


def key_file(content: bytes, passphrase: str) -> SimpleSigner:
    """The signer of a PKCS#12 file's bytes. Raises KeyFileError."""
    signer: SimpleSigner | None = SimpleSigner.load_pkcs12_data(content, (), passphrase.encode())
    if signer is None:
        raise KeyFileError("the key file cannot be opened: wrong passphrase, or no PKCS#12 file")
    signer.prefer_pss, signer.embed_roots = True, False
    return signer


DRY_RUN_SIZE = 512
"""No ECDSA or RSA signature up to 4096 bit is longer; room in the file is reserved by it."""


_PSS = algos.SignedDigestAlgorithm(
    {
        "algorithm": "rsassa_pss",
        "parameters": {
            "hash_algorithm": {"algorithm": "sha256"},
            "mask_gen_algorithm": {"algorithm": "mgf1", "parameters": {"algorithm": "sha256"}},
            "salt_length": PSS_SALT,
        },
    }
)
"""RFC 4055 3.1: the salt as long as the digest. The library would take the longest that fits, tokens do not."""


class TokenSigner(Signer):
    """Signs through a token's process; the key never leaves the token."""

    def __init__(
        self, process: TokenProcess, certificate: x509.Certificate, others: Sequence[x509.Certificate]
    ) -> None:
        store = SimpleCertificateStore()
        store.register_multiple(others)
        super().__init__(
            prefer_pss=True,
            embed_roots=False,
            signing_cert=certificate,
            cert_registry=store,
            signature_mechanism=_PSS if certificate.public_key.algorithm == "rsa" else None,
        )
        self._process = process

    async def async_sign_raw(self, data: bytes, digest_algorithm: str, dry_run: bool = False) -> bytes:  # noqa: FBT001 - signature given by pyHanko's class
        """The raw signature over ``data``; ``dry_run`` asks only for its size."""
        if dry_run:
            return bytes(DRY_RUN_SIZE)
        if digest_algorithm != "sha256":
            raise SigningError(f"the token signs SHA-256 only, not {digest_algorithm}")
        digest = hashes.Hash(hashes.SHA256())
        digest.update(data)
        return await self._process.sign(digest.finalize())

    def get_signature_mechanism_for_digest(self, digest_algorithm: str | None) -> algos.SignedDigestAlgorithm:
        """Always with SHA-256."""
        return super().get_signature_mechanism_for_digest(digest_algorithm or "sha256")


@dataclass(frozen=True, slots=True)
class RemoteCredential:
    """A person's credential at a remote signing service (Cloud Signature Consortium API, version 1)."""

    service_url: str
    credential_id: str
    access_token: str
    pin: str = ""


@asynccontextmanager
async def remote(credential: RemoteCredential, limit_s: float) -> AsyncIterator[CSCSigner]:
    """A signer at a remote signing service, while the block lasts. Raises NotAccepted."""
    session_info = CSCServiceSessionInfo(
        credential.service_url, credential.credential_id, oauth_token=credential.access_token
    )
    timeout = aiohttp.ClientTimeout(total=limit_s)
    async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as session:
        try:
            info = await fetch_certs_in_csc_credential(session, session_info)
        except (SigningError, aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise NotAccepted(Finding(Reason.REMOTE_SIGNING_FAILED, told_by(error))) from error
        manager = _PinAuthorization(session_info, info, session, credential.pin)
        yield CSCSigner(session, manager, prefer_pss=True, embed_roots=False, sign_timeout=int(limit_s))


class _PinAuthorization(CSCAuthorizationManager):
    """Asks the service to authorise exactly the hash that is to be signed."""

    def __init__(
        self, session_info: CSCServiceSessionInfo, info: CSCCredentialInfo, session: aiohttp.ClientSession, pin: str
    ) -> None:
        super().__init__(session_info, info)
        self._session, self._pin = session, pin

    async def authorize_signature(self, hash_b64s: list[str]) -> CSCAuthorizationInfo:
        """The activation data for ``hash_b64s``."""
        request = self.format_csc_auth_request(num_signatures=len(hash_b64s), pin=self._pin, hash_b64s=hash_b64s)
        url = self.csc_session_info.endpoint_url("credentials/authorize")
        try:
            async with self._session.post(url, headers=self.auth_headers, json=request, raise_for_status=True) as reply:
                return self.parse_csc_auth_response(await reply.json())
        except (aiohttp.ClientError, TimeoutError, ValueError, TypeError) as error:
            raise SigningError(f"the remote service did not authorise the signature: {told_by(error)}") from error
