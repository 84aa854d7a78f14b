"""Messages in, rows out: what the head-end does with a handful of MQTT messages, as one function of its arguments.

Knows how a message is opened by its topic. Does not know broker, database or clock. One bad reading of a batch costs
that reading only; whatever is not in ``readings``, ``registers`` or ``events`` is in ``rejected``, counted by reason.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from meters.accepting import Accepted, accept_events, accept_readings, accept_registers
from meters.account import Account
from meters.message import Message
from meters.opened import Opened
from meters.packed import decode_batch
from meters.payload import decode_event, decode_profile, decode_state
from meters.registers import decode_registers
from meters.registry import Registry
from meters.rejection import Reason, Rejected
from meters.topic import Subject, Topic, read_topic
from meters.validate import Limits
from scada.model.ports import Quarantined


@dataclass(frozen=True, slots=True)
class Accounts:
    """What became of readings, of registers and of events."""

    readings: Account
    registers: Account
    events: Account

    def __add__(self, other: "Accounts") -> "Accounts":
        return Accounts(self.readings + other.readings, self.registers + other.registers, self.events + other.events)


@dataclass(frozen=True, slots=True)
class Intake:
    """What became of some messages.

    Accepted rows of dtype READING, REGISTER and METER_EVENT in the order of arrival; positions are places in
    ``registry``. ``accounts`` hold what is settled already: rejections and doubts. ``states``: a concentrator or a
    meter with its own modem, and its word.
    """

    registry: Registry
    readings: Accepted
    registers: Accepted
    events: Accepted
    accounts: Accounts
    quarantined: tuple[Quarantined, ...]
    states: tuple[tuple[str, str], ...]

    @property
    def has_unknown_meters(self) -> bool:
        """True when a serial was not registered: the registry may be out of date."""
        accounts = (self.accounts.readings, self.accounts.registers, self.accounts.events)
        return any(Reason.UNKNOWN_METER in account.rejected for account in accounts)


def take(messages: Sequence[Message], registry: Registry, limits: Limits, payload_limit: int) -> Intake:
    """Open, judge and sort messages. ``payload_limit`` in bytes; a longer payload is refused unread. Never raises."""
    opened = Opened(messages)
    for index, message in enumerate(messages):
        _open(index, message, payload_limit, opened)
    readings = accept_readings(opened, registry, limits)
    registers = accept_registers(opened, registry, limits)
    events = accept_events(opened, registry, limits)
    accounts = Accounts(
        Account(rejected=opened.rejected, doubtful=opened.doubtful),
        Account(rejected=opened.rejected_registers, doubtful=opened.doubtful_registers),
        Account(rejected=opened.rejected_events),
    )
    quarantined = (*opened.quarantined, *opened.beyond.values())
    return Intake(registry, readings, registers, events, accounts, quarantined, tuple(opened.states))


_TALK = frozenset({Subject.REQUEST, Subject.RESPONSE})


def _open(index: int, message: Message, payload_limit: int, opened: Opened) -> None:
    topic = read_topic(message.topic)
    if topic is None:
        opened.refuse(index, Rejected(Reason.UNKNOWN_TOPIC))
    elif topic.subject in _TALK:
        return
    elif len(message.payload) > payload_limit:
        opened.refuse(index, Rejected(Reason.OVERSIZE), subject=topic.subject)
    elif topic.is_batch:
        _open_batch(index, message, opened)
    elif topic.subject is Subject.PROFILE:
        _open_profile(index, message, topic, opened)
    elif topic.subject is Subject.REGISTER:
        _open_registers(index, message, topic, opened)
    elif topic.subject is Subject.EVENT:
        _open_event(index, message, topic, opened)
    else:
        _open_state(index, message, topic, opened)


def _open_batch(index: int, message: Message, opened: Opened) -> None:
    batch = decode_batch(message.payload)
    if isinstance(batch, Rejected):
        opened.refuse(index, batch)
    else:
        opened.batches.append(batch)
        opened.batch_source.append(index)


def _open_profile(index: int, message: Message, topic: Topic, opened: Opened) -> None:
    row = decode_profile(message.payload)
    if isinstance(row, Rejected):
        opened.refuse(index, row)
    elif row[0] != topic.serial:
        opened.refuse(index, Rejected(Reason.TOPIC_MISMATCH))
    else:
        opened.rows.append(row)
        opened.row_source.append(index)


def _open_registers(index: int, message: Message, topic: Topic, opened: Opened) -> None:
    registers = decode_registers(message.payload)
    if isinstance(registers, Rejected):
        opened.refuse(index, registers, subject=Subject.REGISTER)
    elif registers.serial != topic.serial:
        opened.refuse(index, Rejected(Reason.TOPIC_MISMATCH), subject=Subject.REGISTER)
    else:
        opened.registers.append(registers)
        opened.register_source.append(index)


def _open_event(index: int, message: Message, topic: Topic, opened: Opened) -> None:
    event = decode_event(message.payload)
    if isinstance(event, Rejected):
        opened.refuse(index, event, subject=Subject.EVENT)
    elif event.serial != topic.serial:
        opened.refuse(index, Rejected(Reason.TOPIC_MISMATCH), subject=Subject.EVENT)
    else:
        opened.events.append(event)
        opened.event_source.append(index)


def _open_state(index: int, message: Message, topic: Topic, opened: Opened) -> None:
    state = decode_state(message.payload)
    if isinstance(state, Rejected):
        opened.refuse(index, state, subject=Subject.STATE)
    else:
        opened.states.append((topic.concentrator if topic.serial is None else str(topic.serial), state))
