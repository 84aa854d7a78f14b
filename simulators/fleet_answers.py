"""What the meters of the fleet answer when they are asked: from their memory, their registers, their clocks.

Knows the meters' side of ``meters.request``. Does not know wire or clock. A meter answers for intervals it has itself
reported already; a newer one comes by itself. What left its memory of 60 days, it says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from meters.rejection import Rejected
from meters.request import Answered, Asked, ControlState, RequestKind, decode_request, encode_response
from meters.topic import DIRECT, read_topic
from scada.model.reading import EventCode, ReadingArray, no_readings
from simulators.fleet_energy import FleetEnergy
from simulators.fleet_exchange import Identities, Installation
from simulators.fleet_faults import FleetFaults
from simulators.fleet_messages import REGISTER_CODES, FleetMessages, Message, OnRequest
from simulators.meter_fleet import Fleet, IndexArray

WRONG_POINT = "the meter is at another metering point"
BAD_SPAN = "the span asked for is none"


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers to one request, and the readings (READING; ``meter`` is the row) that go out before them."""

    answers: tuple[Answered, ...]
    readings: ReadingArray


class FleetAnswers:
    """Answers for one fleet. Owns the state of the disconnect controls and what clocks were set to."""

    def __init__(
        self,
        fleet: Fleet,
        energy: FleetEnergy,
        period_us: int,
        memory_us: int,
        clock_off: IndexArray,
        identities: Identities | None = None,
        tampered: Sequence[tuple[int, int, int]] = (),
    ) -> None:
        self._fleet = fleet
        self._identities = identities or Identities(fleet, ())
        self._tampered = tampered
        self._energy = energy
        self._period_us = period_us
        self._memory_us = memory_us
        self.clock_off_us = clock_off
        self._control: dict[int, ControlState] = {}

    def answer(self, kind: RequestKind, asked: tuple[Asked, ...], acknowledged: IndexArray, now: int) -> Answers:
        """What the asked meters answer. ``acknowledged``: last interval end each meter has delivered, shape (n,).

        A meter that is none of this fleet, or without supply, says nothing. One that was removed lies in the workshop;
        its concentrator still has its load profile.
        """
        answers: list[Answered] = []
        wanted: dict[int, list[int]] = {}
        for each in asked:
            stands = self._identities.find(each.serial)
            if stands is None or not self._hears(stands, kind, now):
                continue
            row = stands.row
            if self._fleet.metering_point(row) != each.metering_point:
                answers.append(Answered(each.serial, each.first, refused=WRONG_POINT, time=now))
            elif kind is RequestKind.PROFILE:
                answers.append(self._profile(stands, each, int(acknowledged[row]), now, wanted))
            else:
                answers.append(self._other(kind, row, each, now))
        parts = [self._energy.readings(np.unique(rows), end, self._period_us) for end, rows in sorted(wanted.items())]
        return Answers(tuple(answers), np.concatenate([no_readings(), *parts]))

    def sender_of(self, serial: int) -> int:
        """Who speaks for a meter with its own modem, as in ``Reporting``; −1 for none of this fleet."""
        stands = self._identities.find(serial)
        if stands is None or stands.row < self._fleet.behind_concentrators:
            return -1
        return len(self._fleet.concentrators) + stands.row - self._fleet.behind_concentrators

    def _hears(self, stands: Installation, kind: RequestKind, now: int) -> bool:
        if not self._energy.energised(int(self._fleet.feeder[stands.row])) or now <= stands.since:
            return False
        return now <= stands.until or (kind is RequestKind.PROFILE and self._fleet.concentrator[stands.row] >= 0)

    def _profile(
        self, stands: Installation, asked: Asked, acknowledged: int, now: int, wanted: dict[int, list[int]]
    ) -> Answered:
        """The answer; the rows to be read for it go into ``wanted``, by interval end."""
        period = self._period_us
        if asked.last < asked.first or asked.first % period or asked.last % period:
            return Answered(asked.serial, asked.first, refused=BAD_SPAN, time=now)
        oldest = max(-(-(now - self._memory_us) // period) * period, stands.since + period)
        empty = [(asked.first, min(asked.last, oldest - period))] if asked.first < oldest else []
        if asked.last > stands.until:
            empty.append((max(asked.first, stands.until + period), asked.last))
        ends = range(max(asked.first, oldest), min(asked.last, acknowledged, stands.until) + 1, period)
        for end in ends:
            wanted.setdefault(end, []).append(stands.row)
        return Answered(asked.serial, asked.first, time=now, sent=len(ends), empty=tuple(empty))

    def _other(self, kind: RequestKind, row: int, asked: Asked, now: int) -> Answered:
        state = self._control.get(row, ControlState.CONNECTED)
        if kind is RequestKind.READ:
            values = self._energy.registers(np.array([row]), now)[:, 0].tolist()
            registers = tuple(zip(REGISTER_CODES, values, strict=True))
            return Answered(asked.serial, asked.first, time=now, registers=registers, state=state)
        if kind is RequestKind.CLOCK:
            off_s = int(self.clock_off_us[row]) / 1e6
            self.clock_off_us[row] = 0
            return Answered(asked.serial, asked.first, time=now, clock_off_s=off_s)
        if kind is RequestKind.EVENTS:
            outages = self._energy.outages(int(self._fleet.feeder[row]))
            events = [(down, int(EventCode.POWER_FAILURE)) for down, _ in outages]
            events += [(up, int(EventCode.POWER_RETURNED)) for _, up in outages if up]
            events += [(time, code) for time, at, code in self._tampered if at == row and time <= now]
            asked_for = tuple(each for each in sorted(events) if asked.first <= each[0] <= (asked.last or now))
            return Answered(asked.serial, asked.first, time=now, events=asked_for)
        state = ControlState.DISCONNECTED if kind is RequestKind.DISCONNECT else ControlState.CONNECTED
        self._control[row] = state
        return Answered(asked.serial, asked.first, time=now, state=state)


@dataclass(frozen=True, slots=True)
class Question:
    """A request as it came: where the answer is wanted, and the mark it must bear."""

    topic: str
    payload: bytes
    answer_topic: str
    correlation: bytes


class Answering:
    """Turns questions into the messages that answer them, readings first; silence is no message."""

    def __init__(self, fleet: Fleet, answers: FleetAnswers, messages: FleetMessages, faults: FleetFaults) -> None:
        self._answers = answers
        self._messages = messages
        self._faults = faults
        self._concentrators = {name: index for index, name in enumerate(fleet.concentrators)}

    def messages(self, question: Question, acknowledged: IndexArray, now: int) -> list[Message]:
        """What is said to a question. ``acknowledged``: as in ``FleetAnswers.answer``."""
        topic, request = read_topic(question.topic), decode_request(question.payload)
        if topic is None or isinstance(request, Rejected) or not question.answer_topic:
            return []
        sender = self._concentrators.get(topic.concentrator, -1)
        if topic.concentrator == DIRECT and topic.serial is not None:
            sender = self._answers.sender_of(topic.serial)
        if sender < 0 or self._faults.is_dead(sender, now):
            return []
        found = self._answers.answer(*request, acknowledged, now)
        if not found.answers:
            return []
        answer = Message(question.answer_topic, encode_response(found.answers), OnRequest(question.correlation))
        return [*self._messages.asked_for(found.readings), answer]
