"""Keys people sign with: a PKCS#12 file, or a token behind PKCS#11 where the key stays.

Knows both kinds of files. Does not know what is signed.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pkcs11
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass

from scada.control.jws import LocalSigner, Signer
from scada.model.errors import GridScadaError


class KeyUnusable(GridScadaError):
    """The key cannot be used for signing; the message says why."""


def file_signer(path: Path, passphrase: str) -> LocalSigner:
    """The key in a PKCS#12 file. Raises KeyUnusable."""
    try:
        key, certificate, others = pkcs12.load_key_and_certificates(path.read_bytes(), passphrase.encode())
    except OSError as error:
        raise KeyUnusable(f"{path}: {error.strerror}") from None
    except ValueError:
        raise KeyUnusable(f"{path} cannot be opened: wrong passphrase, or no PKCS#12 file") from None
    if (
        not isinstance(key, ec.EllipticCurvePrivateKey)
        or not isinstance(key.curve, ec.SECP256R1)
        or certificate is None
    ):
        raise KeyUnusable(f"{path} holds no P-256 key with its certificate")
    return LocalSigner(key, [certificate, *without_roots(others)])


class TokenSigner:
    """A key on a token. ``chain`` comes from the token too; ``close`` ends the session."""

    def __init__(self, library: Path, token_label: str, pin: str, key_label: str = "") -> None:
        """Open a session. Raises KeyUnusable."""
        try:
            token = pkcs11.lib(str(library)).get_token(token_label=token_label)
            self._session = token.open(user_pin=pin)
            wanted: dict[Attribute, Any] = {Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.KEY_TYPE: KeyType.EC}
            if key_label:
                wanted[Attribute.LABEL] = key_label
            self._key: Any = next(iter(self._session.get_objects(wanted)), None)
            found = self._session.get_objects({Attribute.CLASS: ObjectClass.CERTIFICATE})
            certificates = [x509.load_der_x509_certificate(each[Attribute.VALUE]) for each in found]
        except (pkcs11.PKCS11Error, RuntimeError, ValueError) as error:
            raise KeyUnusable(f"token {token_label!r}: {str(error) or type(error).__name__}") from None
        if self._key is None:
            raise KeyUnusable(f"token {token_label!r} holds no ECDSA key")
        self.chain: Sequence[x509.Certificate] = tuple(leaf_first(without_roots(certificates)))
        if not self.chain:
            raise KeyUnusable(f"token {token_label!r} holds no certificate")

    def sign(self, content: bytes) -> bytes:
        """r and s, 32 bytes each: what CKM_ECDSA gives for the digest (PKCS#11 v2.40, 2.3.1)."""
        assert self._key is not None
        signature: bytes = self._key.sign(hashlib.sha256(content).digest(), mechanism=Mechanism.ECDSA)
        return signature

    def close(self) -> None:
        """End the session."""
        self._session.close()


def without_roots(certificates: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """Those that were not issued by themselves: whoever verifies has its own root."""
    return [each for each in certificates if each.subject != each.issuer]


def leaf_first(certificates: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """The signer's certificate first: the one that issued none of the others."""
    issuers = {each.issuer for each in certificates}
    return sorted(certificates, key=lambda each: each.subject in issuers)


def common_name(signer: Signer) -> str:
    """How the signer's certificate names its owner."""
    named = signer.chain[0].subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(named[0].value) if named else ""
