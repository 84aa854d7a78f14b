"""What a person signs: one message to the control desk, and the exact bytes that stand for it.

Knows the fields, which belong to which kind, and the numbering (UUIDv7, RFC 9562, 5.7). Does not know signatures, who
may send what, or the state of anything. Times are µs since 1970 UTC.
"""

import uuid
from enum import StrEnum
from typing import Annotated, Final

import msgspec

from scada.model.meterlink import SupplyAction
from scada.model.switching import Action, ControlModel

US: Final = 1_000_000
LONGEST_SERIAL: Final = 18
"""Digits of a meter's serial number: more are no number of the registry."""
Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
"""What can be reckoned with, and told in JSON: a number of any length could be signed."""


class Wish(StrEnum):
    """What the desk is asked to do."""

    OPERATE = "operate"
    SELECT = "select"
    EXECUTE = "execute"
    CANCEL = "cancel"
    TAG = "tag"
    UNTAG = "untag"
    HAND_OVER = "hand_over"
    SUPPLY = "supply"
    ACKNOWLEDGE = "acknowledge"


class TagKind(StrEnum):
    """What a tag does: inform, block, or leave control to its holder."""

    CAUTION = "caution"
    CONTROL_INHIBIT = "control_inhibit"
    CONTROL_AUTHORITY = "control_authority"
    OUT_OF_SERVICE = "out_of_service"


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One signed wish. ``originator`` is the name in the authority table; ``set_point``, in ``unit``, the value a SET
    wants, ``subject`` the message an EXECUTE, CANCEL, UNTAG or HAND_OVER is about, or the alarm of an ACKNOWLEDGE,
    ``to`` the person who gets the tag."""

    id: str
    do: Wish
    issued: Count
    expires: Count
    originator: str
    target: str = ""
    action: Action | None = None
    model: ControlModel = ControlModel.SELECT_BEFORE_OPERATE
    set_point: float | None = None
    unit: str = ""
    reason: str = ""
    order: str = ""
    step: Count = 0
    test: bool = False
    emergency: bool = False
    subject: str = ""
    tag: TagKind | None = None
    to: str = ""
    supply: SupplyAction | None = None

    @property
    def payload(self) -> bytes:
        """The bytes that are signed."""
        return msgspec.json.encode(self)


class NotAMessage(ValueError):
    """The payload is no message; the text says why."""


def read_message(payload: bytes) -> Message:
    """The message in a payload. Raises NotAMessage with the first thing wrong."""
    try:
        message = msgspec.json.decode(payload, type=Message)
    except msgspec.MsgspecError as error:
        raise NotAMessage(str(error)) from None
    if fault := _fault(message):
        raise NotAMessage(fault)
    return message


def _fault(message: Message) -> str:
    if not _is_uuid7(message.id):
        return f"id {message.id!r} is no UUIDv7"
    if not message.originator:
        return "has no originator"
    if message.do in (Wish.OPERATE, Wish.SELECT):
        if not message.target or message.action is None:
            return f"{message.do} needs target and action"
        if (message.action is Action.SET) != (message.set_point is not None):
            takes = "needs the value as set_point" if message.action is Action.SET else "takes no set_point"
            return f"{message.action} {takes}"
    elif message.do is Wish.SUPPLY:
        if message.supply is None or not _is_serial(message.target):
            return "supply needs the serial of a meter as target, and disconnect or reconnect"
    elif message.do is Wish.TAG:
        if not message.target or message.tag is None:
            return "tag needs target and tag"
    elif not _is_uuid7(message.subject):
        return f"{message.do} needs the id of what it is about as subject"
    if message.set_point is not None and message.do not in (Wish.OPERATE, Wish.SELECT):
        return f"{message.do} takes no set_point"
    if message.unit and message.set_point is None:
        return "unit belongs to set_point"
    if message.do is Wish.HAND_OVER and not message.to:
        return "hand_over needs the name of who takes the tag over"
    return ""


def _is_serial(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= LONGEST_SERIAL


def _is_uuid7(text: str) -> bool:
    try:
        found = uuid.UUID(text)
    except ValueError:
        return False
    return found.version == 7 and str(found) == text


def uuid7(now: int, random: bytes) -> str:
    """A UUIDv7 for ``now`` (µs) with 10 bytes of randomness."""
    number = (now // 1000 & (1 << 48) - 1) << 80 | int.from_bytes(random[:10], "big")
    number = number & ~(0xF << 76) | 7 << 76
    number = number & ~(0x3 << 62) | 2 << 62
    return str(uuid.UUID(int=number))
