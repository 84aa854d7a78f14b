"""An append-only file of entries, each bound to the one before by SHA-256: nothing can be changed, removed, inserted
or re-ordered without it being seen.

    HashChain(path)        opens for writing; ``append`` returns after the entry is on the disk, ``add`` before it is:
                           the next ``append`` or ``flush`` takes along what was added
    entries(path)          reads without judging
    verify(path)           reads and judges: the number of entries and the head, or the first broken one
    sealed(entry)          an entry without its body, for somebody who may not read it but may check the chain

Each line is JSON: ``sequence``, ``time`` (µs since 1970 UTC), ``kind``, ``body``, ``previous`` and ``hash``, where
``hash`` is the SHA-256 over sequence, time, kind, previous and the SHA-256 of the body, all in canonical form (keys
sorted, no blanks). A sealed line has ``body_sha256`` instead of ``body``. Whoever keeps a later head elsewhere (signed,
in the historian, on paper) can also tell when the end was cut off.

Does not know what the entries mean, nor the clock. One writer at a time: the file is locked.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from scada.model.errors import GridScadaError

GENESIS = "0" * 64
"""The hash before the first entry."""


class ChainError(GridScadaError):
    """The chain's file cannot be written to, or is broken at the place told."""


class ChainTaken(ChainError):
    """Another process writes to the chain."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the chain. ``body`` is None when it is sealed; ``body_sha256`` is always that of the body."""

    sequence: int
    time: int
    kind: str
    body: Mapping[str, Any] | None
    previous: str
    hash: str
    body_sha256: str


@dataclass(frozen=True, slots=True)
class ChainVerdict:
    """What verification found: ``entries`` good ones, the ``head`` after them, and the first thing wrong or ''."""

    entries: int
    head: str
    broken: str = ""

    @property
    def intact(self) -> bool:
        """True when every entry follows from the one before."""
        return not self.broken


def body_hash(body: Mapping[str, Any]) -> str:
    """The SHA-256 of a body in canonical form."""
    return _sha256(body)


def entry_hash(sequence: int, time: int, kind: str, body_sha256: str, previous: str) -> str:
    """The hash of an entry, over its canonical form."""
    return _sha256({"body_sha256": body_sha256, "kind": kind, "previous": previous, "sequence": sequence, "time": time})


def _sha256(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def line(entry: Entry) -> str:
    """An entry as it stands in the file."""
    content: dict[str, Any] = {"sequence": entry.sequence, "time": entry.time, "kind": entry.kind}
    content |= {"body_sha256": entry.body_sha256} if entry.body is None else {"body": entry.body}
    content |= {"previous": entry.previous, "hash": entry.hash}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n"


def sealed(entry: Entry) -> Entry:
    """The entry without its body."""
    return replace(entry, body=None)


def entries(path: Path) -> Iterator[Entry]:
    """The entries as they stand. Raises ChainError at a line that is none."""
    with path.open(encoding="utf-8") as lines:
        for number, text in enumerate(lines, start=1):
            yield parsed(text, number)


def verify(path: Path, head: str = "") -> ChainVerdict:
    """Whether every entry follows from the one before and, if ``head`` is given, the chain still holds that hash."""
    previous, count, seen = GENESIS, 0, head in ("", GENESIS)
    if not path.exists():
        return ChainVerdict(0, GENESIS, "" if seen else "the chain is gone")
    try:
        for entry in entries(path):
            if fault := fault_in(entry, count + 1, previous):
                return ChainVerdict(count, previous, fault)
            previous, count = entry.hash, count + 1
            seen = seen or entry.hash == head
    except (ChainError, UnicodeDecodeError) as error:
        return ChainVerdict(count, previous, str(error))
    return ChainVerdict(count, previous, "" if seen else f"entries were cut off after number {count}")


def fault_in(entry: Entry, sequence: int, previous: str) -> str:
    """'' when ``entry`` is number ``sequence``, follows the hash ``previous`` and is as it was written."""
    if entry.sequence != sequence:
        return f"entry {sequence}: numbered {entry.sequence}; an entry was removed, inserted or moved"
    if entry.previous != previous:
        return f"entry {sequence}: does not follow from the entry before it"
    if entry.hash != entry_hash(entry.sequence, entry.time, entry.kind, entry.body_sha256, entry.previous):
        return f"entry {sequence}: its content was changed"
    return ""


class HashChain:
    """The one writer of a chain. A last line cut short by a crash is removed: its ``append`` never returned.

    What the disk refuses is taken back, so that the chain can go on when there is room again. After a flush that failed
    nobody knows what the disk holds: the chain takes nothing more until it is opened anew.
    """

    def __init__(self, path: Path) -> None:
        """Open or create. Raises ChainTaken when another process writes to it, ChainError when it is broken."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = path.open("ab+", buffering=0)
        self._spoilt = ""
        self._all_flushed = True
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise ChainTaken(f"{path} is being written by another process") from error
        self._drop_torn_line()
        verdict = verify(path)
        if not verdict.intact:
            self._file.close()
            raise ChainError(f"{path}: {verdict.broken}")
        self._count, self._head = verdict.entries, verdict.head

    @property
    def length(self) -> int:
        """How many entries there are."""
        return self._count

    @property
    def head(self) -> str:
        """The hash of the last entry."""
        return self._head

    def append(self, kind: str, body: Mapping[str, Any], now: int) -> Entry:
        """Add an entry and return it once it is on the disk. Raises ChainError when the disk refuses it."""
        entry = self.add(kind, body, now)
        self.flush()
        return entry

    def add(self, kind: str, body: Mapping[str, Any], now: int) -> Entry:
        """Add an entry: it outlives this process, but not yet the machine. Raises ChainError."""
        sequence = self._count + 1
        body_sha256 = body_hash(body)
        digest = entry_hash(sequence, now, kind, body_sha256, self._head)
        entry = Entry(sequence, now, kind, body, self._head, digest, body_sha256)
        self._write(line(entry).encode())
        self._count, self._head = sequence, digest
        return entry

    def flush(self) -> None:
        """Return once everything added is on the disk. Raises ChainError."""
        if self._spoilt:
            raise ChainError(self._spoilt)
        if self._all_flushed:
            return
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            self._spoilt = f"{self.path} could not be flushed to the disk: {error.strerror}"
            raise ChainError(self._spoilt) from error
        self._all_flushed = True

    def _write(self, content: bytes) -> None:
        if self._spoilt:
            raise ChainError(self._spoilt)
        length = self._file.seek(0, os.SEEK_END)
        self._all_flushed = False
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._take_back(length)
            raise ChainError(f"{self.path} cannot be written: {error.strerror}") from error

    def _take_back(self, length: int) -> None:
        """Half a line would make what follows look forged."""
        try:
            self._file.truncate(length)
        except OSError as error:
            self._spoilt = f"{self.path} ends with half an entry: {error.strerror}"

    def close(self) -> None:
        """Give the file back."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _drop_torn_line(self) -> None:
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole != len(content):
            self._file.truncate(whole)
            os.fsync(self._file.fileno())


def parsed(text: str, number: int) -> Entry:
    """The entry in a line of the file; ``number`` is for the message. Raises ChainError."""
    try:
        content = json.loads(text)
        body = dict(content["body"]) if "body" in content else None
        return Entry(
            int(content["sequence"]),
            int(content["time"]),
            str(content["kind"]),
            body,
            str(content["previous"]),
            str(content["hash"]),
            str(content["body_sha256"]) if body is None else body_hash(body),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ChainError(f"entry {number}: cannot be read") from error
