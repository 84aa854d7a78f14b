"""The journal: what was asked, decided, sent and seen, in a hash chain, one segment for each tenure.

The first entry of a segment names the last one of the segment before, so the segments form one chain; signed
checkpoints bind it to the desk's key. An entry is on the disk when ``append`` returns, or with the next flush.

Knows segments, checkpoints and how to judge them. Does not know what entries mean, except for the few kinds that carry
state from one tenure to the next (``recovery``).
"""

import base64
import logging
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
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
from scada.control.tenure import Tenure, segment, segments
from scada.hashchain import GENESIS, ChainError, Entry, HashChain, fault_in, parsed
from scada.model.ports import Clock

CHECKPOINT_EVERY: Final = 50
TENURE: Final = "tenure"
CHECKPOINT: Final = "checkpoint"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class JournalVerdict:
    """What verification found. ``broken`` is '' when every entry stands where and as it was written."""

    segments: int
    entries: int
    checkpoints: int
    head: str
    broken: str = ""
    late: tuple[str, ...] = ()
    """Entries a desk wrote after another had taken control: genuine, but without authority to send anything."""

    @property
    def intact(self) -> bool:
        """True when nothing was changed, removed, inserted or moved."""
        return not self.broken


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
        signature = self._key.sign(_checkpoint_text(self.token, self.head), ec.ECDSA(hashes.SHA256()))
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
        """A UUIDv7 nobody has used: its random part is the head of the chain."""
        return uuid7(self._clock(), bytes.fromhex(self._journal.head[:20]))

    def _now(self) -> int:
        now = self._clock()
        self.last_time = max(self.last_time, now)
        return now


def journal_key(folder: Path) -> ec.EllipticCurvePrivateKey:
    """The desk's key, made at the first start; its public half lies beside it in ``journal.pub``."""
    path = folder / "journal.key"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        path.touch(mode=0o600)
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (folder / "journal.pub").write_bytes(public)
    loaded = load_pem_private_key(path.read_bytes(), None)
    if not isinstance(loaded, ec.EllipticCurvePrivateKey):
        raise ChainError(f"{path} is no ECDSA key")
    return loaded


def public_key(path: Path) -> ec.EllipticCurvePublicKey:
    """The public key in a PEM file. Raises ChainError."""
    try:
        loaded = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ChainError(f"{path} cannot be read: {error}") from None
    if not isinstance(loaded, ec.EllipticCurvePublicKey):
        raise ChainError(f"{path} is no ECDSA key")
    return loaded


def previous_end(folder: Path, token: int) -> dict[str, Any]:
    """Where the segments before ``token`` ended, for the first entry of the next."""
    for path in reversed([each for each in segments(folder) if int(each.stem) < token]):
        if last := deque(whole_entries(path), maxlen=1):
            return {"token": int(path.stem), "sequence": last[0].sequence, "head": last[0].hash}
    return {"token": 0, "sequence": 0, "head": GENESIS}


def whole_entries(path: Path) -> Iterator[Entry]:
    """The entries of a segment somebody may still be writing to: a last line that is not whole yet is left out."""
    with path.open("rb") as lines:
        number = 0
        for number, line in enumerate(lines, start=1):
            if not line.endswith(b"\n"):
                return
            yield parsed(line.decode(), number)


def verify_journal(folder: Path, key: ec.EllipticCurvePublicKey | None = None) -> JournalVerdict:
    """Judge every entry of every segment, offline; without the public ``key`` checkpoints are not judged."""
    walk = _Walk(key)
    for path in segments(folder):
        try:
            walk.segment(path)
        except (ChainError, UnicodeDecodeError) as error:
            return walk.verdict(f"segment {path.stem}, {error}")
    return walk.verdict("")


class _Walk:
    """One pass over the segments."""

    def __init__(self, key: ec.EllipticCurvePublicKey | None) -> None:
        self._key = key
        self._segments = 0
        self._entries = 0
        self._checkpoints = 0
        self._head = GENESIS
        self._token = 0
        self._sequence_of: dict[str, int] = {GENESIS: 0}
        self._late: list[str] = []

    def segment(self, path: Path) -> None:
        self._segments += 1
        if next(whole_entries(path), None) is None:
            # A desk that died before its first entry was whole.
            return
        before, before_token = self._sequence_of, self._token
        self._sequence_of, self._token = {}, int(path.stem)
        previous = GENESIS
        for count, entry in enumerate(whole_entries(path), start=1):
            if fault := fault_in(entry, count, previous):
                raise ChainError(fault)
            self._judge(entry, before, before_token)
            previous = self._head = entry.hash
            self._sequence_of[entry.hash] = count
            self._entries += 1

    def _judge(self, entry: Entry, before: Mapping[str, int], before_token: int) -> None:
        if entry.sequence == 1:
            self._join(entry, before, before_token)
        elif entry.kind == CHECKPOINT:
            self._check(entry)

    def _join(self, entry: Entry, before: Mapping[str, int], before_token: int) -> None:
        if entry.kind != TENURE:
            raise ChainError("entry 1: is no beginning of a tenure; the beginning was removed")
        said = body_of(entry)["previous"]
        if said["token"] != before_token and said["sequence"]:
            raise ChainError(f"entry 1: follows segment {said['token']:06d}, which is not there")
        if said["token"] != before_token or (said["head"] not in before and said["sequence"]):
            raise ChainError(
                f"entry 1: segment {before_token:06d} does not hold the entry it follows; its end was cut off"
            )
        last = len(before)
        if said["sequence"] and last > said["sequence"]:
            self._late.append(f"segment {before_token:06d}: entries {said['sequence'] + 1} to {last}")

    def _check(self, entry: Entry) -> None:
        body = body_of(entry)
        if body["head"] != entry.previous:
            raise ChainError(f"entry {entry.sequence}: signs another entry than the one before it")
        if self._key is not None:
            text = _checkpoint_text(self._token, body["head"])
            try:
                self._key.verify(base64.b64decode(body["signature"]), text, ec.ECDSA(hashes.SHA256()))
            except (InvalidSignature, ValueError):
                raise ChainError(f"entry {entry.sequence}: its signature is not this key's") from None
        self._checkpoints += 1

    def verdict(self, broken: str) -> JournalVerdict:
        return JournalVerdict(self._segments, self._entries, self._checkpoints, self._head, broken, tuple(self._late))


def body_of(entry: Entry) -> Mapping[str, Any]:
    """The body of an entry of ours. Raises ChainError for a sealed one: the journal has none."""
    if entry.body is None:
        raise ChainError(f"entry {entry.sequence}: its content was taken away")
    return entry.body


def _checkpoint_text(token: int, head: str) -> bytes:
    return f"gridscada journal {token} {head}".encode()
