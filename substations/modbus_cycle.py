"""The cyclic reads of a Modbus station: how many are under way at once, and what an unanswered or refused one means for
the others.

Knows the plan of reads. Does not know the field library, events, when to scan, or when a link counts as lost.
"""

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from scada.model.cause import Cause
from scada.model.errors import LinkError
from scada.model.ports import Clock
from scada.model.quality import Quality
from scada.model.sample import SampleArray
from scada.model.station import Endpoint
from substations.link import FailedRead
from substations.modbus_connection import ModbusConnection, Silence, Wanted
from substations.modbus_frames import Refusal
from substations.polling import ReadBlock, halves, plan_reads
from substations.quality import is_about_the_address, is_about_the_gateway, of_modbus_exception
from substations.registers import StationRegisters
from substations.resting import RestingReads
from substations.scanvalues import Answer, ScanValues

MOST_SILENT: Final = 2
"""Reads left unanswered before the rest of a scan is given up: each costs a whole timeout."""

_BUSY: Final = 6
"""Exception code of a device that takes no request now (Modbus Application Protocol V1.1b3, 7)."""
ALONE_AT_FIRST: Final = 64
_ALONE_AT_MOST: Final = 4096
"""Scans in which reads go one at a time after several were not answered together: doubled each time in a row. It may
have been the line that stood still for once, and over a slow one the period is lost."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """One read of the plan and how it is asked; ``part`` of a larger one that the device refuses as a whole."""

    read: ReadBlock
    wanted: Wanted
    name: str
    part: bool = False

    def failed(self, quality: Quality, reason: str) -> FailedRead:
        """Its points got ``quality``."""
        points = np.array([each.point.id for each in self.read.entries], dtype=np.int32)
        return FailedRead(points, quality, f"{self.name}: {reason}")


@dataclass(slots=True)
class Scan:
    """One scan in the making: ``waiting`` are not asked yet, ``at_once`` so many are asked together, unless these were
    ``too_many``."""

    waiting: deque[Block]
    at_once: int
    too_many: bool = False
    answers: dict[Block, Answer] = field(default_factory=dict)
    failed: list[FailedRead] = field(default_factory=list)
    silent: int = 0
    answered: bool = False


class CyclicReads:
    """Those of one station; ``now`` dates what they bring. ``errors`` counts what was refused or not answered."""

    def __init__(
        self, endpoint: Endpoint, registers: StationRegisters, connection: ModbusConnection, now: Clock
    ) -> None:
        self.errors = 0
        self._endpoint = endpoint
        self._connection = connection
        self._now = now
        self._alone, self._next_alone = 0, ALONE_AT_FIRST
        self._several_units = len(registers.units) > 1
        planned: dict[float, list[Block]] = {}
        for read in plan_reads(registers.points):
            planned.setdefault(read.period_s, []).append(self._block(read))
        self._planned = {period_s: tuple(blocks) for period_s, blocks in planned.items()}
        self._blocks = dict(self._planned)
        self._values = {period_s: _values(blocks) for period_s, blocks in self._planned.items()}
        self._resting = RestingReads()

    @property
    def periods(self) -> tuple[float, ...]:
        """Of the reads, in seconds, ascending."""
        return tuple(sorted(self._planned))

    def begin_anew(self) -> None:
        """The station is connected anew, and may be another than it was."""
        self._resting.clear()
        self._alone, self._next_alone = 0, ALONE_AT_FIRST
        if self._blocks != self._planned:
            self._blocks = dict(self._planned)
            self._values = {period_s: _values(blocks) for period_s, blocks in self._planned.items()}

    async def scan(self, period_s: float) -> Scan:
        """Ask everything that is read every ``period_s``. Raises LinkError when the station is dead."""
        most = self._endpoint.max_transactions
        scan = Scan(deque(self._blocks.get(period_s, ())), 1 if self._alone else most)
        self._alone = max(self._alone - 1, 0)
        while asked := self._next(scan):
            silent = await self._read(asked, scan)
            if silent and not await self._outlive(asked, silent, scan):
                break
            if len(asked) == most and not silent:
                self._next_alone = ALONE_AT_FIRST
        if scan.too_many:
            self._ask_alone()
        return scan

    def samples(self, period_s: float, scan: Scan, cause: Cause) -> SampleArray:
        """What the answers say."""
        return self._values[period_s].samples([scan.answers.get(each) for each in self._blocks[period_s]], cause)

    async def reopened(self) -> bool:
        """A new connection, so that a late answer to an old request cannot be taken for the next one's."""
        try:
            await self._connection.open()
        except LinkError:
            return False
        return True

    def _next(self, scan: Scan) -> list[Block]:
        """The reads to ask now; one that rests is left out of the scan."""
        asked: list[Block] = []
        while scan.waiting and len(asked) < scan.at_once:
            block = scan.waiting.popleft()
            if (left_out := self._resting.left_out(block.name)) is not None:
                scan.failed.append(left_out)
            else:
                asked.append(block)
        return asked

    async def _read(self, asked: Sequence[Block], scan: Scan) -> dict[Block, str]:
        """Note what becomes of reads that are asked together; those that were not answered, and why.

        A device that takes no more requests may say that it is busy.
        """
        try:
            questions = self._connection.ask([each.wanted for each in asked])
        except Silence as lost:
            return dict.fromkeys(asked, str(lost))
        silent: dict[Block, str] = {}
        try:
            for block, one in zip(asked, questions, strict=True):
                try:
                    raw = await self._connection.answer(one)
                except Refusal as refusal:
                    scan.answered = True
                    if refusal.code == _BUSY and len(asked) > 1:
                        silent[block] = of_modbus_exception(_BUSY)[0]
                    else:
                        self._refused(block, refusal.code, scan)
                except Silence as silence:
                    silent[block] = str(silence)
                else:
                    scan.answered = True
                    self._resting.answered(block.name)
                    scan.answers[block] = (raw, self._now())
        finally:
            self._connection.forget()
        return silent

    async def _outlive(self, asked: Sequence[Block], silent: Mapping[Block, str], scan: Scan) -> bool:
        """Reads were not answered: whether to go on with the scan. Raises LinkError when the station is dead."""
        self.errors += 1
        block, why = next(iter(silent.items()))
        if len(asked) > 1:
            scan.waiting.extendleft(reversed(list(silent)))
            return await self._slow_down(why, scan)
        scan.too_many = False  # this read is to blame, not that others were under way
        failed = block.failed(Quality.NOT_TOPICAL, why)
        self._resting.failed(block.name, failed)
        scan.failed.append(failed)
        if not scan.answered:
            await self._prove_alive(block, failed.reason)
            scan.answered = True
        elif not await self.reopened():
            scan.silent = MOST_SILENT
            return False
        scan.silent += 1
        return scan.silent < MOST_SILENT

    async def _slow_down(self, why: str, scan: Scan) -> bool:
        """Some of several reads were not answered: ask one at a time on a new connection, as every device allows.

        They were too many if all are answered then; a lost connection says nothing of it. Raises LinkError as above.
        """
        was_alive = self._connection.session is not None
        scan.at_once = 1
        if await self.reopened():
            scan.too_many = was_alive
            return True
        if not scan.answered:
            raise LinkError(why)
        scan.silent = MOST_SILENT
        return False

    def _ask_alone(self) -> None:
        end, scans = self._endpoint, self._next_alone
        self._alone, self._next_alone = scans, min(scans * 2, _ALONE_AT_MOST)
        sentence = "%s:%d answers reads one at a time, but not %d at once: asked one at a time for %d scans"
        _log.warning(sentence, end.host, end.port, end.max_transactions, scans)

    async def _prove_alive(self, silent: Block, reason: str) -> None:
        """Another read, preferably of another period: does the station live and only leave one unanswered?"""
        others = [each for blocks in self._blocks.values() for each in blocks if each.name not in self._resting]
        others.sort(key=lambda each: each.read.period_s == silent.read.period_s)
        if not others or not await self.reopened():
            raise LinkError(reason)
        try:
            await self._connection.read(*others[0].wanted)
        except Refusal:
            return
        except Silence:
            raise LinkError(reason) from None

    def _refused(self, block: Block, code: int, scan: Scan) -> None:
        """Its halves are read instead when the device does not have some of its addresses; else its points got it."""
        parts = halves(block.read) if is_about_the_address(code) else ()
        if parts:
            scan.waiting.extendleft(reversed(self._divided(block, [self._block(part, part=True) for part in parts])))
            return
        self.errors += 1
        meaning, quality = of_modbus_exception(code)
        failed = block.failed(quality, meaning)
        # A gateway waits for a device that is gone before it says so: asked every scan, it would delay its neighbours.
        rests = block.part or is_about_the_gateway(code)
        if code == _BUSY and self._endpoint.max_transactions > 1:
            # With one as well: it is this read, not that there were several; it shall not part them at every scan.
            scan.too_many, rests = False, True
        if rests:
            self._resting.failed(block.name, failed)
        scan.failed.append(failed)

    def _block(self, read: ReadBlock, *, part: bool = False) -> Block:
        name = f"unit {read.unit} {read.place}" if self._several_units else read.place
        return Block(read, Wanted(read.unit, read.table, read.start, read.count), name, part)

    def _divided(self, block: Block, parts: Sequence[Block]) -> Sequence[Block]:
        """One register the device does not have must not cost its neighbours; parts stay until it is connected anew."""
        period_s = block.read.period_s
        mine = self._blocks[period_s]
        where = mine.index(block)
        self._blocks[period_s] = (*mine[:where], *parts, *mine[where + 1 :])
        self._values[period_s] = _values(self._blocks[period_s])
        return parts


def _values(blocks: Sequence[Block]) -> ScanValues:
    return ScanValues([each.read for each in blocks])
