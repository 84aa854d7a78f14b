"""Judging the journal: every entry stands where and as it was written, or it is told which does not.

Knows segments, how they join, checkpoints, and what was set aside. Does not write, and does not know what entries mean.
"""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from scada.control.journal import CHECKPOINT, TENURE, body_of, checkpoint_text, entry_in
from scada.control.tenure import segments
from scada.hashchain import GENESIS, ChainError, Entry, fault_in


class SegmentBroken(ChainError):
    """A segment holds something that is no entry of its chain; ``line`` is the first such line, from 1."""

    def __init__(self, path: Path, line: int, why: str) -> None:
        super().__init__(f"{path}, line {line}: {why}")
        self.path, self.line, self.why = path, line, why


class Segment:
    """One segment, judged while it is read. ``length``, ``head`` and ``end`` (bytes) are those of the good entries read
    so far; ``torn`` counts the bytes of a last line that is not whole; ``broken`` tells what else ended the reading."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.token = int(path.stem)
        self.length = self.end = self.torn = 0
        self.head = GENESIS
        self.broken = ""

    def entries(self) -> Iterator[Entry]:
        """Every entry, until the first fault. Raises SegmentBroken."""
        with self.path.open("rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    self.torn = len(line)
                    return
                entry = self._judged(line)
                self.length, self.head, self.end = entry.sequence, entry.hash, self.end + len(line)
                yield entry

    def _judged(self, line: bytes) -> Entry:
        number = self.length + 1
        try:
            entry = entry_in(line, number)
            fault = fault_in(entry, number, self.head)
        except ChainError as error:
            fault = str(error)
        if fault:
            self.broken = fault.partition(": ")[2]
            raise SegmentBroken(self.path, number, self.broken)
        return entry


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
    set_aside: tuple[str, ...] = ()
    """Ends of segments that were no entries, taken out and kept, as the segment after tells."""

    @property
    def intact(self) -> bool:
        """True when nothing was changed, removed, inserted or moved."""
        return not self.broken


def verify_journal(folder: Path, key: ec.EllipticCurvePublicKey | None = None) -> JournalVerdict:
    """Judge every entry of every segment, offline; without the public ``key`` checkpoints are not judged."""
    walk = _Walk(key)
    for path in segments(folder):
        try:
            walk.segment(path)
        except SegmentBroken as error:
            return walk.verdict(f"segment {path.stem}, entry {error.line}: {error.why}")
        except ChainError as error:
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
        self._set_aside: list[str] = []

    def segment(self, path: Path) -> None:
        self._segments += 1
        before, before_token = self._sequence_of, self._token
        for entry in Segment(path).entries():
            if entry.sequence == 1:
                self._sequence_of, self._token = {}, int(path.stem)
                self._join(entry, before, before_token)
                self._look_aside(path.parent, body_of(entry))
            elif entry.kind == CHECKPOINT:
                self._check(entry)
            self._head = entry.hash
            self._sequence_of[entry.hash] = entry.sequence
            self._entries += 1

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

    def _look_aside(self, folder: Path, body: Mapping[str, Any]) -> None:
        """What was set aside is still there, to the byte."""
        for each in body.get("set_aside", ()):
            kept = folder / each["file"]
            if not kept.exists():
                raise ChainError(f"entry 1: tells of {each['file']}, which is not there")
            if hashlib.sha256(kept.read_bytes()).hexdigest() != each["sha256"]:
                raise ChainError(f"entry 1: tells of {each['file']}, whose content was changed")
            self._set_aside.append(set_aside_words(each))

    def _check(self, entry: Entry) -> None:
        body = body_of(entry)
        if body["head"] != entry.previous:
            raise ChainError(f"entry {entry.sequence}: signs another entry than the one before it")
        if self._key is not None:
            text = checkpoint_text(self._token, body["head"])
            try:
                self._key.verify(base64.b64decode(body["signature"]), text, ec.ECDSA(hashes.SHA256()))
            except (InvalidSignature, ValueError):
                raise ChainError(f"entry {entry.sequence}: its signature is not this key's") from None
        self._checkpoints += 1

    def verdict(self, broken: str) -> JournalVerdict:
        notes = (tuple(self._late), tuple(self._set_aside))
        return JournalVerdict(self._segments, self._entries, self._checkpoints, self._head, broken, *notes)


def set_aside_words(told: Mapping[str, Any]) -> str:
    """One piece that was set aside, as the first entry of the segment after tells of it."""
    by = f", by {told['by']}: {told['reason']}" if told["by"] else ""
    return f"segment {told['segment']:06d} from line {told['line']}, {told['bytes']} bytes, in {told['file']}{by}"
