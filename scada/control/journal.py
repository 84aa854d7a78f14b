"""The journal: what was asked, decided, sent and seen, in a hash chain, one segment for each tenure.

The first entry of a segment names the last one of the segment before, so the segments form one chain; signed
checkpoints bind it to the desk's key. An entry is on the disk when ``append`` returns, or with the next flush.

Knows how segments and checkpoints are written and read. Does not know how they are judged (``proof``), nor what entries
mean: the few kinds that carry state from one tenure to the next are ``recovery``'s.
"""

import base64
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from scada.control.message import uuid7
from scada.control.tenure import Tenure, segment
from scada.hashchain import ChainError, Entry, HashChain, parsed
from scada.model.ports import Clock

CHECKPOINT_EVERY: Final = 50
TENURE: Final = "tenure"
CHECKPOINT: Final = "checkpoint"

log = logging.getLogger(__name__)


class Journal:
    """The one writer of the segment of its tenure."""

    def __init__(self, folder: Path, tenure: Tenure, key: ec.EllipticCurvePrivateKey) -> None:
        """Open the segment ``take`` created. Raises ChainError."""
        self._chain = HashChain(segment(folder, tenure.token))
        self._key = key
        self._since_checkpoint = 0
        self.token = tenure.token
        self.last_time = 0

    @property
    def head(self) -> str:
        """The hash of the last entry."""
        return self._chain.head

    def append(self, kind: str, body: Mapping[str, Any], now: int) -> Entry:
        """Add an entry; it is on the disk when this returns, with all before it. Raises ChainError."""
        entry = self.add(kind, body, now)
        self._chain.flush()
        return entry

    def flush(self) -> None:
        """Return once every entry is on the disk. Raises ChainError."""
        self._chain.flush()

    def add(self, kind: str, body: Mapping[str, Any], now: int) -> Entry:
        """Add an entry that another will follow at once: it outlives this process, not yet the machine."""
        entry = self._chain.add(kind, body, now)
        self.last_time = max(self.last_time, now)
        self._since_checkpoint += 1
        if self._since_checkpoint >= CHECKPOINT_EVERY:
            self.checkpoint(now)
        return entry

    def checkpoint(self, now: int) -> None:
        """Sign the chain as it stands. Raises ChainError."""
        if self._since_checkpoint == 0:
            return
        signature = self._key.sign(checkpoint_text(self.token, self.head), ec.ECDSA(hashes.SHA256()))
        self._chain.add(CHECKPOINT, {"head": self.head, "signature": base64.b64encode(signature).decode()}, now)
        self._since_checkpoint = 0

    def close(self, now: int) -> None:
        """Sign the end and give the file back; never raises."""
        try:
            self.checkpoint(now)
            self._chain.flush()
        except ChainError as error:
            log.error("The end of the journal is not signed: %s", error)
        finally:
            self._chain.close()


class JournalWriter:
    """The journal as the desk's parts write to it: at the desk's time. ``last_time`` is the latest time written."""

    def __init__(self, journal: Journal, clock: Clock, last_time: int) -> None:
        self._journal = journal
        self._clock = clock
        self._numbers = 0
        self.last_time = last_time

    def __call__(self, kind: str, body: Mapping[str, Any]) -> None:
        """Write an entry; it is on the disk when this returns, with all before it. Raises ChainError."""
        self._journal.append(kind, body, self._now())

    def ahead(self, kind: str, body: Mapping[str, Any]) -> None:
        """Write what the next entry, or ``flush``, takes to the disk. Nothing may leave in between. Raises ChainError.

        A flush takes 1 to 40 ms; on the way to a frame one is enough, right before it.
        """
        self._journal.add(kind, body, self._now())

    def flush(self) -> None:
        """Return once every entry is on the disk. Raises ChainError."""
        self._journal.flush()

    def number(self) -> str:
        """A UUIDv7 nobody has used: its random part is the head of the chain, and a count should that stand still."""
        self._numbers = (self._numbers + 1) % 2**16
        return uuid7(self._clock(), bytes.fromhex(self._journal.head[:16]) + self._numbers.to_bytes(2, "big"))

    def _now(self) -> int:
        now = self._clock()
        self.last_time = max(self.last_time, now)
        return now


def journal_key(folder: Path) -> ec.EllipticCurvePrivateKey:
    """The desk's key, made at the first start; its public half lies beside it in ``journal.pub``. Raises ChainError."""
    path = folder / "journal.key"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        # The private one last and at once: a crash in between leaves no key, and the next start makes another pair.
        write_durably(folder / "journal.pub", public)
        write_durably(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), mode=0o600)
    try:
        loaded = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError) as error:
        raise ChainError(f"{path} cannot be read: {error}") from None
    if not isinstance(loaded, ec.EllipticCurvePrivateKey):
        raise ChainError(f"{path} is no ECDSA key")
    return loaded


def write_durably(path: Path, content: bytes, *, mode: int = 0o640) -> None:
    """The whole file or none, whatever happens meanwhile, and on the disk when this returns. Raises OSError."""
    scratch = path.with_name(f"{path.name}.new")
    scratch.unlink(missing_ok=True)
    with os.fdopen(os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def public_key(path: Path) -> ec.EllipticCurvePublicKey:
    """The public key in a PEM file. Raises ChainError."""
    try:
        loaded = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ChainError(f"{path} cannot be read: {error}") from None
    if not isinstance(loaded, ec.EllipticCurvePublicKey):
        raise ChainError(f"{path} is no ECDSA key")
    return loaded


def whole_entries(path: Path) -> Iterator[Entry]:
    """The entries of a segment somebody may still be writing to: a last line that is not whole yet is left out.

    Raises ChainError at a line that is none.
    """
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.endswith(b"\n"):
                return
            yield entry_in(line, number)


def entry_in(line: bytes, number: int) -> Entry:
    """The entry in line ``number`` of a segment. Raises ChainError."""
    try:
        return parsed(line.decode(), number)
    except UnicodeDecodeError:
        raise ChainError(f"entry {number}: cannot be read") from None


def body_of(entry: Entry) -> Mapping[str, Any]:
    """The body of an entry of ours. Raises ChainError for a sealed one: the journal has none."""
    if entry.body is None:
        raise ChainError(f"entry {entry.sequence}: its content was taken away")
    return entry.body


def checkpoint_text(token: int, head: str) -> bytes:
    """What a checkpoint signs."""
    return f"gridscada journal {token} {head}".encode()
