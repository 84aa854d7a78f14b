"""Setting aside the end of a segment that is no entry: its bytes are kept beside the journal, then taken out of it.

A line that is not whole was being written when the power went: its ``append`` never returned, nothing rested on it, and
a new desk sets it aside by itself. Anything else that is broken is set aside only on a person's signed ``Decision``.
What is left out is told in the first entry of the next segment, which is on the disk before anything is taken out.

Knows bytes and places. Does not know what entries mean.
"""

import fcntl
import hashlib
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from scada.control.authority import Right
from scada.control.gate import LONGEST_LIFE_US, Gate
from scada.control.journal import write_durably
from scada.control.jws import NotSigned, read
from scada.control.proof import Segment
from scada.control.tenure import segment
from scada.model.errors import GridScadaError
from scada.model.switching import Refusal

WHOLE: Final = "the whole province"


class NotSetAside(GridScadaError):
    """Nothing was set aside; the message says why."""


@dataclass(frozen=True, slots=True)
class SetAside:
    """What was left out of ``segment``: everything from ``line`` (from 1) on, which begins after ``offset`` bytes.

    ``by`` is '' when the desk did it by itself; else ``document`` is the person's signed decision.
    """

    segment: int
    line: int
    offset: int
    bytes: int
    sha256: str
    file: str
    by: str = ""
    reason: str = ""
    document: str = ""

    def report(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)


class Piece(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The end of a segment from ``line`` on, to the byte."""

    segment: int
    line: int
    sha256: str


class Decision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person signs: that exactly these pieces are no part of the journal."""

    word: Literal["set aside"]
    pieces: tuple[Piece, ...]
    by: str
    reason: str
    at: int

    @property
    def payload(self) -> bytes:
        """The bytes that are signed."""
        return msgspec.json.encode(self)


def pieces(left: Sequence[Segment]) -> tuple[Piece, ...]:
    """What follows the good entries of each."""
    return tuple(Piece(each.token, each.length + 1, hashlib.sha256(rest(each)).hexdigest()) for each in left)


def keep(found: Segment, decision: Decision | None = None, document: bytes = b"") -> SetAside:
    """Copy everything after the good entries of ``found`` beside it; on the disk when this returns. Raises OSError."""
    content = rest(found)
    digest = hashlib.sha256(content).hexdigest()
    kept = found.path.with_name(f"{found.path.stem}.aside-{digest[:16]}")
    write_durably(kept, content)
    by, reason = ("", "") if decision is None else (decision.by, decision.reason)
    where = (found.token, found.length + 1, found.end, len(content))
    return SetAside(*where, digest, kept.name, by, reason, document.decode())


def rest(found: Segment) -> bytes:
    """What follows the good entries of ``found``."""
    with found.path.open("rb") as file:
        file.seek(found.end)
        return file.read()


def take_out(folder: Path, told: SetAside) -> None:
    """Leave the good entries only, if the bytes still stand where they stood; again and again does no harm."""
    path = segment(folder, told.segment)
    if not path.exists():
        return
    with path.open("r+b") as file:
        file.seek(told.offset)
        if hashlib.sha256(file.read()).hexdigest() == told.sha256:
            file.truncate(told.offset)
            os.fsync(file.fileno())


def is_being_written(path: Path) -> bool:
    """Whether a process has the segment open: it may hang, and finish its line when it wakes."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def decided(document: bytes, left: Sequence[Segment], gate: Gate, now: int) -> Decision:
    """The decision in ``document``, by somebody who may, about these very pieces. Raises NotSetAside."""
    try:
        signed = read(document)
        decision = msgspec.json.decode(signed.payload, type=Decision)
    except (NotSigned, msgspec.MsgspecError) as error:
        raise NotSetAside(f"it is no signed decision about the journal: {error}") from None
    if len(signed.signatures) != 1:
        raise NotSetAside("a decision about the journal bears exactly one signature")
    person = gate.signer(signed, signed.signatures[0], now)
    if isinstance(person, Refusal):
        raise NotSetAside(person.sentence)
    if person.name != decision.by:
        raise NotSetAside(f"the decision says {decision.by}, the signature is {person.name}'s")
    if (refusal := gate.may(person, Right.SET_ASIDE, WHOLE, now)) is not None:
        raise NotSetAside(refusal.sentence)
    if not decision.reason.strip():
        raise NotSetAside("to set a part of the journal aside needs a reason")
    if abs(now - decision.at) > LONGEST_LIFE_US:
        raise NotSetAside("the decision is not of now: it was signed more than ten minutes from our clock")
    if decision.pieces != pieces(left):
        raise NotSetAside("the signature is about other bytes than those at the end of the journal")
    return decision
