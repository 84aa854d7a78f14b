"""Orders to meters' disconnect controls: only by the desk's door, signed, in one's own area, written down before."""

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from scada.control.journal import JournalWriter, whole_entries
from scada.control.message import Wish
from scada.control.tenure import segments
from scada.hashchain import ChainError
from scada.hmi.control_openapi import description
from scada.model.errors import StoreUnavailable
from scada.model.event import EventKind
from scada.model.meterlink import SupplyAction, SupplyOutcome, SupplyPlace
from tests.fakes_control import Rig, rig_at

pytestmark = [pytest.mark.acceptance, pytest.mark.integration]

SERIAL = 2_600_000_007
OFF, ON = SupplyAction.DISCONNECT, SupplyAction.RECONNECT


@dataclass
class FakeSupply:
    """One meter on a feeder of TN01. ``says``: what the head-end makes of the next order."""

    says: SupplyOutcome | Exception = field(default_factory=lambda: SupplyOutcome(SERIAL, "done", "", "CONNECTED"))
    feeder: str = "TN01/471"
    registry_is_away: bool = False
    told: list[tuple[int, SupplyAction, str, float]] = field(default_factory=list)
    journal_then: str = ""
    rig: Rig | None = None
    is_told: threading.Event = field(default_factory=threading.Event)
    may_answer: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.may_answer.set()

    def place(self, serial: int) -> SupplyPlace | None:
        if self.registry_is_away:
            raise StoreUnavailable("the server is shut down")
        return SupplyPlace(serial, "PN01000000007", self.feeder) if serial == SERIAL else None

    def operate(self, serial: int, action: SupplyAction, *, requested_by: str, within_s: float) -> SupplyOutcome:
        assert self.rig is not None
        self.journal_then = self.rig.journal_text()
        self.told.append((serial, action, requested_by, within_s))
        self.is_told.set()
        assert self.may_answer.wait(60.0)
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


@pytest_asyncio.fixture
async def supply(tmp_path: Path) -> AsyncIterator[FakeSupply]:
    control = FakeSupply()
    async with rig_at(tmp_path, supply=control) as rig:
        control.rig = rig
        yield control


async def order(control: FakeSupply, action: SupplyAction, by: str = "dispatcher-1", **more: Any) -> dict[str, Any]:
    assert control.rig is not None
    fields = {"target": str(SERIAL), "supply": action, "reason": "hợp đồng chấm dứt", **more}
    return await control.rig.desk.submit(control.rig.document(by, Wish.SUPPLY, **fields))


def refused(report: dict[str, Any]) -> tuple[str, str]:
    return report["outcome"], report["refusals"][0]["sentence"]


async def test_an_order_is_written_down_before_it_leaves_and_done_when_the_meter_says_so(supply: FakeSupply) -> None:
    supply.says = SupplyOutcome(SERIAL, "done", "", "DISCONNECTED")
    report = await order(supply, OFF)
    assert (report["outcome"], report["sentence"], report["meter_state"]) == (
        "completed",
        "the meter says DISCONNECTED",
        "DISCONNECTED",
    )
    ((serial, action, by, within_s),) = supply.told
    assert (serial, action, by) == (SERIAL, OFF, "dispatcher-1")
    assert 0 < within_s <= 300
    assert "received" in supply.journal_then
    assert "execute" in supply.journal_then
    assert "outcome" not in supply.journal_then
    assert supply.rig is not None
    assert '"outcome":"completed"' in supply.rig.journal_text().replace(" ", "").replace("'", '"')


async def test_orders_that_may_not_be_given_are_refused_and_never_leave(supply: FakeSupply) -> None:
    assert refused(await order(supply, OFF, "viewer-1"))[1].startswith("viewer-1 has VIEWER; to switch the supply")
    assert refused(await order(supply, OFF, "dispatcher-far")) == (
        "refused",
        "dispatcher-far may switch the supply of meters in TN02, not in TN01",
    )
    assert refused(await order(supply, OFF, "revoked-1"))[0] == "refused"
    assert supply.rig is not None
    with supply.rig.standing_clock():
        assert refused(await order(supply, OFF, age_s=61.0, holds_s=60.0))[1].endswith("expired 1.0 s ago")
    assert refused(await order(supply, OFF, target="4711"))[1] == "no installed meter has the serial 4711"
    assert "needs the serial of a meter" in refused(await order(supply, OFF, target="TN01/471"))[1]
    assert "the test flag" in refused(await order(supply, OFF, test=True))[1]
    supply.feeder = ""
    assert refused(await order(supply, OFF, "dispatcher-far"))[1].endswith("not in a meter without a feeder")
    supply.registry_is_away = True
    assert "does not answer" in refused(await order(supply, OFF))[1]
    assert supply.told == []


async def test_the_same_signed_order_is_carried_out_once(supply: FakeSupply) -> None:
    assert supply.rig is not None
    document = supply.rig.document("dispatcher-1", Wish.SUPPLY, target=str(SERIAL), supply=ON)
    outcomes = [(await supply.rig.desk.submit(document))["outcome"] for _ in range(2)]
    assert (outcomes, len(supply.told)) == (["completed", "refused"], 1)


@pytest.mark.parametrize(
    ("says", "outcome", "sentence"),
    [
        (SupplyOutcome(SERIAL, "refused", "not sent in time"), "refused", "not sent in time"),
        (SupplyOutcome(SERIAL, "unknown", "no answer in time"), "unknown", "no answer in time"),
        (SupplyOutcome(SERIAL, "done", "", "CONNECTED"), "unknown", "the meter answered, but says CONNECTED"),
        (SupplyOutcome(SERIAL, "done"), "unknown", "the meter answered, but says no state"),
        (StoreUnavailable("gone"), "unknown", "whether the order was entered is not known: gone"),
    ],
)
async def test_no_success_is_claimed_that_the_meter_has_not_told(
    supply: FakeSupply, says: SupplyOutcome | StoreUnavailable, outcome: str, sentence: str
) -> None:
    supply.says = says
    report = await order(supply, OFF)
    assert (report["outcome"], report["sentence"]) == (outcome, sentence)
    assert supply.rig is not None
    alarms = [each.sentence for each in supply.rig.desk.alarms.unacknowledged.values()]
    told = [f"meter {SERIAL} disconnect: {sentence}; not tried again"] if outcome == "unknown" else []
    assert alarms == told


async def test_a_meter_takes_one_order_at_a_time(supply: FakeSupply) -> None:
    reports = await asyncio.gather(order(supply, ON), order(supply, OFF))
    assert sorted(each["outcome"] for each in reports) == ["completed", "refused"]
    assert len(supply.told) == 1


def outcomes(rig: Rig) -> list[tuple[str, str]]:
    """Of all orders, as the journal has them."""
    entries = [entry for path in segments(rig.folder) for entry in whole_entries(path)]
    return [(e.body["outcome"], e.body["sentence"]) for e in entries if e.kind == "outcome" and e.body is not None]


async def test_a_fault_of_ours_after_an_order_was_sent_leaves_it_unknown_and_the_meter_free(
    supply: FakeSupply, caplog: pytest.LogCaptureFixture
) -> None:
    assert supply.rig is not None
    supply.says = ZeroDivisionError("a bug")
    report = await order(supply, OFF)
    words = "a fault of this program ended it; the log tells which after the order was sent"
    assert (report["outcome"], report["sentence"]) == ("unknown", words)
    assert outcomes(supply.rig) == [("unknown", words)]
    assert [each.kind for each in supply.rig.desk.alarms.events] == [EventKind.OUTCOME_UNKNOWN]
    assert "ZeroDivisionError: a bug" in caplog.text
    supply.says = SupplyOutcome(SERIAL, "done", "", "DISCONNECTED")
    assert (await order(supply, OFF))["outcome"] == "completed"


@pytest.mark.parametrize("waits", [True, False], ids=["somebody waits", "whoever asked is gone"])
async def test_an_order_under_way_when_the_desk_is_stopped_ends_as_unknown_at_once(
    supply: FakeSupply, *, waits: bool
) -> None:
    assert supply.rig is not None
    supply.may_answer.clear()
    asking = asyncio.create_task(order(supply, OFF))
    assert await asyncio.to_thread(supply.is_told.wait, 60.0)
    if not waits:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    await supply.rig.stop_desk()
    told = ("unknown", "the desk was stopped after the order was sent")
    if waits:
        report = await asking
        assert (report["outcome"], report["sentence"]) == told
    supply.may_answer.set()
    supply.rig.start_desk()
    assert outcomes(supply.rig) == [told]
    assert [each.kind for each in supply.rig.desk.alarms.events] == [EventKind.OUTCOME_UNKNOWN]


async def test_an_order_that_cannot_be_journaled_is_refused_and_not_sent(
    supply: FakeSupply, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert supply.rig is not None
    document = supply.rig.document("dispatcher-1", Wish.SUPPLY, target=str(SERIAL), supply=OFF)

    write = JournalWriter.__call__

    def full(self: JournalWriter, kind: str, body: Any) -> None:
        if kind == "execute":
            raise ChainError("No space left on device")
        write(self, kind, body)

    monkeypatch.setattr(JournalWriter, "__call__", full)
    report = await supply.rig.desk.submit(document)
    assert refused(report) == ("refused", "the journal cannot be written: No space left on device")
    assert supply.told == []


async def test_the_door_is_described_with_the_supply_of_meters() -> None:
    described = description()
    assert "supply" in described["paths"]["/api/v1/control/messages"]["post"]["summary"]
    schemas = described["components"]["schemas"]
    assert "disconnect" in str(schemas["SupplyAction"])
    assert {"sentence", "persons", "meter_state"} <= schemas["Report"]["properties"].keys()
