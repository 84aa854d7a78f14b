"""Reading the event buffers of a Modbus station: position, acknowledgement, and what was lost.

Knows when a record counts as taken. Does not know the socket: asking and writing are arguments. What they raise passes
through, and nothing read before is lost by it.

A record is acknowledged one scan after it was handed over, so that a crash in between makes it arrive twice, never not
at all; the historian stores it once.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from scada.model.ports import Clock
from scada.model.sample import SampleArray, no_samples
from substations.eventbuffer import EventBuffer, Registers, to_samples
from substations.layout import RawArray
from substations.registers import BoundEventBuffer
from substations.wiretypes import Table

logger = logging.getLogger(__name__)

Ask = Callable[[Registers], Awaitable[RawArray | str]]
"""The bytes of the registers, or the reason why the device refuses."""
Write = Callable[[int, Sequence[int]], Awaitable[str]]
"""Write holding registers; '' or the reason why the device refuses."""


@dataclass(frozen=True, slots=True)
class EventCounts:
    """What became of the records: records = samples + unknown; ``lost`` were overwritten by the device unread.

    ``wrong_times`` of the samples carry the receive time, ``restarts`` are devices that began counting anew,
    ``refused`` reads or writes the device answered with an exception. ``overflow``: the device's own flag.
    """

    records: int = 0
    samples: int = 0
    unknown: int = 0
    lost: int = 0
    wrong_times: int = 0
    restarts: int = 0
    refused: int = 0
    overflow: bool = False


class EventReading:
    """Reads one buffer again and again; ``hand_over`` gives what came, ordered by source time."""

    def __init__(self, bound: BoundEventBuffer, ask: Ask, write: Write, now: Clock) -> None:
        self._buffer = EventBuffer(bound)
        self._ask = ask
        self._write = write
        self._now = now
        self._position: int | None = None
        self._acknowledged: int | None = None
        self._handed_over: int | None = None
        self._held: list[SampleArray] = []
        self._refusal = ""
        self.counts = EventCounts()

    @property
    def answers(self) -> bool:
        """Whether the last ``read`` reached the end of the buffer."""
        return not self._refusal

    @property
    def covered(self) -> frozenset[int]:
        """Ids of the points whose changes this buffer records."""
        return frozenset(point.id for point in self._buffer.points.values())

    async def read(self) -> None:
        """Acknowledge what was handed over and read all that is new."""
        refusal = await self._read()
        if bool(refusal) != bool(self._refusal):
            if refusal:
                logger.warning("%s not read: %s; times are those of the scan", self._buffer.name, refusal)
            else:
                logger.info("%s is read again", self._buffer.name)
        self._refusal = refusal
        if refusal:
            self.counts = replace(self.counts, refused=self.counts.refused + 1)

    def hand_over(self) -> SampleArray:
        """What was read since the last time: SPONTANEOUS samples with the source's time. They count as taken."""
        self._handed_over = self._position
        held, self._held = self._held, []
        if not held:
            return no_samples()
        batch = np.concatenate(held)
        ordered: SampleArray = batch[np.argsort(batch["time"], kind="stable")]
        return ordered

    async def _read(self) -> str:
        if self._position is None and (refusal := await self._resume()):
            return refusal
        if self._handed_over != self._acknowledged and self._handed_over is not None:
            if refusal := await self._write(self._buffer.acknowledge, self._buffer.acknowledgement(self._handed_over)):
                return refusal
            self._acknowledged = self._handed_over
        raw = await self._ask(self._buffer.head)
        if isinstance(raw, str):
            return raw
        head = self._buffer.read_head(raw)
        assert self._position is not None
        progress = self._buffer.progress(self._position, head)
        self._note_progress(progress.lost, restarted=progress.restarted, overflow=head.overflow)
        self._position = progress.position
        for read in self._buffer.reads(progress.position, progress.count):
            raw = await self._ask(read)
            if isinstance(raw, str):
                return raw
            self._take(raw)
        return ""

    async def _resume(self) -> str:
        """Where the last reader stopped: the device remembers it for us."""
        registers = self._buffer.entry.sequence_type.registers
        raw = await self._ask(Registers(Table.HOLDING_REGISTER, self._buffer.acknowledge, registers))
        if isinstance(raw, str):
            return raw
        self._position = self._acknowledged = self._handed_over = self._buffer.read_acknowledged(raw)
        return ""

    def _take(self, raw: RawArray) -> None:
        events = self._buffer.decode(raw)
        assert self._position is not None
        expected = (self._position + np.arange(len(events))) % self._buffer.modulus
        # The device may have gone once around between the head and this read: then a slot holds a newer record.
        mine = events["sequence"] == expected
        taken = to_samples(events[mine], self._buffer.points, self._now())
        self._position = (self._position + len(events)) % self._buffer.modulus
        self._note_lost(int(len(events) - np.count_nonzero(mine)))
        self._note_times(taken.wrong_times, len(taken.batch))
        counts = self.counts
        if taken.unknown and not counts.unknown:
            logger.warning("%s reports point codes the station does not have", self._buffer.name)
        self.counts = replace(
            counts,
            records=counts.records + len(taken.batch) + taken.unknown,
            samples=counts.samples + len(taken.batch),
            unknown=counts.unknown + taken.unknown,
            wrong_times=counts.wrong_times + taken.wrong_times,
        )
        if len(taken.batch):
            self._held.append(taken.batch)

    def _note_progress(self, lost: int, *, restarted: bool, overflow: bool) -> None:
        if restarted:
            logger.warning("%s counts anew: the device restarted", self._buffer.name)
            self.counts = replace(self.counts, restarts=self.counts.restarts + 1)
        self._note_lost(lost)
        if overflow != self.counts.overflow:
            self.counts = replace(self.counts, overflow=overflow)

    def _note_lost(self, lost: int) -> None:
        if lost:
            self.counts = replace(self.counts, lost=self.counts.lost + lost)
            logger.warning(
                "%s overflowed: %d events overwritten before they were read, %d in all",
                self._buffer.name,
                lost,
                self.counts.lost,
            )

    def _note_times(self, wrong: int, received: int) -> None:
        if wrong and not self.counts.wrong_times:
            logger.warning(
                "%s: the clock of the device is wrong: %d of %d events got the receive time",
                self._buffer.name,
                wrong,
                received,
            )


def total(counts: Sequence[EventCounts]) -> EventCounts:
    """The counts of several buffers together."""
    return EventCounts(
        records=sum(each.records for each in counts),
        samples=sum(each.samples for each in counts),
        unknown=sum(each.unknown for each in counts),
        lost=sum(each.lost for each in counts),
        wrong_times=sum(each.wrong_times for each in counts),
        restarts=sum(each.restarts for each in counts),
        refused=sum(each.refused for each in counts),
        overflow=any(each.overflow for each in counts),
    )
