"""Tags on devices, bays and stations: inform, block, or leave control to their holder.

Knows tags, their owners and what they forbid. Does not know persons' rights, files or clocks: what is set and removed
is told to it, and what it holds is handed over as plain data.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from scada.control.message import TagKind
from scada.model.addcause import AddCause
from scada.model.switching import Operation, Refusal

_BLOCKING: Final[Mapping[TagKind, AddCause]] = {
    TagKind.CONTROL_INHIBIT: AddCause.BLOCKED_BY_COMMAND,
    TagKind.OUT_OF_SERVICE: AddCause.BLOCKED_BY_MODE,
}


@dataclass(frozen=True, slots=True)
class Tag:
    """One tag. ``id`` is that of the message that set it; ``target`` is ``TN01/471``, ``TN01/471/471.operate``,
    ``TN01/471`` for a bay of that name, or ``TN01`` for the whole station."""

    id: str
    target: str
    kind: TagKind
    owner: str
    text: str
    since: int

    def __str__(self) -> str:
        words = self.kind.replace("_", " ")
        return f"{words} tag of {self.owner} on {self.target}" + (f" ({self.text})" if self.text else "")


class Tags:
    """All tags that are set; any number per device."""

    def __init__(self, tags: Iterable[Tag] = ()) -> None:
        self._tags: dict[str, Tag] = {tag.id: tag for tag in tags}

    def all(self) -> tuple[Tag, ...]:
        """Every tag that is set, the oldest first: the hand-over list of a shift."""
        return tuple(sorted(self._tags.values(), key=lambda tag: tag.since))

    def get(self, tag_id: str) -> Tag | None:
        """The tag with this id, while it is set."""
        return self._tags.get(tag_id)

    def put(self, tag: Tag) -> None:
        """Set a tag, or give it to another owner."""
        self._tags[tag.id] = tag

    def remove(self, tag_id: str) -> None:
        """Take a tag away."""
        self._tags.pop(tag_id, None)

    def on(self, operation: Operation) -> tuple[Tag, ...]:
        """The tags an operation meets: on its target, its bay or its station."""
        places = {
            operation.target,
            operation.station,
            f"{operation.station}/{operation.bay}",
            f"{operation.station}/{operation.bay}/{operation.command}",
        }
        return tuple(tag for tag in self._tags.values() if tag.target in places)

    def refusals(self, operation: Operation, persons: Iterable[str]) -> tuple[Refusal, ...]:
        """What the tags have against it when ``persons`` (requester, approver) want it; one refusal for each tag."""
        found = []
        wanting = set(persons)
        for tag in self.on(operation):
            if tag.kind in _BLOCKING:
                found.append(Refusal(_BLOCKING[tag.kind], f"{operation.target} bears a {tag}"))
            elif tag.kind is TagKind.CONTROL_AUTHORITY and tag.owner not in wanting:
                found.append(
                    Refusal(AddCause.LOCKED_BY_OTHER_CLIENT, f"only {tag.owner} may operate {operation.target}: {tag}")
                )
        return tuple(found)

    def remarks(self, operation: Operation) -> tuple[str, ...]:
        """What caution tags say."""
        return tuple(f"Caution: {tag}" for tag in self.on(operation) if tag.kind is TagKind.CAUTION)
