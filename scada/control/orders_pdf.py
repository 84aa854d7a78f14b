"""A switching order on paper, in Vietnamese: what is to be done, who prepared, checked and approved, what became of it.

Knows words and layout (``order.typ``). Does not sign: the signatures are in the record, the paper names its digest.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final
from zoneinfo import ZoneInfo

import typst

from scada.control.interlocking import Place
from scada.control.orders import OrderFile, OrderState, Step, StepAction
from scada.control.orders_record import OrderStatus, StepRecord
from scada.model.station import DeviceKind, Province

Told = Callable[[str], str]
ACTIONS: Final[Mapping[StepAction, str]] = MappingProxyType(
    {
        StepAction.OPEN: "Cắt",
        StepAction.CLOSE: "Đóng",
        StepAction.RAISE: "Tăng nấc",
        StepAction.LOWER: "Giảm nấc",
        StepAction.SET: "Đặt",
        StepAction.CHECK: "Kiểm tra",
    }
)
DEVICES: Final[Mapping[DeviceKind, str]] = MappingProxyType(
    {
        DeviceKind.CIRCUIT_BREAKER: "máy cắt",
        DeviceKind.DISCONNECTOR: "dao cách ly",
        DeviceKind.EARTHING_SWITCH: "dao tiếp địa",
        DeviceKind.LOAD_BREAK_SWITCH: "dao cắt tải",
    }
)
STATES: Final[Mapping[OrderState, str]] = MappingProxyType(
    {
        OrderState.DRAFTED: "Dự thảo",
        OrderState.CHECKED: "Đã kiểm tra bằng mô phỏng",
        OrderState.APPROVED: "Đã duyệt",
        OrderState.EXECUTING: "Đang thực hiện",
        OrderState.COMPLETED: "Đã hoàn thành",
        OrderState.STOPPED: "Đã dừng",
    }
)
OUTCOMES: Final[Mapping[str, str]] = MappingProxyType(
    {"": "Đang thực hiện", "completed": "Đã thực hiện", "refused": "Bị từ chối", "unknown": "Không rõ kết quả"}
)


def order_pdf(file: OrderFile, status: OrderStatus, province: Province, time_zone: str, told: Told = str) -> bytes:
    """The order as PDF/A-2b; ``told`` puts what the desk said into Vietnamese."""
    pdf = typst.compile(
        (files("scada.control") / "order.typ").read_bytes(),
        format="pdf",
        sys_inputs={"data": json.dumps(order_content(file, status, province, time_zone, told), ensure_ascii=False)},
        pdf_standards=["a-2b"],
        ignore_system_fonts=True,
    )
    assert isinstance(pdf, bytes)
    return pdf


def order_content(
    file: OrderFile, status: OrderStatus, province: Province, time_zone: str, told: Told = str
) -> dict[str, Any]:
    """Everything the template shows, as plain JSON values."""
    zone = ZoneInfo(time_zone)
    order = file.order
    titles = {station.code: station.title_vi for station in province.stations}
    records = {each.number: each for each in status.steps}
    return {
        "number": order.number,
        "purpose": order.purpose,
        "note": order.note,
        "digest": file.digest,
        "state": STATES[status.state] if status.state else "Dự thảo",
        "reason": told(status.reason),
        "stations": [f"{code} · {titles[code]}" for code in order.stations],
        "persons": [
            {"role": "Người lập phiếu", "name": order.prepared_by, "time": local(status.prepared_at, zone)},
            {"role": "Kiểm tra bằng mô phỏng", "name": _checked(status), "time": local(status.checked_at, zone)},
            {"role": "Người duyệt phiếu", "name": status.approved_by, "time": local(status.approved_at, zone)},
            {"role": "Người thực hiện", "name": status.executed_by, "time": local(status.ended_at, zone)},
        ],
        "steps": [
            _step(number, step, records.get(number), province, zone, told)
            for number, step in enumerate(order.step, start=1)
        ],
    }


def local(moment: int, zone: ZoneInfo) -> str:
    """A moment (µs UTC) as written in Vietnam, '' for 0."""
    return f"{datetime.fromtimestamp(moment / 1e6, UTC).astimezone(zone):%H:%M:%S %d/%m/%Y}" if moment else ""


def _step(
    number: int, step: Step, record: StepRecord | None, province: Province, zone: ZoneInfo, told: Told
) -> dict[str, Any]:
    precondition = [step.precondition] if step.precondition else []
    if step.dead_on_site:
        precondition.append("đã thử hết điện tại chỗ")
    return {
        "number": number,
        "place": "Tại trạm" if step.place is Place.ON_SITE else "Từ xa",
        "action": step_words(step, province),
        "precondition": "; ".join(precondition),
        "expect": [str(each) for each in step.expect],
        "begun": local(record.begun, zone) if record else "",
        "ended": local(record.ended, zone) if record else "",
        "outcome": OUTCOMES[record.outcome] if record else "",
        "sentence": told(record.sentence) if record and record.outcome != "completed" else "",
    }


def step_words(step: Step, province: Province) -> str:
    """What a step does, as it is said: ``Cắt máy cắt 171 (TN01)``."""
    if not step.device:
        return ACTIONS[step.action]
    code, name = step.device.split("/", 1)
    if step.value is not None:
        return f"{ACTIONS[step.action]} {name} = {step.value!r} {step.unit} ({code})"
    station = next(each for each in province.stations if each.code == code)
    kind = next((DEVICES[each.kind] for each in station.devices if each.name == name), "máy biến áp")
    return f"{ACTIONS[step.action]} {kind} {name} ({code})"


def _checked(status: OrderStatus) -> str:
    if not status.checked_at:
        return ""
    return "Đạt" if status.check else "Không đạt"
