"""Setting, removing and handing over tags: who may, and what is written down first.

Knows the rights tags need. Does not know what tags forbid (``tags``).
"""

from dataclasses import dataclass
from typing import Any

from scada.control.authority import Right
from scada.control.checks import Checks
from scada.control.gate import Admitted
from scada.control.message import Message, Wish
from scada.control.recovery import tag_report
from scada.control.tags import Tag
from scada.model.addcause import AddCause
from scada.model.switching import Refusal


@dataclass(frozen=True, slots=True)
class Tagging:
    """Carries out messages about tags."""

    checks: Checks

    def take(self, admitted: Admitted, now: int) -> dict[str, Any] | Refusal:
        message, person = admitted.message, admitted.person
        old = self.checks.tags.get(message.subject)
        target = message.target if message.do is Wish.TAG else old.target if old else ""
        station = target.split("/", 1)[0]
        gate = self.checks.gate(now)
        refusal = gate.may(person, Right.TAG, station, now)
        if message.do is not Wish.TAG and old is None:
            refusal = Refusal(AddCause.NOT_SUPPORTED, f"there is no tag {message.subject}")
        elif message.do is Wish.TAG and not self._is_place(target):
            refusal = Refusal(AddCause.NOT_SUPPORTED, f"nothing here is called {target!r}")
        elif old is not None and old.owner != person.name and refusal is None:
            refusal = gate.may(person, Right.CLEAR_TAGS_OF_OTHERS, station, now)
        elif message.do is Wish.HAND_OVER and message.to not in {each.name for each in gate.table.persons.values()}:
            refusal = Refusal(AddCause.NO_ACCESS_AUTHORITY, f"{message.to} is not in the authority table")
        if refusal is not None:
            return refusal
        return self._put_tag(message, person.name, old, now)

    def _put_tag(self, message: Message, person: str, old: Tag | None, now: int) -> dict[str, Any]:
        if message.do is Wish.UNTAG and old is not None:
            self.checks.journal("untag", {"id": old.id, "by": person, "reason": message.reason})
            self.checks.tags.remove(old.id)
            return {"id": message.id, "removed": tag_report(old)}
        if old is not None:
            tag = Tag(old.id, old.target, old.kind, message.to, old.text, old.since)
        else:
            assert message.tag is not None
            tag = Tag(message.id, message.target, message.tag, person, message.reason, now)
        self.checks.journal("tag", {**tag_report(tag), "by": person})
        self.checks.tags.put(tag)
        return {"id": message.id, "tag": tag_report(tag)}

    def _is_place(self, target: str) -> bool:
        return target in self.checks.parts.controllables or any(
            target == station.code or target in {f"{station.code}/{bay.name}" for bay in station.bays}
            for station in self.checks.parts.stations
        )
