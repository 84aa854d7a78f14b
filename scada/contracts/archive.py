"""The write-once archive: every revision of every contract, its evidence and reports, named by SHA-256.

    objects/ab/abcd….pdf     content; never overwritten, never deleted, read-only
    journal.jsonl            the hash chain: which object belongs to which event of which request

An object is on the disk before the journal names it, and the journal names it before the store hears of it. After a
crash between the two, the desk reads the journal and tells the store what it missed. Knows files; does not know PDF.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from scada import hashchain
from scada.hashchain import ChainVerdict, HashChain
from scada.model.contract import Action, ContractEvent
from scada.model.errors import GridScadaError

DOCUMENT = "contract-events"
WITHDRAWN = "withdrawn"


class ArchiveError(GridScadaError):
    """An object is missing, its content is not what its name says, or the disk does not take another."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """Events that happen together or not at all, with their place in the journal and what belongs to the first."""

    sequence: int
    hash: str
    events: tuple[ContractEvent, ...]
    evidence: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ArchiveVerdict:
    """What checking the whole archive found."""

    chain: ChainVerdict
    objects: int
    faults: tuple[str, ...]

    @property
    def intact(self) -> bool:
        """True when the chain holds and every object has the content its name says."""
        return self.chain.intact and not self.faults


class Archive:
    """One writer over the archive's folder. Raises ChainTaken when another process writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._objects = folder / "objects"
        self._objects.mkdir(parents=True, exist_ok=True)
        self._chain = HashChain(folder / "journal.jsonl")

    @property
    def length(self) -> int:
        """How many entries the journal has."""
        return self._chain.length

    @property
    def head(self) -> str:
        """The hash of the journal's last entry: keep it elsewhere to notice a cut end."""
        return self._chain.head

    def put(self, content: bytes, suffix: str) -> str:
        """Store content and return its SHA-256; the same content twice is stored once. Raises ArchiveError."""
        digest = hashlib.sha256(content).hexdigest()
        path = self._path(digest, suffix)
        if not path.exists():
            try:
                _write_once(path, content)
            except OSError as error:
                raise ArchiveError(f"object {digest} cannot be stored: {error.strerror}") from error
        return digest

    def get(self, digest: str, suffix: str) -> bytes:
        """The content with this name. Raises ArchiveError when it is missing or was changed."""
        try:
            content = self._path(digest, suffix).read_bytes()
        except FileNotFoundError:
            raise ArchiveError(f"object {digest} is missing from the archive") from None
        if hashlib.sha256(content).hexdigest() != digest:
            raise ArchiveError(f"object {digest} was changed")
        return content

    def holds(self, digest: str, suffix: str) -> bool:
        """True when there is an object of this name."""
        return self._path(digest, suffix).exists()

    def announce(self, events: Sequence[ContractEvent], evidence: Mapping[str, str]) -> str:
        """Journal events that belong together, before the store is told. Returns the entry's hash.

        ``evidence``: SHA-256 → suffix of what belongs to the first event.
        """
        body = {"events": [_as_json(event) for event in events], "evidence": dict(evidence)}
        return self._chain.append(DOCUMENT, body, events[0].time).hash

    def withdraw(self, announcement: str, now: int) -> None:
        """Journal that the store refused an announcement: it will never be told again."""
        self._chain.append(WITHDRAWN, {"announcement": announcement}, now)

    def announced(self, request: str = "", after: int = 0) -> Iterator[Announcement]:
        """What was announced and not withdrawn, about one request or all, after a number in the journal."""
        entries = [entry for entry in hashchain.entries(self._chain.path) if entry.sequence > after and entry.body]
        withdrawn = {entry.body["announcement"] for entry in entries if entry.body and entry.kind == WITHDRAWN}
        for entry in entries:
            if entry.kind != DOCUMENT or entry.hash in withdrawn or entry.body is None:
                continue
            events = tuple(_event(each) for each in entry.body["events"])
            if not request or any(event.request == request for event in events):
                yield Announcement(entry.sequence, entry.hash, events, entry.body["evidence"])

    @property
    def settled(self) -> int:
        """Up to this number in the journal the store is known to have been told everything; 0 when that was lost."""
        try:
            return int((self.folder / "settled").read_text())
        except (FileNotFoundError, ValueError):  # a machine that lost its power may leave it empty
            return 0

    def settle(self, sequence: int) -> None:
        """Remember how far the store has been told. Raises ArchiveError."""
        fresh = self.folder / "settled.new"
        try:
            fresh.write_text(str(sequence))
            fresh.rename(self.folder / "settled")
        except OSError as error:
            raise ArchiveError(f"{fresh} cannot be written: {error.strerror}") from error

    def verify(self, head: str = "") -> ArchiveVerdict:
        """Check the chain and every object."""
        chain = hashchain.verify(self._chain.path, head)
        faults, count = [], 0
        for path in sorted(self._objects.glob("*/*.*")):
            count += 1
            if hashlib.sha256(path.read_bytes()).hexdigest() != path.stem:
                faults.append(f"object {path.stem} was changed")
        for told in self.announced():
            named = {event.document_sha256: "pdf" for event in told.events if event.document_sha256}
            for digest, suffix in {**named, **told.evidence}.items():
                if not self._path(digest, suffix).exists():
                    faults.append(f"object {digest} of {told.events[0].request} is missing")
        return ArchiveVerdict(chain, count, tuple(faults))

    def close(self) -> None:
        """Let another process write."""
        self._chain.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _path(self, digest: str, suffix: str) -> Path:
        return self._objects / digest[:2] / f"{digest}.{suffix}"


def _as_json(event: ContractEvent) -> dict[str, Any]:
    return {
        "request": event.request,
        "sequence": event.sequence,
        "time": event.time,
        "actor": event.actor,
        "action": event.action.value,
        "document_sha256": event.document_sha256,
        "details": dict(event.details),
    }


def _event(content: Mapping[str, Any]) -> ContractEvent:
    return ContractEvent(**{**content, "action": Action(content["action"])})


def _write_once(path: Path, content: bytes) -> None:
    """On the disk, whole and read-only, or not there at all."""
    path.parent.mkdir(exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o444)
        Path(temporary).rename(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
