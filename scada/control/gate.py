"""The gate of messages: signed, intact, trusted, by somebody we know, fresh and never seen before.

Knows signatures, trust, the authority table and the ids already seen. Does not know devices, positions or tags. Every
answer is either who signed what, or a refusal with its cause and a sentence. ``now`` is µs since 1970 UTC.
"""

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Final

from scada.control.authority import AuthorityTable, Person, Right
from scada.control.jws import NotSigned, Signature, SignedDocument, is_valid, read
from scada.control.message import US, Message, NotAMessage, Wish, read_message
from scada.control.trust import Trust, fingerprint
from scada.model.addcause import AddCause
from scada.model.switching import Refusal

LONGEST_LIFE_US: Final = 600 * US
"""No message may hold longer than ten minutes; ids are remembered for as long as a message could still be fresh."""
CLOCK_TOLERANCE_US: Final = 2 * US
"""How far the signer's clock may run ahead of ours. A clock that is behind only makes messages older than they are."""
FORGOTTEN_AFTER_US: Final = 60 * US
"""How long past its message's time an id is remembered: set back a little, our clock makes the message fresh again."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """A message that is genuine, fresh and new; ``person`` signed it. Its rights are judged by what it is about."""

    message: Message
    person: Person
    document: SignedDocument


@dataclass(frozen=True, slots=True)
class Gate:
    """What the gate knows at one moment. ``seen`` maps message id to when the message expires."""

    trust: Trust | None
    table: AuthorityTable
    seen: MutableMapping[str, int]

    def admit(self, document: bytes, now: int) -> Admitted | Refusal:
        """The message in ``document`` and its signer, or the refusal. Does not mark it as seen."""
        try:
            signed = read(document)
            message = read_message(signed.payload)
        except NotSigned as error:
            return Refusal(AddCause.NO_ACCESS_AUTHORITY, f"the document is not signed as it must be: {error}")
        except NotAMessage as error:
            return Refusal(AddCause.INCONSISTENT_PARAMETERS, f"the signed content is no command: {error}")
        if len(signed.signatures) != 1:
            return Refusal(AddCause.INCONSISTENT_PARAMETERS, "a new message bears exactly one signature")
        person = self.signer(signed, signed.signatures[0], now)
        if isinstance(person, Refusal):
            return person
        if person.name != message.originator:
            sentence = f"the message says {message.originator}, the signature is {person.name}'s"
            return Refusal(AddCause.NO_ACCESS_AUTHORITY, sentence)
        refusal = freshness(message, now) or self._seen_before(message)
        return refusal or Admitted(message, person, signed)

    def signer(self, signed: SignedDocument, signature: Signature, now: int) -> Person | Refusal:
        """Whose signature this is: intact and valid, then trusted, then known."""
        if not is_valid(signed.payload, signature):
            return Refusal(
                AddCause.NO_ACCESS_AUTHORITY,
                "the signature does not fit the content: a byte was changed, or another key signed",
            )
        if self.trust is None:
            return Refusal(AddCause.NO_ACCESS_AUTHORITY, "no authority is trusted here: nobody may operate")
        if why := self.trust.why_not(signature.chain, now):
            return Refusal(AddCause.NO_ACCESS_AUTHORITY, why)
        person = self.table.person(fingerprint(signature.certificate))
        if person is None:
            name = signature.certificate.subject.rfc4514_string()
            return Refusal(AddCause.NO_ACCESS_AUTHORITY, f"{name} is not in the authority table")
        return person

    def may(self, person: Person, right: Right, station: str, now: int) -> Refusal | None:
        """None when the person has the right at the station now."""
        why = self.table.why_not(person, right, station, now)
        return Refusal(AddCause.NO_ACCESS_AUTHORITY, why) if why else None

    def remember(self, message: Message, now: int) -> None:
        """Mark as seen; ids whose message could not be fresh any more are forgotten."""
        if len(self.seen) > 10_000:
            for old in [each for each, until in self.seen.items() if is_forgotten(until, now)]:
                del self.seen[old]
        self.seen[message.id] = message.expires

    def _seen_before(self, message: Message) -> Refusal | None:
        if message.id not in self.seen:
            return None
        return Refusal(AddCause.COMMAND_ALREADY_IN_EXECUTION, f"message {message.id} was received before")


def is_forgotten(expires: int, now: int) -> bool:
    """Whether an id need not be remembered any more."""
    return expires + FORGOTTEN_AFTER_US <= now


def freshness(message: Message, now: int) -> Refusal | None:
    """None while the message is fresh: whole µs are compared, never a part of the clock."""
    if message.expires <= message.issued or message.expires - message.issued > LONGEST_LIFE_US:
        life_s = (message.expires - message.issued) / US
        sentence = (
            f"it was made to hold for {life_s:.0f} s; more than 0 and at most {LONGEST_LIFE_US // US} s are accepted"
        )
        return Refusal(AddCause.INCONSISTENT_PARAMETERS, sentence)
    if message.issued > now + CLOCK_TOLERANCE_US:
        ahead_s = (message.issued - now) / US
        sentence = f"it was issued {ahead_s:.1f} s in the future: a clock is wrong, the signer's or ours"
        return Refusal(AddCause.TIME_LIMIT_OVER, sentence)
    if now >= message.expires:
        age_s, late_s = (now - message.issued) / US, (now - message.expires) / US
        return Refusal(AddCause.TIME_LIMIT_OVER, f"it is {age_s:.1f} s old and expired {late_s:.1f} s ago")
    return None


def right_of(wish: Wish) -> Right:
    """Which right a message needs at the station it is about."""
    rights: Mapping[Wish, Right] = {Wish.TAG: Right.TAG, Wish.UNTAG: Right.TAG, Wish.HAND_OVER: Right.TAG}
    return rights.get(wish, Right.OPERATE)
