"""A SoftHSM2 token in a folder of its own, with one key and no network: the seller's token of the tests."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from scada.contracts.token import Token
from scada.pki.authority import Identity

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "1234"


@dataclass(frozen=True, slots=True)
class SoftToken:
    """The token, and the folder that holds it: moving the folder away is pulling the token."""

    token: Token
    folder: Path


@contextmanager
def soft_token(folder: Path, identity: Identity, label: str = "seller") -> Iterator[SoftToken]:
    """A token with the identity's key on it, while the block lasts; SOFTHSM2_CONF points to it."""
    tokens = folder / "tokens"
    tokens.mkdir(parents=True)
    conf = folder / "softhsm2.conf"
    conf.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
    before = os.environ.get("SOFTHSM2_CONF")
    os.environ["SOFTHSM2_CONF"] = str(conf)
    try:
        key = folder / "key.pem"
        key.write_bytes(identity.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        _run("--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", PIN)
        _run("--import", str(key), "--token", label, "--label", label, "--id", "01", "--pin", PIN)
        key.unlink()
        yield SoftToken(Token(MODULE, label, label, PIN), tokens)
    finally:
        if before is None:
            del os.environ["SOFTHSM2_CONF"]
        else:
            os.environ["SOFTHSM2_CONF"] = before


CERTIFICATES = """
import pkcs11, sys
token = pkcs11.lib(sys.argv[1]).get_token(token_label=sys.argv[2])
with token.open(rw=True, user_pin=sys.argv[3]) as session:
    for each in sys.argv[4:]:
        session.create_object({
            pkcs11.Attribute.CLASS: pkcs11.ObjectClass.CERTIFICATE,
            pkcs11.Attribute.CERTIFICATE_TYPE: pkcs11.CertificateType.X_509,
            pkcs11.Attribute.TOKEN: True,
            pkcs11.Attribute.SUBJECT: b"",
            pkcs11.Attribute.ID: b"\\x01",
            pkcs11.Attribute.VALUE: bytes.fromhex(each),
        })
"""


def put_certificates(token: Token, identity: Identity) -> None:
    """Put the identity's certificate and its chain on the token; in a process of its own, which the module needs."""
    found = [identity.certificate, *identity.chain]
    values = [each.public_bytes(Encoding.DER).hex() for each in found]
    command = [sys.executable, "-c", CERTIFICATES, str(token.module), token.label, token.pin, *values]
    subprocess.run(command, check=True, capture_output=True)


def _run(*arguments: str) -> None:
    subprocess.run(["softhsm2-util", *arguments], check=True, capture_output=True)
