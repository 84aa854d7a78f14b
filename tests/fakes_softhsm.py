"""A SoftHSM2 token in a folder of its own, with one key and no network: the seller's token of the tests."""

import os
import subprocess
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


def _run(*arguments: str) -> None:
    subprocess.run(["softhsm2-util", *arguments], check=True, capture_output=True)
