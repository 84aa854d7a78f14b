"""Carrying out a switching order: step by step through the control desk, each with read-back, each logged first.

Knows the order of things and when to stop. Does not know signatures, protocols or how the desk is reached: that is the
door's. No other way leads to a device from here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from scada.control.interlocking import Place, TopologyInterlocking
from scada.control.interlocking_device import WANTED
from scada.control.lifecycle import Outcome
from scada.control.orders import OrderEvent, OrderState, Step, operation_of
from scada.control.orders_record import OrderRecord, OrderRefused
from scada.control.orders_verdict import site_facts, unmet_expectation
from scada.grid.topology import Topology
from scada.model.errors import LinkError
from scada.model.ports import Clock
from scada.model.quality import Quality
from scada.model.switching import Blocked, ImageView, Operation

SETTLE_S: Final = 15.0
"""How long measured values may take to follow a device: a few scans."""
LOOK_EVERY_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Done:
    """What became of an operation: the outcome, in a sentence, and the command's id."""

    outcome: Outcome
    sentence: str
    command: str = ""


class OrderDoor(Protocol):
    """The way to the control desk and back to what the field shows."""

    async def operate(self, operation: Operation, order: str, step: int, reason: str) -> Done:
        """Have one operation carried out, signed, and wait for its end. Raises LinkError when the desk is lost."""
        ...

    async def image(self) -> ImageView:
        """The present state of the points. Raises LinkError."""
        ...

    async def pause(self, seconds: float) -> None:
        """Wait."""
        ...


@dataclass(frozen=True, slots=True)
class OrderRun:
    """What carrying out needs. ``tell`` gets the number of a step (0 for the order) and a sentence."""

    door: OrderDoor
    rules: TopologyInterlocking
    topology: Topology
    clock: Clock
    tell: Callable[[int, str], None]

    async def carry_out(self, record: OrderRecord, by: str) -> OrderState:
        """Do all steps of an approved order; the state it ends in. Raises OrderRefused when it may not begin.

        Whatever interrupts it (a lost desk, a stopped process) leaves the order stopped, and a step that was under way
        unknown.
        """
        if _is_executing(record):
            self._stop(record, "its execution was interrupted")
            raise OrderRefused(f"order {record.order.number} was interrupted; it is stopped, a new order is needed")
        record.add(OrderEvent.BEGIN, {"by": by}, self.clock())
        try:
            for number, step in enumerate(record.order.step, start=1):
                done = await self._step(record, number, step)
                if done.outcome is not Outcome.COMPLETED:
                    self._stop(record, f"step {number}: {done.sentence}")
                    return OrderState.STOPPED
            record.add(OrderEvent.COMPLETE, {}, self.clock())
            self.tell(0, "completed")
            return OrderState.COMPLETED
        finally:
            if _is_executing(record):
                self._stop(record, "its execution was interrupted")

    async def _step(self, record: OrderRecord, number: int, step: Step) -> Done:
        record.add(OrderEvent.STEP, {"number": number, "step": str(step)}, self.clock())
        self.tell(number, str(step))
        try:
            done = await self._do(record, number, step)
        except LinkError as error:
            done = Done(Outcome.UNKNOWN, f"the control desk is lost: {error}")
        self._note(record, number, done)
        return done

    async def _do(self, record: OrderRecord, number: int, step: Step) -> Done:
        operation = operation_of(step, self.topology.province)
        if operation is None:
            return await self._read_back(step, None)
        if step.place is Place.ON_SITE:
            return await self._on_site(number, step, operation)
        done = await self.door.operate(operation, record.order.number, number, record.order.purpose)
        return await self._read_back(step, operation, done) if done.outcome is Outcome.COMPLETED else done

    async def _on_site(self, number: int, step: Step, operation: Operation) -> Done:
        """Staff act beside the device: the rules are asked before they are told to, then the position is awaited."""
        decision = self.rules.decide(operation, await self.door.image(), site_facts(step))
        if isinstance(decision, Blocked):
            return Done(Outcome.REFUSED, str(decision.refusals[0]))
        self.tell(number, f"staff on site: {step.action} {step.device}; waiting for its position")
        if not await self._comes_true(lambda view: self._stands(operation, view), step.within_s):
            return Done(Outcome.UNKNOWN, f"{step.device} was not reported {step.action} within {step.within_s:g} s")
        return await self._read_back(step, operation, Done(Outcome.COMPLETED, f"{step.device} {step.action} on site"))

    async def _read_back(self, step: Step, operation: Operation | None, done: Done | None = None) -> Done:
        """Position and expected readings, as the image shows them."""
        done = done or Done(Outcome.COMPLETED, "read")
        if operation is not None and not await self._comes_true(lambda view: self._stands(operation, view), SETTLE_S):
            sentence = f"{step.device} is not shown as {step.action} after {SETTLE_S:g} s"
            return Done(Outcome.UNKNOWN, sentence, done.command)
        if not await self._comes_true(lambda view: not unmet_expectation(step.expect, view), SETTLE_S):
            unmet = unmet_expectation(step.expect, await self.door.image())
            # A check has done nothing; a device that was operated has, and something is not as its position says.
            outcome = Outcome.REFUSED if operation is None else Outcome.UNKNOWN
            return Done(outcome, f"the expected reading did not come: {unmet}", done.command)
        return done

    def _stands(self, operation: Operation, view: ImageView) -> bool:
        """Whether a switching device is shown, beyond doubt, where it was sent. Tap changers the desk verifies."""
        device = self.topology.device_index.get(operation.target)
        if device is None:
            return True
        row = view.read([self.topology.devices[device][1].position.name])[0]
        return int(row["quality"]) == Quality.GOOD and float(row["value"]) == float(WANTED[operation.action])

    async def _comes_true(self, condition: Callable[[ImageView], bool], within_s: float) -> bool:
        for _ in range(int(within_s / LOOK_EVERY_S)):
            if condition(await self.door.image()):
                return True
            await self.door.pause(LOOK_EVERY_S)
        return condition(await self.door.image())

    def _note(self, record: OrderRecord, number: int, done: Done) -> None:
        body = {"number": number, "outcome": done.outcome, "sentence": done.sentence, "command": done.command}
        record.add(OrderEvent.STEP_DONE, body, self.clock())
        self.tell(number, f"{done.outcome}: {done.sentence}")

    def _stop(self, record: OrderRecord, reason: str) -> None:
        if (step := record.status.under_way) is not None:
            self._note(record, step.number, Done(Outcome.UNKNOWN, reason))
        record.add(OrderEvent.STOP, {"reason": reason}, self.clock())
        self.tell(0, f"stopped: {reason}; a new order is needed")


def _is_executing(record: OrderRecord) -> bool:
    return record.status.state is OrderState.EXECUTING
