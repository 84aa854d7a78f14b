"""Who is in control: one desk at a time, numbered by a fencing token that only grows.

The token is the number of the desk's segment of the journal. Taking control is creating the next segment's file, which
exactly one process can do; whoever sees a segment with a higher number than its own has lost control for ever. A
heartbeat file tells standbys that the holder lives.

Knows files, tokens and intervals. Does not know what is done with control. Time is monotonic seconds, an argument.
"""

import json
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HEARTBEAT_S: Final = 0.5
SILENT_S: Final = 3.0
"""A holder whose heartbeat stood still for so long is taken for dead: with the poll below, control passes in < 5 s."""
OWN_LIMIT_S: Final = 1.5
"""A holder whose last beat is older renews before it operates, and operates nothing when it cannot."""
POLL_S: Final = 0.25

Monotonic = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What the holder writes down."""

    token: int
    pid: int
    host: str
    beat: int


class Tenure:
    """One process's time in control, from ``take`` until somebody else takes it."""

    def __init__(self, folder: Path, token: int, monotonic: Monotonic) -> None:
        self.token = token
        self._folder = folder
        self._monotonic = monotonic
        self._next = segment(folder, token + 1)
        self._beat = 0
        self._renewed = monotonic()
        self._lost = False

    def why_not(self) -> str:
        """'' while we are in control, else the sentence. Asked right before every frame: costs 3 µs."""
        if self._lost or self._next.exists():
            self._lost = True
            return self._taken_over()
        if self._monotonic() - self._renewed > OWN_LIMIT_S:
            # A busy event loop beats late. Whoever would take over must see a beat, or have taken over already.
            try:
                self.renew()
            except OSError as error:
                return f"this desk cannot renew its control: {error.strerror}"
        return self._taken_over()

    def _taken_over(self) -> str:
        return f"another desk has taken control (token {self.token} is no longer the highest)" if self._lost else ""

    @property
    def lost(self) -> bool:
        """True once somebody else has taken control."""
        return self._lost

    def renew(self) -> bool:
        """Say that we live; False when control is lost. Call it every ``HEARTBEAT_S``. Raises OSError."""
        if self._lost or self._next.exists():
            self._lost = True
            return False
        self._beat += 1
        beat = Heartbeat(self.token, os.getpid(), socket.gethostname(), self._beat)
        scratch = self._folder / f"active.{self.token}.new"
        scratch.write_text(json.dumps({name: getattr(beat, name) for name in Heartbeat.__slots__}), encoding="utf-8")
        scratch.replace(self._folder / "active.json")
        self._renewed = self._monotonic()
        return True

    def release(self) -> None:
        """Tell successors that they need not wait; one there is already goes on beating."""
        if not (self._lost or self._next.exists()):
            (self._folder / "active.json").unlink(missing_ok=True)


class Watch:
    """What a process sees that waits for control."""

    def __init__(self, folder: Path, monotonic: Monotonic) -> None:
        self._folder = folder
        self._monotonic = monotonic
        self._seen: Heartbeat | None = None
        self._since = monotonic()

    def holder(self) -> Heartbeat | None:
        """Who is in control and alive, or None when control may be taken."""
        beat = read_heartbeat(self._folder)
        if beat is None:
            return None
        if beat != self._seen:
            self._seen, self._since = beat, self._monotonic()
        if _is_dead(beat) or self._monotonic() - self._since > SILENT_S:
            return None
        return beat


def take(folder: Path, monotonic: Monotonic) -> Tenure | None:
    """Take control, or None when another process was faster. Raises OSError when the folder cannot be written."""
    (folder / "journal").mkdir(parents=True, exist_ok=True)
    token = last_token(folder) + 1
    try:
        os.close(os.open(segment(folder, token), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640))
    except FileExistsError:
        return None
    tenure = Tenure(folder, token, monotonic)
    return tenure if tenure.renew() else None


def segment(folder: Path, token: int) -> Path:
    """The journal's file of one tenure."""
    return folder / "journal" / f"{token:06d}.jsonl"


def segments(folder: Path) -> list[Path]:
    """All files of the journal, in order."""
    return sorted((folder / "journal").glob("[0-9]*.jsonl"))


def last_token(folder: Path) -> int:
    """The highest token given, 0 before the first."""
    found = segments(folder)
    return int(found[-1].stem) if found else 0


def read_heartbeat(folder: Path) -> Heartbeat | None:
    """What the holder wrote last, or None."""
    try:
        return Heartbeat(**json.loads((folder / "active.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _is_dead(beat: Heartbeat) -> bool:
    """Whether the holder's process certainly ended: only to be known on the same machine."""
    if beat.host != socket.gethostname():
        return False
    try:
        os.kill(beat.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
