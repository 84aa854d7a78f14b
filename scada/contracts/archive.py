"""The write-once archive: every revision of every contract, its evidence and reports, named by SHA-256.

    objects/ab/abcd….pdf     content; never overwritten, never deleted, read-only
    journal.jsonl            the hash chain: which object belongs to which event of which request

An object is on the disk before the journal names it, and the journal names it before the store hears of it. After a
crash between the two, the desk reads the journal and tells the store what it missed. Knows files; does not know PDF.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from scada import hashchain
from scada.hashchain import ChainVerdict, HashChain
from scada.model.contract import Action, ContractEvent
from scada.model.errors import GridScadaError

DOCUMENT = "contract-event"


class ArchiveError(GridScadaError):
    """An object is missing, or its content is not what its name says."""


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
    """One writer over the archive's folder. Raises ChainError when another process writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._objects = folder / "objects"
        self._objects.mkdir(parents=True, exist_ok=True)
        self._chain = HashChain(folder / "journal.jsonl")

    @property
    def head(self) -> str:
        """The hash of the journal's last entry: keep it elsewhere to notice a cut end."""
        return self._chain.head

    def put(self, content: bytes, suffix: str) -> str:
        """Store content and return its SHA-256; the same content twice is stored once."""
        digest = hashlib.sha256(content).hexdigest()
        path = self._path(digest, suffix)
        if path.exists():
            return digest
        path.parent.mkdir(exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o444)
        Path(temporary).rename(path)
        _sync_folder(path.parent)
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

    def announce(self, event: ContractEvent, evidence: Mapping[str, str]) -> None:
        """Journal an event before the store is told. ``evidence``: SHA-256 → suffix of what belongs to it."""
        body = {
            "request": event.request,
            "sequence": event.sequence,
            "actor": event.actor,
            "action": event.action.value,
            "document_sha256": event.document_sha256,
            "details": dict(event.details),
            "evidence": dict(evidence),
        }
        self._chain.append(DOCUMENT, body, event.time)

    def announced(self, request: str = "") -> Iterator[tuple[ContractEvent, Mapping[str, str]]]:
        """Events in the journal, of one request or of all, with their evidence."""
        for entry in hashchain.entries(self._chain.path):
            if entry.kind == DOCUMENT and entry.body is not None and request in ("", entry.body["request"]):
                yield _event(entry.time, entry.body), entry.body["evidence"]

    def verify(self, head: str = "") -> ArchiveVerdict:
        """Check the chain and every object."""
        chain = hashchain.verify(self._chain.path, head)
        faults, count = [], 0
        for path in sorted(self._objects.glob("*/*.*")):
            count += 1
            if hashlib.sha256(path.read_bytes()).hexdigest() != path.stem:
                faults.append(f"object {path.stem} was changed")
        for event, evidence in self.announced():
            named = {event.document_sha256: "pdf"} if event.document_sha256 else {}
            for digest, suffix in {**named, **evidence}.items():
                if not self._path(digest, suffix).exists():
                    faults.append(f"object {digest} of {event.request} is missing")
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


def _event(time: int, body: Mapping[str, Any]) -> ContractEvent:
    return ContractEvent(
        request=body["request"],
        sequence=body["sequence"],
        time=time,
        actor=body["actor"],
        action=Action(body["action"]),
        document_sha256=body["document_sha256"],
        details=body["details"],
    )


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
