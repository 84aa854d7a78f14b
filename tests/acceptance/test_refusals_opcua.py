"""The life of commands at a real simulated OPC UA station, and what may be claimed when something goes wrong there.

Feeder 471 is operated through two nodes with an echo, coupler 412 through the methods of an object. Between desk and
station stands a proxy that cuts connections.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import replace

import pytest
import pytest_asyncio
from rich.table import Table

from scada.control.message import Wish
from scada.model.addcause import AddCause
from scada.model.event import EventKind
from scada.model.switching import Action
from substations.commanding import StationCommands
from tests.cutting_proxy import Cut, CuttingProxy
from tests.fakes_control import Rig, maps, rig_at
from tests.refusing import Answer, Case, Refusals, judged, printed_table

pytestmark = [pytest.mark.integration, pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="module")]

FEEDER, COUPLER = "TN13/471", "TN13/412"
SET_POINT = "TN13/T1/avr.voltage_setpoint"
PROXIES: list[CuttingProxy] = []
REFUSALS = Refusals()
case = REFUSALS.case


def proxy() -> CuttingProxy:
    return PROXIES[0]


def through(port: int) -> int:
    PROXIES.append(CuttingProxy(port))
    return proxy().port


@case("OPC UA: link lost before select", AddCause.ABORTED_BY_COMMUNICATION_LOSS, "does not answer, nothing was sent")
async def lost_before(rig: Rig) -> Answer:
    report = await rig.submit("dispatcher-1", FEEDER, Action.OPEN)
    link = rig.desk._parts.links.of("TN13")
    endpoint = link._endpoint  # type: ignore[attr-defined]  # its own
    # A connection that ends before the first answer is waited for all the same.
    link._endpoint = replace(endpoint, timeout_s=0.2)  # type: ignore[attr-defined]  # its own
    proxy().down = True
    proxy().drop()
    try:
        return await rig.ended(await rig.approve(report))
    finally:
        proxy().down = False
        link._endpoint = endpoint  # type: ignore[attr-defined]  # its own


@case("OPC UA: link lost at select", AddCause.ABORTED_BY_COMMUNICATION_LOSS, "while selecting, nothing moved")
async def lost_at_select(rig: Rig) -> Answer:
    proxy().cut(b"471.operate.SBO", Cut.BEFORE_THE_SERVER_HEARS)
    return await rig.operate(FEEDER, Action.OPEN)


@case(
    "OPC UA: link lost between select and execute", AddCause.ABORTED_BY_COMMUNICATION_LOSS, "before the order was sent"
)
async def lost_between(rig: Rig) -> Answer:
    report = await rig.selected(FEEDER, Action.OPEN)
    proxy().drop()
    return await rig.ended(await rig.about(report, Wish.EXECUTE))


@case(
    "OPC UA: link lost with the order under way, which never arrived",
    AddCause.ABORTED_BY_COMMUNICATION_LOSS,
    "lost after the order was sent",
    outcome="unknown",
)
async def lost_under_way(rig: Rig) -> Answer:
    proxy().cut(b"471.operate.Oper", Cut.BEFORE_THE_SERVER_HEARS)
    return await rig.operate(FEEDER, Action.OPEN)


@case(
    "OPC UA: link lost after the order, before the confirmation",
    AddCause.ABORTED_BY_COMMUNICATION_LOSS,
    "lost after the order was sent",
    outcome="unknown",
    orders=1,
)
async def lost_after(rig: Rig) -> Answer:
    proxy().cut(b"471.operate.Oper", Cut.BEFORE_THE_CLIENT_HEARS)
    answer = await rig.operate(FEEDER, Action.OPEN)
    assert rig.desk.alarms.events[-1].kind is EventKind.OUTCOME_UNKNOWN
    return answer


@case("OPC UA: selected by another client", AddCause.OBJECT_ALREADY_SELECTED, "refused the select")
async def selected_elsewhere(rig: Rig) -> Answer:
    other = StationCommands([rig.station], maps(), rig.clock)
    link = other.of("TN13")
    assert (await link.select("TN13/471/471.operate", "open")).refused is None
    try:
        return await rig.operate(FEEDER, Action.OPEN)
    finally:
        await link.cancel("TN13/471/471.operate")
        await other.close()


@case("OPC UA: negative confirmation", AddCause.BLOCKED_BY_SWITCHING_HIERARCHY, "refused the operate", orders=1)
async def negative(rig: Rig) -> Answer:
    return await _in_local(rig, FEEDER, Action.OPEN)


@case("OPC UA method: negative confirmation", AddCause.UNKNOWN, "unknown (BadInvalidState)", orders=1)
async def negative_method(rig: Rig) -> Answer:
    """This object shows no reason: what the server's status says is all there is."""
    return await _in_local(rig, COUPLER, Action.CLOSE)


async def _in_local(rig: Rig, target: str, action: Action) -> Answer:
    """Somebody turns the switch at the bay, and the centre has not heard of it yet."""
    plant, switch = rig.simulated.plant, f"{target}/local_remote"
    plant.set_signal(switch, 0.0, rig.clock())
    try:
        return await rig.operate(target, action)
    finally:
        plant.set_signal(switch, 1.0, rig.clock())


@case("OPC UA: confirmation but no movement", AddCause.TIME_LIMIT_OVER, "did not open", outcome="unknown", orders=1)
async def no_movement(rig: Rig) -> Answer:
    return await _stuck(rig, FEEDER, Action.OPEN)


@case(
    "OPC UA method: confirmation but no movement",
    AddCause.TIME_LIMIT_OVER,
    "did not close",
    outcome="unknown",
    orders=1,
)
async def no_movement_method(rig: Rig) -> Answer:
    return await _stuck(rig, COUPLER, Action.CLOSE)


async def _stuck(rig: Rig, target: str, action: Action) -> Answer:
    station, device = target.split("/")
    rig.simulated.plant.stick(station, device, stuck=True)
    try:
        answer = await rig.operate_in_vain(target, action)
    finally:
        rig.simulated.plant.stick(station, device, stuck=False)
    assert rig.desk.alarms.events[-1].kind is EventKind.FAIL_TO_OPERATE
    return answer


@case("OPC UA: cancelled after select", AddCause.ABORTED_BY_CANCEL, "cancelled by dispatcher-2; nothing was sent")
async def cancelled(rig: Rig) -> Answer:
    report = await rig.selected(FEEDER, Action.OPEN)
    answer = await rig.ended(await rig.about(report, Wish.CANCEL, by="dispatcher-2"))
    assert "'step': 'cancel', 'refused': None" in rig.journal_text()
    return answer


@case("OPC UA method: cancelled after select", AddCause.ABORTED_BY_CANCEL, "nothing was sent")
async def cancelled_method(rig: Rig) -> Answer:
    report = await rig.selected(COUPLER, Action.CLOSE)
    return await rig.ended(await rig.about(report, Wish.CANCEL))


@case("OPC UA: position already reached", AddCause.POSITION_REACHED, "is closed already")
async def reached(rig: Rig) -> Answer:
    return await rig.operate(FEEDER, Action.CLOSE)


# -- set-points: float nodes, whose neighbours lie closer together than any person types


async def set_to(rig: Rig, value: float) -> Answer:
    return await rig.operate(SET_POINT, Action.SET, set_point=value, unit="kV")


@case("OPC UA: a set-point outside its limits", AddCause.INCONSISTENT_PARAMETERS, "outside the limits")
async def outside_limits(rig: Rig) -> Answer:
    return await set_to(rig, 20.99)


@case("OPC UA: a set-point already in force", AddCause.POSITION_REACHED, "is 22.44 kV already")
async def already_in_force(rig: Rig) -> Answer:
    return await set_to(rig, 22.44)


@case(
    "OPC UA: a set-point the device itself refuses",
    AddCause.BLOCKED_BY_SWITCHING_HIERARCHY,
    "refused the operate",
    orders=1,
)
async def set_point_refused(rig: Rig) -> Answer:
    plant, switch = rig.simulated.plant, "TN13/T1/oltc_local_remote"
    plant.set_signal(switch, 0.0, rig.clock())
    try:
        return await set_to(rig, 23.1)
    finally:
        plant.set_signal(switch, 1.0, rig.clock())


@case(
    "OPC UA: a set-point that is not taken over",
    AddCause.TIME_LIMIT_OVER,
    "did not set 23.1",
    outcome="unknown",
    orders=1,
)
async def set_point_not_taken_over(rig: Rig) -> Answer:
    rig.simulated.plant.stick("TN13", "T1", stuck=True)
    try:
        return await rig.operate_in_vain(SET_POINT, Action.SET, set_point=23.1, unit="kV")
    finally:
        rig.simulated.plant.stick("TN13", "T1", stuck=False)


# -- running them


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    try:
        async with rig_at(tmp_path_factory.mktemp("control"), "TN13", through=through) as made:
            yield made
    finally:
        for each in PROXIES:
            each.close()
        PROXIES.clear()


@pytest.fixture(scope="module")
def shown() -> Iterator[Table]:
    """The table of the reasons, printed when all are through."""
    with printed_table("Refusals at an OPC UA station") as table:
        yield table


@pytest.mark.parametrize("attempt", REFUSALS.cases, ids=lambda each: each.name)
async def test_it_is_not_carried_out_and_says_why(rig: Rig, shown: Table, attempt: Case) -> None:
    rig.refresh()
    await judged(rig, shown, attempt)
    await restored(rig)


async def restored(rig: Rig) -> None:
    """Everything as it was, also the selections a lost connection left behind at the device."""
    proxy().cut(b"", Cut.BEFORE_THE_SERVER_HEARS)
    for command in ("TN13/471/471.operate", "TN13/412/412.operate"):
        with suppress(LookupError):
            await rig.desk._parts.links.of("TN13").cancel(command)
    await rig.settle()
    if float(rig.image.read(["TN13/471/471.position"])[0]["value"]) == 1.0:
        report = await rig.operate(FEEDER, Action.CLOSE)
        assert report["outcome"] == "completed", report["refusals"]


@pytest.mark.parametrize(("target", "there", "back"), [(FEEDER, "open", "close"), (COUPLER, "close", "open")])
async def test_two_persons_operate_there_and_back(rig: Rig, target: str, there: str, back: str) -> None:
    rig.refresh()
    before = rig.orders()
    for action in (Action(there), Action(back)):
        report = await rig.operate(target, action)
        assert report["outcome"] == "completed", report["refusals"]
        assert [each["state"] for each in report["steps"]][-4:] == ["executed", "confirmed", "terminated", "verified"]
        rig.refresh()
    assert rig.orders() - before == 2


async def test_a_set_point_is_in_force_when_it_was_read_back(rig: Rig) -> None:
    rig.refresh()
    report = await set_to(rig, 23.17)
    assert report["outcome"] == "completed", report["refusals"]
    assert report["steps"][-1]["sentence"] == f"{SET_POINT} is 23.17 kV"
    assert abs(rig.simulated.plant.signal("TN13/T1/voltage_set_point") - 23.17) < 0.005
    rig.refresh()
    assert (await set_to(rig, 22.44))["outcome"] == "completed"


async def test_a_selected_device_is_executed_over_the_connection_it_was_selected_on(rig: Rig) -> None:
    rig.refresh()
    report = await rig.selected(COUPLER, Action.CLOSE)
    assert (await rig.ended(await rig.about(report, Wish.EXECUTE)))["outcome"] == "completed"
    rig.refresh()
    assert (await rig.operate(COUPLER, Action.OPEN))["outcome"] == "completed"
