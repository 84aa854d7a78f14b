"""What a desk takes over from the one before it: tags, alarms, ids already seen, and commands that never ended.

A desk continues only a segment it can prove, entry by entry; an end that is no entry is set aside first (``aside``).

Knows the kinds of entries that carry this and how they add up. Does not know who writes them.
"""

import contextlib
import logging
import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from scada.control.aside import Decision, NotSetAside, SetAside, is_being_written, keep, pieces, rest, take_out
from scada.control.gate import is_forgotten
from scada.control.journal import TENURE, Journal, body_of, entry_in, journal_key
from scada.control.message import TagKind, uuid7
from scada.control.proof import Segment, SegmentBroken, set_aside_words
from scada.control.tags import Tag
from scada.control.tenure import Tenure, segments
from scada.hashchain import GENESIS, ChainError, Entry, entry_hash
from scada.model.event import EventKind, EventRecord

RELEASED: Final = "released"
"""The last entry of a desk that ended by itself."""
PROTECTING: Final = frozenset({"received", "execute", "tag", "alarm"})
"""Entries that only add to what stands against an order. A tag or an alarm that was taken off comes back."""
MOST_UNACKNOWLEDGED: Final = 1000
"""Alarms on the list; more than anybody reads. The oldest go."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class OpenCommand:
    """A command without an outcome; ``sent`` when its frame may have left."""

    id: str
    target: str
    action: str
    sent: bool = False
    lost: bool = False
    """Whether the end of its journal was not whole: what became of it may have stood there."""


@dataclass(slots=True)
class Carried:
    """The state at the end of a segment."""

    tags: dict[str, Tag] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    open: dict[str, OpenCommand] = field(default_factory=dict)
    alarms: dict[str, EventRecord] = field(default_factory=dict)
    last_time: int = 0
    authority: str = ""
    released: bool = True
    """Whether control was given up, and not lost with the process."""
    end: Mapping[str, Any] = field(default_factory=lambda: {"token": 0, "sequence": 0, "head": GENESIS})
    """Where the segments before ended."""
    set_aside: tuple[SetAside, ...] = ()
    """What the last tenure began with leaving out."""


class JournalBroken(SegmentBroken):
    """The end of the journal cannot be continued; the message says where and what to do."""

    def __init__(self, fault: SegmentBroken) -> None:
        super().__init__(fault.path, fault.line, fault.why)
        self.args = (
            f"{fault}. No desk continues a journal it cannot prove: compare it with the copy in the historian, then "
            "leave out what is broken with `scada journal set-aside --key K --reason …` (docs/control.md); "
            "it is kept, and told",
        )


def begin(
    folder: Path, tenure: Tenure, now: int, decision: Decision | None = None, document: bytes = b""
) -> tuple[Journal, Carried]:
    """Begin the journal of a tenure where the one before ended; the journal, and what is taken over.

    A last line the power cut short is set aside; with a ``decision``, verified before, whatever else is broken at the
    end. Raises JournalBroken without one, NotSetAside when it is about other bytes, ChainError when nothing can be
    written.
    """
    carried, left = carried_over(folder, tenure.token, forgiving=decision is not None)
    try:
        if decision is not None and decision.pieces != pieces(left):
            raise NotSetAside("the end of the journal is not what the decision is about")
        if any(is_being_written(each.path) for each in left):
            raise NotSetAside("a process still writes to the end of the journal: end it first")
        told = [keep(each, decision, document) for each in left]
        for each in told:
            _tell(carried, each, now)
        who = {"token": tenure.token, "pid": os.getpid(), "host": socket.gethostname()}
        aside = {"set_aside": [each.report() for each in told]} if told else {}
        with contextlib.ExitStack() as failing:
            journal = Journal(folder, tenure, journal_key(folder))
            failing.callback(journal.close, now)
            journal.append(TENURE, {**who, **tenure_body(carried, now), **aside}, now)
            # Now that it is told: also what a desk before told of, and died before it had taken it out.
            for each in (*carried.set_aside, *told):
                take_out(folder, each)
            failing.pop_all()
    except OSError as error:
        raise ChainError(f"the end of the journal cannot be set aside: {error}") from error
    return journal, carried


def _tell(carried: Carried, each: SetAside, now: int) -> None:
    """An alarm: until somebody has seen it, nobody may believe the list of tags to be whole."""
    sentence = f"the end of the journal was not whole and was set aside: {set_aside_words(each.report())}"
    number = uuid7(now, bytes.fromhex(each.sha256[:20]))
    carried.alarms[number] = EventRecord(number, now, EventKind.JOURNAL_INCOMPLETE, "control", sentence)
    log.warning("Alarm: %s: %s", EventKind.JOURNAL_INCOMPLETE, sentence)


def carried_over(folder: Path, token: int, *, forgiving: bool = False) -> tuple[Carried, list[Segment]]:
    """The state the segments before ``token`` lead to, and those whose end is no entry and is to be set aside.

    Raises JournalBroken when there is more than a line cut short, unless ``forgiving``.
    """
    left: list[Segment] = []
    carried = Carried()
    for path in reversed([each for each in segments(folder) if int(each.stem) < token]):
        found, carried = Segment(path), Carried()
        try:
            _replay(carried, found.entries())
        except SegmentBroken as fault:
            if not forgiving:
                raise JournalBroken(fault) from None
        if found.broken or (found.torn and not is_being_written(path)):
            left.append(found)
        if found.length:
            carried.end = {"token": found.token, "sequence": found.length, "head": found.head}
            break
    for each in reversed(left):
        if each.broken:
            _heed(carried, rest(each))
    if any(each.length or each.broken for each in left):
        for command in carried.open.values():
            command.lost = True
    return carried, left


def _replay(carried: Carried, entries: Iterable[Entry]) -> None:
    for entry in entries:
        _apply(carried, entry, body_of(entry))
        carried.last_time = max(carried.last_time, entry.time)


def _heed(carried: Carried, unproven: bytes) -> None:
    """Of lines that prove nothing, take what protects: tags, ids seen, orders that may have left; nothing they undo."""
    for number, line in enumerate(unproven.split(b"\n"), start=1):
        try:
            entry = entry_in(line, number)
            body = body_of(entry)
        except ChainError:
            continue
        genuine = entry.hash == entry_hash(entry.sequence, entry.time, entry.kind, entry.body_sha256, entry.previous)
        if entry.kind in PROTECTING or (entry.kind == "outcome" and genuine):
            with contextlib.suppress(KeyError, TypeError, ValueError):
                _apply(carried, entry, body)


def tenure_body(carried: Carried, now: int) -> dict[str, Any]:
    """What the first entry of a segment carries, as plain JSON values."""
    return {
        "previous": dict(carried.end),
        "tags": [tag_report(tag) for tag in carried.tags.values()],
        "seen": {each: until for each, until in carried.seen.items() if not is_forgotten(until, now)},
        "open": [asdict(each) for each in carried.open.values()],
        "alarms": [asdict(each) for each in carried.alarms.values()],
        "authority": carried.authority,
    }


def tag_report(tag: Tag) -> dict[str, Any]:
    """A tag as plain JSON values."""
    return {
        "id": tag.id,
        "target": tag.target,
        "kind": str(tag.kind),
        "owner": tag.owner,
        "text": tag.text,
        "since": tag.since,
    }


def drop_oldest(alarms: dict[str, EventRecord]) -> EventRecord | None:
    """The alarm that goes because there are too many, or None."""
    return alarms.pop(next(iter(alarms))) if len(alarms) > MOST_UNACKNOWLEDGED else None


def _tag(body: Mapping[str, Any]) -> Tag:
    return Tag(body["id"], body["target"], TagKind(body["kind"]), body["owner"], body["text"], body["since"])


def _event(time: int, kind: str, body: Mapping[str, Any]) -> EventRecord:
    return EventRecord(body["id"], time, EventKind(kind), body["subject"], body["sentence"])


def _apply(carried: Carried, entry: Entry, body: Mapping[str, Any]) -> None:
    kind = entry.kind
    if kind == TENURE:
        carried.tags = {each["id"]: _tag(each) for each in body["tags"]}
        carried.seen = dict(body["seen"])
        carried.open = {each["id"]: OpenCommand(**each) for each in body["open"]}
        # Journals written before alarms had to be acknowledged carry none.
        carried.alarms = {each["id"]: _event(each["time"], each["kind"], each) for each in body.get("alarms", ())}
        carried.released = "alarms" not in body
        carried.authority = body["authority"]
        carried.set_aside = tuple(SetAside(**each) for each in body.get("set_aside", ()))
    elif kind == "received":
        carried.seen[body["id"]] = body["expires"]
        if body["target"] and body["action"]:
            carried.open[body["id"]] = OpenCommand(body["id"], body["target"], body["action"])
    elif kind == "execute" and body["id"] in carried.open:
        carried.open[body["id"]].sent = True
    elif kind == "outcome":
        carried.open.pop(body["id"], None)
    elif kind == "tag":
        carried.tags[body["id"]] = _tag(body)
    elif kind == "untag":
        carried.tags.pop(body["id"], None)
    elif kind == "alarm" and "id" in body:
        carried.alarms[body["id"]] = _event(entry.time, body["event"], body)
        drop_oldest(carried.alarms)
    elif kind == "acknowledged":
        carried.alarms.pop(body["id"], None)
    elif kind == RELEASED:
        carried.released = True
    elif kind == "authority":
        carried.authority = body["digest"]
