"""A switching order through the real desk: over its HTTP door, with two keys, to a simulated station and back."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from scada.clock import local
from scada.commands.orderdoor import DeskDoor, present_view
from scada.config import HttpConfig
from scada.control.credentials import CredentialFiles
from scada.control.interlocking import TopologyInterlocking
from scada.control.journal import whole_entries
from scada.control.jws import sign
from scada.control.orders import OrderState, load_order
from scada.control.orders_check import OrderCheck
from scada.control.orders_record import Credentials, OrderRecord, Statement, Word, draft, open_record
from scada.control.orders_run import OrderRun
from scada.control.report_bm20c import bm20c, remote_operations
from scada.control.tenure import segments
from scada.control.whatif import LoadFlowWhatIf
from scada.grid.loadflow import LoadFlow
from scada.grid.topology import Topology
from scada.hmi.control_door import control_routes
from scada.hmi.door import StateDoor
from scada.model.cause import Cause
from scada.model.errors import LinkError
from scada.model.quality import Quality
from scada.model.sample import samples
from tests.fakes_control import PATIENCE_S, Rig, province, rig_at

pytestmark = pytest.mark.integration

ORDER = """\
number = "2026-0007"
purpose = "Cắt xuất tuyến 471 để xử lý khiếm khuyết"
prepared_by = "dispatcher-1"

[[step]]
action = "open"
device = "TN01/471"
expect = [{ point = "TN01/471/active_power", below = 0.05 }]

[[step]]
action = "check"
expect = [{ point = "TN01/471/471.position", equals = 1 }]

[[step]]
action = "close"
device = "TN01/471"
expect = [{ point = "TN01/471/active_power", above = 0.05 }]
"""


@contextlib.asynccontextmanager
async def doors(rig: Rig, var: Path) -> AsyncIterator[None]:
    """What `scada run` opens: the desk's door and the present points; the image follows the field."""

    def points(parameters: Mapping[str, str]) -> dict[str, Any]:
        if parameters["code"] != rig.station.code:
            raise KeyError(f"no station {parameters['code']!r} here")
        rows = rig.image.read([point.name for point in rig.station.points])
        fields = ("value", "quality", "time", "cause")
        return {
            "points": [
                {"name": point.name, **{field: row[field].item() for field in fields}}
                for point, row in zip(rig.station.points, rows, strict=True)
            ]
        }

    async def follow() -> None:
        while True:
            now = rig.clock()
            rig.simulated.plant.advance(now)
            shown = rig.simulated.plant.values(rig.station.code)
            rows = (shown.points.copy(), now, shown.values.copy(), shown.quality.copy())
            rig.image.apply(samples(*rows, Cause.BACKGROUND_SCAN))
            await asyncio.sleep(0.3)

    answers = {"/api/v1/stations/{code}/points": points}
    following = asyncio.create_task(follow(), name="the image follows the field")
    try:
        async with StateDoor("run", answers, HttpConfig(), var, control_routes(lambda: rig.desk)):
            yield
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


def credentials(rig: Rig) -> Credentials:
    return Credentials(
        *CredentialFiles(rig.folder / "authority.toml", rig.folder / "pki", "Asia/Ho_Chi_Minh")(rig.clock())
    )


def approved(rig: Rig, folder: Path, text: str) -> OrderRecord:
    """Drafted by one, tried on a copy of what the image shows, approved by the other."""
    source = folder / "draft.toml"
    source.write_text(text, encoding="utf-8")
    file = load_order(source, province(), [])
    assert file is not None
    said = Statement(Word.PREPARED, file.order.number, file.digest, "", "dispatcher-1", rig.clock())
    document = sign(said.payload, rig.signer("dispatcher-1"))
    record = open_record(
        draft(folder / "orders", source, province(), document, credentials(rig), rig.clock()), province()
    )
    load_flow = LoadFlow(province())
    check = OrderCheck(load_flow, TopologyInterlocking(load_flow.topology), LoadFlowWhatIf(load_flow))
    record.note_check(check.simulate(record.order, rig.image, rig.clock()), rig.clock(), rig.clock())
    agreed = Statement(Word.APPROVED, file.order.number, file.digest, record.status.check, "dispatcher-2", rig.clock())
    record.approve(sign(agreed.payload, rig.signer("dispatcher-2")), credentials(rig), rig.clock())
    return record


async def carried_out(rig: Rig, var: Path, record: OrderRecord, told: list[str]) -> OrderState:
    """In a thread with a loop of its own, as it would be in another process."""

    async def run() -> OrderState:
        topology = Topology(province())
        door = DeskDoor(var, rig.signer("dispatcher-1"), rig.signer("dispatcher-2"), told.append)
        rules = TopologyInterlocking(topology)
        tell = OrderRun(door, rules, topology, rig.clock, lambda number, text: told.append(f"{number} {text}"))
        return await tell.carry_out(record, "dispatcher-1")

    return await asyncio.to_thread(lambda: asyncio.run(run()))


async def test_an_order_opens_and_closes_a_feeder_with_two_signatures_on_each_command(tmp_path: Path) -> None:
    told: list[str] = []
    async with rig_at(tmp_path / "control") as rig, doors(rig, tmp_path):
        with approved(rig, tmp_path, ORDER) as record:
            state = await carried_out(rig, tmp_path, record, told)
            status = record.status
        journal = [entry for path in segments(rig.folder) for entry in whole_entries(path)]

    assert state is OrderState.COMPLETED, told
    assert [each.outcome for each in status.steps] == ["completed"] * 3
    outcomes = [entry.body for entry in journal if entry.kind == "outcome" and entry.body]
    assert [(each["target"], each["action"], each["outcome"], each["persons"]) for each in outcomes] == [
        ("TN01/471", "open", "completed", ["dispatcher-1", "dispatcher-2"]),
        ("TN01/471", "close", "completed", ["dispatcher-1", "dispatcher-2"]),
    ]
    assert [each.command for each in status.steps] == [outcomes[0]["id"], "", outcomes[1]["id"]]

    # At the end of a month the two may be of two; the last report has both behind it.
    months = sorted({_month(entry.time) for entry in journal if entry.kind == "execute"})
    found = [bm20c(remote_operations(journal), [], [], month, ["TN01", "TN02"], "Asia/Ho_Chi_Minh") for month in months]
    assert sum(each.in_month.operations for each in found) == 2
    total = found[-1].since_commissioning
    assert (total.operations, total.successes, total.rate_percent) == (2, 2, 100.0)
    assert [each.by_station["TN02"].operations for each in found] == [0] * len(months)


SET = (
    ORDER[: ORDER.index("[[step]]")]
    + """\
[[step]]
action = "set"
device = "TN01/T1/avr.voltage_setpoint"
value = 23.1
unit = "kV"
expect = [{ point = "TN01/T1/voltage_set_point", above = 23.05 }]
"""
)


async def test_an_order_gives_a_set_point_with_every_check_of_a_single_one(tmp_path: Path) -> None:
    """The second order of the same value is refused by the desk as reached; one between two steps has no frame."""
    told: list[str] = []
    states = []
    async with rig_at(tmp_path / "control") as rig, doors(rig, tmp_path):
        for number, value in (("1", "23.1"), ("2", "23.1"), ("3", "23.1005")):
            text = SET.replace("2026-0007", number).replace("23.1\n", f"{value}\n")
            with approved(rig, tmp_path, text) as record:
                states.append((await carried_out(rig, tmp_path, record, told), record.status.reason))
        journal = [entry for path in segments(rig.folder) for entry in whole_entries(path)]
        assert rig.simulated.plant.signal("TN01/T1/voltage_set_point") == 23.1

    target = "TN01/T1/avr.voltage_setpoint"
    assert states == [
        (OrderState.COMPLETED, ""),
        (OrderState.STOPPED, f"step 1: position reached ({target} is 23.1 kV already)"),
        (
            OrderState.STOPPED,
            f"step 1: inconsistent parameters ({target} cannot be told 23.1005 kV: "
            "23.1005 lies between two steps of 0.01)",
        ),
    ]
    received = [entry.body for entry in journal if entry.kind == "received" and entry.body]
    assert [(each["set_point"], each["unit"]) for each in received] == [(23.1, "kV"), (23.1, "kV"), (23.1005, "kV")]
    (sent,) = [entry.body for entry in journal if entry.kind == "execute" and entry.body]
    assert (sent["command"], sent["set_point"]) == (target, 23.1)


async def test_what_the_desk_refuses_stops_the_order_and_reaches_no_wire(tmp_path: Path) -> None:
    """Between approval and execution somebody switches the bay to local: the desk refuses, the order ends."""
    told: list[str] = []
    async with rig_at(tmp_path / "control") as rig, doors(rig, tmp_path):
        with approved(rig, tmp_path, ORDER) as record:
            rig.simulated.plant.set_signal("TN01/471/local_remote", 0.0, rig.clock())
            async with asyncio.timeout(PATIENCE_S):
                while rig.image.read(["TN01/471/local_remote"])[0]["value"] != 0.0:  # noqa: ASYNC110  # no bell
                    await asyncio.sleep(0.02)
            state = await carried_out(rig, tmp_path, record, told)
            status = record.status
        orders = rig.orders()

    assert state is OrderState.STOPPED
    assert orders == 0
    assert status.reason.startswith("step 1: blocked by switching hierarchy (")
    assert [each.outcome for each in status.steps] == ["refused"]


async def test_a_desk_that_is_gone_leaves_the_step_unknown(tmp_path: Path) -> None:
    told: list[str] = []
    async with rig_at(tmp_path / "control") as rig:
        with approved(rig, tmp_path, ORDER) as record:
            state = await carried_out(rig, tmp_path, record, told)
            status = record.status

    assert state is OrderState.STOPPED
    assert status.steps[0].outcome == "unknown"
    assert status.reason.startswith("step 1: the control desk is lost: scada run is not running")


async def test_the_view_over_the_door_is_that_of_the_image(tmp_path: Path) -> None:
    async with rig_at(tmp_path / "control") as rig, doors(rig, tmp_path):
        names = ["TN01/471/471.position", "TN02/471/471.position"]
        rows = await asyncio.to_thread(lambda: present_view(tmp_path).read(names))

    assert (float(rows[0]["value"]), int(rows[0]["quality"])) == (2.0, Quality.GOOD)
    assert int(rows[1]["quality"]) == Quality.INVALID | Quality.NOT_TOPICAL
    with pytest.raises(LinkError, match="scada run is not running"):
        present_view(tmp_path / "nowhere").read(names)


def _month(time_us: int) -> str:
    return f"{local(time_us, 'Asia/Ho_Chi_Minh'):%Y-%m}"
