"""What a desk takes over from the one before it: tags, alarms, ids already seen, and commands that never ended.

Knows the kinds of entries that carry this and how they add up. Does not know who writes them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from scada.control.journal import TENURE, body_of, whole_entries
from scada.control.message import TagKind
from scada.control.tags import Tag
from scada.control.tenure import segments
from scada.hashchain import Entry
from scada.model.event import EventKind, EventRecord

RELEASED: Final = "released"
"""The last entry of a desk that ended by itself."""


@dataclass(slots=True)
class OpenCommand:
    """A command without an outcome; ``sent`` when its frame may have left."""

    id: str
    target: str
    action: str
    sent: bool = False


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


def carried_over(folder: Path, token: int) -> Carried:
    """The state the segments before ``token`` lead to. Raises ChainError when the last one cannot be read."""
    for path in reversed([each for each in segments(folder) if int(each.stem) < token]):
        carried = replayed(whole_entries(path))
        if carried.last_time:
            return carried
    return Carried()


def replayed(entries: Iterable[Entry]) -> Carried:
    """The state after ``entries``, which begin with the beginning of a tenure."""
    carried = Carried()
    for entry in entries:
        _apply(carried, entry, body_of(entry))
        carried.last_time = max(carried.last_time, entry.time)
    return carried


def tenure_body(carried: Carried, now: int) -> dict[str, Any]:
    """What the first entry of a segment carries, as plain JSON values."""
    return {
        "tags": [tag_report(tag) for tag in carried.tags.values()],
        "seen": {each: until for each, until in carried.seen.items() if until > now},
        "open": [
            {"id": each.id, "target": each.target, "action": each.action, "sent": each.sent}
            for each in carried.open.values()
        ],
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
    elif kind == "acknowledged":
        carried.alarms.pop(body["id"], None)
    elif kind == RELEASED:
        carried.released = True
    elif kind == "authority":
        carried.authority = body["digest"]
