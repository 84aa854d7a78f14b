"""Telemetry on disk while the database is away: append-only segment files, read back in order.

Knows files and their damage. Does not know the database; whoever replays a record says when it is stored.

    folder/lock                 held by the process that uses the folder
    folder/0000000001.spool     records, oldest first; deleted when all its records are stored
    folder/0000000001.damaged   kept for inspection instead, when part of it could not be read

A record is magic, length and CRC-32 of what follows, source, sequence and time of offering, then the rows as they are
in memory. It is on the disk (fsync) when ``append`` returns. A record torn by a crash fails its CRC and is cut off; the
rows in it were never reported as spooled.
"""

import fcntl
import logging
import os
import struct
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from scada.model.errors import SpoolError
from scada.model.sample import SAMPLE, SampleArray

log = logging.getLogger(__name__)

_MAGIC = b"GSP1"
_HEAD = struct.Struct("<4sII")  # magic, length and CRC-32 of the rest
_BODY = struct.Struct("<qqH")  # sequence, offered_at, bytes of source

SEGMENT_BYTES = 16 * 2**20
"""Small enough to be read at once, and given back to the disk soon after its records are stored."""


@dataclass(frozen=True, slots=True)
class SpooledBatch:
    """A batch of telemetry with the name under which it is stored once; offered_at: µs, of its oldest row."""

    source: str
    sequence: int
    offered_at: int
    rows: SampleArray


@dataclass(slots=True)
class _Segment:
    path: Path
    rows: int = 0
    bytes: int = 0
    offered_at: int = 0
    damaged: bool = False


@dataclass(slots=True)
class SegmentScan:
    """What a segment's bytes hold; end: where the last readable record ends."""

    records: list[SpooledBatch] = field(default_factory=list)
    damaged_bytes: int = 0
    end: int = 0


def pack(batch: SpooledBatch) -> bytes:
    """The bytes of one record."""
    source = batch.source.encode()
    body = _BODY.pack(batch.sequence, batch.offered_at, len(source)) + source + batch.rows.tobytes()
    return _HEAD.pack(_MAGIC, len(body), zlib.crc32(body)) + body


def scan(content: bytes, rows: np.dtype[np.void] = SAMPLE) -> SegmentScan:
    """All whole records of a segment, their rows of dtype ``rows``.

    Damage between records is stepped over, a torn tail is left after ``end``.
    """
    found = SegmentScan()
    position = 0
    while (start := content.find(_MAGIC, position)) >= 0:
        body = _body_at(content, start)
        if body is None:
            position = start + 1
            continue
        found.damaged_bytes += start - found.end
        found.records.append(_unpack(body, rows))
        position = found.end = start + _HEAD.size + len(body)
    return found


def _body_at(content: bytes, start: int) -> bytes | None:
    if len(content) - start < _HEAD.size + _BODY.size:
        return None
    _, length, crc = _HEAD.unpack_from(content, start)
    body = content[start + _HEAD.size : start + _HEAD.size + length]
    whole = len(body) == length and length >= _BODY.size and zlib.crc32(body) == crc
    return body if whole else None


def _unpack(body: bytes, dtype: np.dtype[np.void]) -> SpooledBatch:
    sequence, offered_at, source_length = _BODY.unpack_from(body)
    source = body[_BODY.size : _BODY.size + source_length].decode()
    rows = np.frombuffer(body[_BODY.size + source_length :], dtype=dtype)
    return SpooledBatch(source, sequence, offered_at, rows)


class Spool:
    """The spool of one process. Not for several threads at once.

    Opening reads what an earlier run left, cuts torn tails and raises SpoolError when the folder cannot be used.
    ``limit_bytes`` bounds the files; an append beyond it is refused. ``rows`` is the dtype of what is spooled.
    """

    def __init__(
        self,
        folder: Path,
        *,
        limit_bytes: int,
        segment_bytes: int = SEGMENT_BYTES,
        rows: np.dtype[np.void] = SAMPLE,
    ) -> None:
        self._folder = folder
        self._dtype = rows
        self._limit_bytes = limit_bytes
        self._segment_bytes = segment_bytes
        self._segments: deque[_Segment] = deque()
        self._next_number = 1
        self._writing: int | None = None
        self._reading: deque[SpooledBatch] = deque()
        self.lost_rows = 0
        """Rows that were written and could not be read back."""
        with _disk(f"the spool folder {folder} cannot be used"):
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                self._take_lock()
                self._recover()
            except BaseException:
                os.close(self._lock)
                raise

    @property
    def rows(self) -> int:
        """Rows spooled and not yet stored."""
        return sum(segment.rows for segment in self._segments)

    @property
    def bytes(self) -> int:
        """Size of the files."""
        return sum(segment.bytes for segment in self._segments)

    @property
    def oldest_offered_at(self) -> int | None:
        """When the oldest spooled row was offered, µs; None when the spool is empty."""
        return self._segments[0].offered_at if self._segments else None

    def append(self, batch: SpooledBatch) -> None:
        """Write one batch; it is on the disk on return. Raises SpoolError; then nothing of it is in the spool."""
        record = pack(batch)
        if self.bytes + len(record) > self._limit_bytes:
            raise SpoolError(f"the spool {self._folder} is full: {self.bytes / 2**20:.0f} MiB")
        with _disk(f"the spool {self._folder} cannot be written"):
            segment = self._segment_for(batch)
            descriptor = self._writing
            assert descriptor is not None
            try:
                _write_whole(descriptor, record)
                os.fsync(descriptor)
            except OSError:
                self._undo(segment)
                raise
        segment.bytes += len(record)
        segment.rows += len(batch.rows)
        if segment.bytes >= self._segment_bytes:
            self._seal()

    def oldest(self) -> SpooledBatch | None:
        """The oldest batch that is not stored yet; None when there is none. Raises SpoolError."""
        while not self._reading and self._segments:
            segment = self._segments[0]
            if self._writing is not None and len(self._segments) == 1:
                self._seal()
            with _disk(f"{segment.path} cannot be read"):
                found = scan(segment.path.read_bytes(), self._dtype)
            self._reading.extend(found.records)
            self._note_damage(segment, found)
            if not self._reading:
                self._remove_oldest_segment()
        return self._reading[0] if self._reading else None

    def stored(self) -> None:
        """The batch ``oldest`` gave is stored: forget it. Raises SpoolError when its file cannot be removed."""
        batch = self._reading.popleft()
        self._segments[0].rows -= len(batch.rows)
        if self._reading:
            self._segments[0].offered_at = self._reading[0].offered_at
        else:
            self._remove_oldest_segment()

    def close(self) -> None:
        """Leave what is spooled, and only that, to the next run."""
        self._seal()
        try:
            self._trim_oldest()
        except OSError as error:
            log.warning("Spool %s: stored batches stay in it and will be recognised: %s", self._folder, error)
        os.close(self._lock)

    def _trim_oldest(self) -> None:
        """Rewrite a segment some of whose records are stored, so that the next run does not count them again."""
        if not self._reading or self._segments[0].damaged:
            return
        path = self._segments[0].path
        part = path.with_suffix(".part")
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            for batch in self._reading:
                _write_whole(descriptor, pack(batch))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        part.rename(path)
        _sync_folder(self._folder)

    def _take_lock(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SpoolError(f"the spool {self._folder} is in use by another process") from error

    def _recover(self) -> None:
        for leftover in self._folder.glob("*.part"):
            leftover.unlink()
        for path in sorted(self._folder.glob("*.spool")):
            self._next_number = int(path.stem) + 1
            content = path.read_bytes()
            found = scan(content, self._dtype)
            torn = len(content) - found.end
            if torn:
                log.warning(
                    "Spool %s: %d bytes of a torn record cut off after %d whole ones",
                    path.name,
                    torn,
                    len(found.records),
                )
                os.truncate(path, found.end)
            if found.damaged_bytes:
                log.error(
                    "Spool %s: %d bytes between records are damaged; kept as .damaged", path.name, found.damaged_bytes
                )
            rows = sum(len(record.rows) for record in found.records)
            oldest = found.records[0].offered_at if found.records else 0
            self._segments.append(_Segment(path, rows, found.end, oldest, damaged=found.damaged_bytes > 0))
            if not found.records:
                self._segments.pop()
                path.unlink()

    def _note_damage(self, segment: _Segment, found: SegmentScan) -> None:
        lost = segment.rows - sum(len(record.rows) for record in found.records)
        if lost:
            log.error("Spool %s: %d rows cannot be read back; kept as .damaged", segment.path.name, lost)
            self.lost_rows += lost
            segment.rows -= lost
            segment.damaged = True

    def _segment_for(self, batch: SpooledBatch) -> _Segment:
        if self._writing is None:
            path = self._folder / f"{self._next_number:010d}.spool"
            self._writing = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
            self._next_number += 1
            self._segments.append(_Segment(path, offered_at=batch.offered_at))
            _sync_folder(self._folder)
        return self._segments[-1]

    def _undo(self, segment: _Segment) -> None:
        """Cut what a failed append has left; where even that fails, the record's CRC does not fit anyway."""
        descriptor = self._writing
        try:
            if descriptor is not None:
                os.ftruncate(descriptor, segment.bytes)
        except OSError:
            log.warning("Spool %s: the rest of a failed record stays in the file", segment.path.name)
        if segment.bytes == 0:
            self._seal()
            self._segments.pop()
            segment.path.unlink(missing_ok=True)

    def _seal(self) -> None:
        if self._writing is not None:
            os.close(self._writing)
            self._writing = None

    def _remove_oldest_segment(self) -> None:
        segment = self._segments.popleft()
        with _disk(f"{segment.path} cannot be removed; its batches are stored and will be recognised"):
            if segment.damaged:
                segment.path.rename(segment.path.with_suffix(".damaged"))
            else:
                segment.path.unlink()


@contextmanager
def _disk(sentence: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SpoolError(f"{sentence}: {error.strerror or error}") from error


def _write_whole(descriptor: int, record: bytes) -> None:
    """os.write may write less than asked, for example the last bytes a disk has."""
    rest = memoryview(record)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _sync_folder(folder: Path) -> None:
    """A new file survives a power failure only when its folder's entry is on the disk as well."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
