"""What the desk does when something breaks inside it or around it: every command gets an outcome, and it is a true one.

A real simulated station behind a socket, as in the table of refusals.
"""

import asyncio
import errno
import os
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scada.control import conduct
from scada.control.journal import JournalWriter, public_key, whole_entries
from scada.control.message import TagKind, Wish
from scada.control.proof import verify_journal
from scada.control.tenure import segments
from scada.hashchain import ChainError
from scada.model.addcause import AddCause
from scada.model.commandlink import CommandLink, CommandLinks, DeviceAnswer
from scada.model.event import EventKind
from scada.model.quality import Quality
from scada.model.sample import SampleArray
from scada.model.switching import Action, Consequences, Operation
from simulators import switchgear
from tests.fakes_control import PATIENCE_S, Rig, Trick, rig_at

pytestmark = pytest.mark.integration

FEEDER, POSITION = "TN01/471", "TN01/471/471.position"
EMERGENCY = {"emergency": True, "reason": "test"}
Hook = Callable[[], Awaitable[None]]


async def _nothing() -> None: ...


@dataclass
class Hooks:
    """What happens right before the station is asked, selected or operated."""

    asked: Hook = _nothing
    selected: Hook = _nothing
    operated: Hook = _nothing
    done: Hook = _nothing


@dataclass
class HookedLink:
    inner: CommandLink
    hooks: Hooks

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def return_information(self, command: str) -> SampleArray:
        await self.hooks.asked()
        return await self.inner.return_information(command)

    async def select(self, command: str, action: str) -> DeviceAnswer:
        await self.hooks.selected()
        return await self.inner.select(command, action)

    async def operate(self, command: str, action: str) -> DeviceAnswer:
        await self.hooks.operated()
        answer = await self.inner.operate(command, action)
        await self.hooks.done()
        return answer


@dataclass
class HookedLinks:
    inner: CommandLinks
    hooks: Hooks

    def of(self, station: str) -> Any:
        return HookedLink(self.inner.of(station), self.hooks)

    async def close(self) -> None:
        await self.inner.close()  # type: ignore[attr-defined]  # StationCommands has it


@pytest.fixture
def hooks() -> Hooks:
    return Hooks()


@pytest.fixture
async def rig(tmp_path: Path, hooks: Hooks) -> AsyncIterator[Rig]:
    async with rig_at(tmp_path / "control", wrap=lambda links: HookedLinks(links, hooks)) as made:
        yield made


def kinds(rig: Rig) -> list[EventKind]:
    return [each.kind for each in rig.desk.alarms.events]


async def _fault() -> None:
    raise ZeroDivisionError("a bug of ours")


async def test_a_fault_of_the_program_before_the_frame_refuses_the_command_and_frees_the_device(
    rig: Rig, hooks: Hooks
) -> None:
    hooks.asked = _fault
    report = await rig.operate(FEEDER, Action.OPEN)
    assert (report["outcome"], rig.orders()) == ("refused", 0)
    assert report["refusals"][0]["sentence"] == "a fault of this program ended it; the log tells which"
    hooks.asked = _nothing
    assert (await rig.operate(FEEDER, Action.OPEN))["outcome"] == "completed"


async def test_a_fault_of_the_program_after_the_frame_leaves_an_unknown_outcome_and_an_alarm(
    rig: Rig, hooks: Hooks
) -> None:
    hooks.done = _fault
    report = await rig.operate(FEEDER, Action.OPEN)
    assert (report["outcome"], rig.orders(), kinds(rig)) == ("unknown", 1, [EventKind.OUTCOME_UNKNOWN])
    assert "'outcome': 'unknown'" in rig.journal_text()


async def test_an_order_does_not_hang_on_what_it_would_bring_about(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The load flow informs the second person; when it fails or never ends, he is told that it is not known."""
    monkeypatch.setattr(conduct, "FORESEEN_WITHIN_S", 0.2)
    goes_on = threading.Event()

    def fail(_: Operation) -> Consequences:
        raise ZeroDivisionError("a bug of the load flow")

    def hang(_: Operation) -> Consequences:
        assert goes_on.wait(PATIENCE_S)
        return Consequences(known=True)

    reasons = ["a fault of this program ended it; the log tells which", "the load flow gave no answer within 0.2 s"]
    try:
        for rig.what_if, action, reason in zip((fail, hang), (Action.OPEN, Action.CLOSE), reasons, strict=True):
            rig.refresh()
            report = await rig.operate(FEEDER, action)
            assert report["outcome"] == "completed", report["refusals"]
            assert (report["consequences"]["known"], report["consequences"]["reason"]) == (False, reason)
    finally:
        goes_on.set()
    assert "ZeroDivisionError: a bug of the load flow" in caplog.text


async def test_a_desk_that_is_stopped_after_the_frame_says_so_with_an_alarm_the_next_one_still_shows(
    rig: Rig, hooks: Hooks
) -> None:
    left = asyncio.Event()

    async def hang() -> None:
        left.set()
        await asyncio.Event().wait()

    hooks.done = hang
    order = asyncio.create_task(rig.submit("dispatcher-1", FEEDER, Action.OPEN, **EMERGENCY))
    await left.wait()
    await rig.stop_desk()
    assert (await order)["outcome"] == "unknown"
    rig.start_desk()
    told = [each.sentence for each in rig.desk.alarms.unacknowledged.values()]
    assert told == [
        "dispatcher-1 operates TN01/471 open alone: test",
        "TN01/471 open: the desk was stopped after the order was sent; not tried again",
    ]


async def test_the_execute_entry_is_flushed_to_the_disk_before_the_frame_leaves(
    rig: Rig, hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[int] = []
    seen: list[tuple[int, str]] = []
    fsync = os.fsync

    def counted(descriptor: int) -> None:
        fsync(descriptor)
        flushed.append(len(list(whole_entries(segments(rig.folder)[-1]))))

    async def look() -> None:
        entries = list(whole_entries(segments(rig.folder)[-1]))
        seen.append((flushed[-1] - len(entries), entries[-1].kind))

    monkeypatch.setattr(os, "fsync", counted)
    hooks.operated = look
    assert (await rig.operate(FEEDER, Action.OPEN))["outcome"] == "completed"
    assert seen == [(0, "execute")]


async def test_no_frame_leaves_when_the_disk_refuses_the_journal(
    rig: Rig, hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    async def break_disk() -> None:
        monkeypatch.setattr(os, "fsync", refuse)

    hooks.selected = break_disk
    report = await rig.operate(FEEDER, Action.OPEN)
    assert (report["outcome"], rig.orders()) == ("refused", 0)
    assert "could not be flushed to the disk" in report["refusals"][0]["sentence"]
    monkeypatch.undo()
    hooks.selected = _nothing
    again = await rig.submit("dispatcher-1", FEEDER, Action.OPEN, **EMERGENCY)
    assert "it cannot be journaled, so nothing is done" in again["refusals"][0]["sentence"]
    await rig.stop_desk()
    rig.start_desk()
    assert verify_journal(rig.folder, public_key(rig.folder / "journal.pub")).broken == ""
    assert (await rig.submit("dispatcher-1", FEEDER, Action.OPEN, **EMERGENCY))["outcome"] == "completed"


async def test_a_selection_that_cannot_be_journaled_is_withdrawn_from_the_device(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = JournalWriter.ahead

    def full(self: JournalWriter, kind: str, body: Any) -> None:
        if kind == "device" and body["step"] == "select":
            raise ChainError("No space left on device")
        write(self, kind, body)

    monkeypatch.setattr(JournalWriter, "ahead", full)
    report = await rig.operate(FEEDER, Action.OPEN)
    assert report["refusals"][0]["sentence"] == "the journal cannot be written: No space left on device"
    monkeypatch.undo()
    report = await rig.operate(FEEDER, Action.OPEN)
    assert report["outcome"] == "completed", report["refusals"]


async def test_a_refused_order_hides_no_movement(rig: Rig) -> None:
    rig.desk.observe(rig.show(POSITION, 2.0))
    await rig.operate(FEEDER, Action.CLOSE)
    rig.desk.observe(rig.show(POSITION, 1.0))
    assert kinds(rig) == [EventKind.MOVED_WITHOUT_COMMAND]


async def test_a_set_point_changed_at_the_station_is_an_event_with_both_values_and_our_own_is_none(rig: Rig) -> None:
    shown, target = "TN01/T1/voltage_set_point", "TN01/T1/avr.voltage_setpoint"
    before = float(rig.image.read([shown])[0]["value"])
    rig.desk.observe(rig.show(shown, before))
    report = await rig.operate(target, Action.SET, set_point=23.1, unit="kV", reason="test")
    assert report["outcome"] == "completed"
    rig.desk.observe(rig.show(shown, 23.1))
    assert kinds(rig) == []
    rig.desk.observe(rig.show(shown, 22.9))
    (event,) = rig.desk.alarms.unacknowledged.values()
    told = f"{target} changed from 23.1 kV to 22.9 kV without a command"
    assert (event.kind, event.subject, event.sentence) == (EventKind.SET_POINT_CHANGED, target, told)
    assert told in rig.journal_text()


async def test_after_an_unknown_outcome_nothing_rests_on_the_position_of_before(rig: Rig) -> None:
    rig.proxy.expect(operate=Trick.CUT_AFTER)
    assert (await rig.operate(FEEDER, Action.OPEN))["outcome"] == "unknown"
    assert int(rig.image.read([POSITION])[0]["quality"]) == Quality.NOT_TOPICAL


async def test_what_changes_while_another_command_has_the_line_is_seen_before_the_frame(rig: Rig, hooks: Hooks) -> None:
    """One command is verified slowly; the next waits for the station, and is judged when it has it."""
    waiting, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        if rig.orders() == 1:
            waiting.set()
            await go_on.wait()

    hooks.asked = slow
    rig.show("TN01/T1/oltc_automatic", 0.0)
    rig.simulated.plant.set_signal("TN01/T1/oltc_automatic", 0.0, rig.clock())
    tap = asyncio.create_task(rig.submit("dispatcher-1", "TN01/T1", Action.RAISE))
    await asyncio.wait_for(waiting.wait(), PATIENCE_S)
    order = asyncio.create_task(rig.submit("dispatcher-1", FEEDER, Action.OPEN, **EMERGENCY))
    courses = rig.desk.courses
    while not any(each.state == "selected" for each in courses.values() if each.operation.target == FEEDER):  # noqa: ASYNC110  # no bell yet
        await asyncio.sleep(0)
    await rig.desk.submit(rig.document("engineer-1", Wish.TAG, target=FEEDER, tag=TagKind.CONTROL_INHIBIT))
    go_on.set()
    report = await order
    assert AddCause(report["refusals"][0]["cause"]) is AddCause.BLOCKED_BY_COMMAND
    assert rig.orders() == 1
    tap.cancel()


@pytest.mark.parametrize("moment", ["asked", "selected"])
async def test_what_is_cancelled_on_its_way_to_the_station_is_not_sent(rig: Rig, hooks: Hooks, moment: str) -> None:
    """Both persons have signed; a third sees what they do not, while the station is still being asked."""
    cancelling: list[asyncio.Task[dict[str, Any]]] = []

    async def cancel() -> None:
        (course,) = rig.desk.courses.values()
        cancelling.append(asyncio.create_task(rig.about(course.report(), Wish.CANCEL, by="dispatcher-2")))
        await asyncio.sleep(0)

    setattr(hooks, moment, cancel)
    report = await rig.operate(FEEDER, Action.OPEN)
    assert (report["outcome"], report["state"], rig.orders()) == ("refused", "cancelled", 0)
    assert report["refusals"][0]["sentence"] == "cancelled by dispatcher-2; nothing was sent"
    assert (await cancelling[0])["state"] == "cancelled"
    setattr(hooks, moment, _nothing)
    assert (await rig.operate(FEEDER, Action.OPEN))["outcome"] == "completed", "nothing of it is left at the device"


async def test_a_cancel_that_comes_after_the_frame_is_told_at_once_that_it_is_too_late(rig: Rig, hooks: Hooks) -> None:
    told: list[dict[str, Any]] = []

    async def cancel() -> None:
        (course,) = rig.desk.courses.values()
        told.append(await rig.about(course.report(), Wish.CANCEL, by="dispatcher-2"))

    hooks.done = cancel
    assert (await rig.operate(FEEDER, Action.OPEN))["outcome"] == "completed"
    assert [each["refusals"][0]["sentence"] for each in told] == [
        "TN01/471 open was sent already: it cannot be withdrawn"
    ]


async def test_an_alarm_stays_over_restarts_until_somebody_who_may_has_acknowledged_it(rig: Rig) -> None:
    rig.desk.observe(rig.show(POSITION, 2.0))
    rig.desk.observe(rig.show(POSITION, 1.0))
    await rig.stop_desk()
    rig.start_desk()
    (alarm,) = rig.desk.alarms.unacknowledged.values()
    assert alarm.sentence == "TN01/471 moved to open without a command"

    async def acknowledge(by: str) -> dict[str, Any]:
        return await rig.desk.submit(rig.document(by, Wish.ACKNOWLEDGE, subject=alarm.id))

    for by, words in (("viewer-1", "to acknowledge alarms takes OPERATOR"), ("dispatcher-far", "not in TN01")):
        refusal = (await acknowledge(by))["refusals"][0]
        assert AddCause(refusal["cause"]) is AddCause.NO_ACCESS_AUTHORITY and words in refusal["sentence"]
    assert (await acknowledge("dispatcher-1"))["acknowledged"]["id"] == alarm.id
    assert "waits to be acknowledged" in (await acknowledge("dispatcher-1"))["refusals"][0]["sentence"]
    await rig.stop_desk()
    rig.start_desk()
    assert rig.desk.alarms.unacknowledged == {}
    assert f"acknowledged {{'id': '{alarm.id}', 'by': 'dispatcher-1'" in rig.journal_text()


@pytest.mark.parametrize(
    ("steps", "orders"),
    [
        (["TN01/171 open", "TN01/171-7 open", "TN01/171-7 close", "TN01/171 close"], 4),
        (["TN01/T1/oltc_automatic.operate off", "TN01/T1 raise", "TN01/T1 lower"], 3),
        (["TN01/471/autoreclose.operate off", "TN01/471/autoreclose.operate on"], 2),
    ],
    ids=["breaker and disconnector", "tap changer and its automatic", "automatic reclosing"],
)
async def test_every_kind_of_device_is_operated(
    rig: Rig, steps: list[str], orders: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Motors that take no time.
    monkeypatch.setattr(switchgear, "TAP_CHANGE_US", 60_000)
    rig.simulated.plant._switchgear._operating_us[:] = 60_000
    for step in steps:
        target, action = step.split()
        report = await rig.operate(target, Action(action))
        assert report["outcome"] == "completed", report["refusals"]
        rig.refresh()
    assert rig.orders() == orders


async def test_a_set_point_is_in_force_when_it_was_read_back_and_the_regulator_follows_it(rig: Rig) -> None:
    plant = rig.simulated.plant
    before = plant.signal("TN01/T1/tap_position")
    report = await rig.operate("TN01/T1/avr.voltage_setpoint", Action.SET, set_point=23.78, unit="kV")
    assert report["outcome"] == "completed", report["refusals"]
    assert (report["action"], report["set_point"], report["unit"]) == ("set", 23.78, "kV")
    assert [each["sentence"] for each in report["steps"]][-4:] == [
        "TN01/T1/avr.voltage_setpoint set 23.78 kV: sent",
        "the device accepted",
        "the value is in force",
        "TN01/T1/avr.voltage_setpoint is 23.78 kV",
    ]
    assert plant.signal("TN01/T1/voltage_set_point") == 23.78
    assert struct.unpack(">Hh", rig.proxy.delivered[-1][-4:]) == (138 + 59, 2378)
    assert "'action': 'set', 'set_point': 23.78, 'unit': 'kV'" in rig.journal_text()
    for minute in range(1, 4):
        plant.advance(rig.clock() + minute * 60_000_000)
    assert plant.signal("TN01/T1/tap_position") > before


async def test_the_next_step_of_a_set_point_is_selected_and_executed(rig: Rig) -> None:
    fields = {"target": "TN01/T1/avr.voltage_setpoint", "action": Action.SET, "set_point": 22.45, "unit": "kV"}
    report = await rig.desk.submit(rig.document("dispatcher-1", Wish.SELECT, **fields))
    assert report["waits_for"] == "execute"
    report = await rig.ended(await rig.about(report, Wish.EXECUTE))
    assert report["outcome"] == "completed", report["refusals"]
    assert rig.simulated.plant.signal("TN01/T1/voltage_set_point") == 22.45


async def test_a_lockout_relay_that_fell_is_reset(rig: Rig) -> None:
    rig.simulated.plant.set_signal("TN01/171/f86", 1.0, rig.clock())
    link = rig.desk._parts.links.of("TN01")
    while float((await link.return_information("TN01/171/f86.reset"))[0]["value"]) != 1.0:  # noqa: ASYNC110  # no bell
        await asyncio.sleep(0.05)
    rig.refresh()
    assert (await rig.operate("TN01/171/f86.reset", Action.RESET))["outcome"] == "completed"
    assert rig.simulated.plant.signal("TN01/171/f86") == 0.0
