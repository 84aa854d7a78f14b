"""What the control centre knows of its link to a station, as points of that station.

Knows names, kinds and numbers. Does not know how the figures come about. The bay ``link`` has number 255, which no
station file may use; its points are in no map, because no device tells them.
"""

from dataclasses import dataclass
from typing import Final

from scada.model.point import Point, PointKind, point_id

LINK_BAY: Final = "link"
LINK_BAY_NUMBER: Final = 255


@dataclass(frozen=True, slots=True)
class LinkFigures:
    """The figures, in the order of ``LINK_POINTS``; totals since the scan began."""

    up: bool = False
    event_overflow: bool = False
    round_trips: int = 0
    errors: int = 0
    silent_scans: int = 0
    overruns: int = 0
    scan_s: float = 0.0
    failed_points: int = 0
    events: int = 0
    events_lost: int = 0
    wrong_times: int = 0
    chattering: int = 0
    chatter_suppressed: int = 0


LINK_POINTS: Final = (
    (1, "up", PointKind.SINGLE_POINT, "", "Kết nối với trạm", "Link to the station"),
    (2, "event_overflow", PointKind.SINGLE_POINT, "", "Tràn bộ đệm sự kiện", "Event buffer overflow"),
    (10, "round_trips", PointKind.INTEGRATED_TOTAL, "", "Số lần hỏi đáp", "Round trips"),
    (11, "errors", PointKind.INTEGRATED_TOTAL, "", "Số lần hỏi lỗi", "Requests failed or refused"),
    (12, "silent_scans", PointKind.INTEGRATED_TOTAL, "", "Số lần quét không trả lời", "Scans without an answer"),
    (13, "overruns", PointKind.INTEGRATED_TOTAL, "", "Số lần quét quá chu kỳ", "Scans overrun"),
    (14, "scan_s", PointKind.MEASURED_VALUE, "s", "Thời gian quét", "Duration of the last scan"),
    (15, "failed_points", PointKind.MEASURED_VALUE, "", "Số điểm không đọc được", "Points not delivered"),
    (20, "events", PointKind.INTEGRATED_TOTAL, "", "Số sự kiện đã nhận", "Time-tagged changes received"),
    (21, "events_lost", PointKind.INTEGRATED_TOTAL, "", "Số sự kiện bị mất", "Events lost by the device"),
    (22, "wrong_times", PointKind.INTEGRATED_TOTAL, "", "Số nhãn thời gian sai", "Time tags not believed"),
    (23, "chattering", PointKind.MEASURED_VALUE, "", "Số tiếp điểm dao động", "Contacts blocked as chattering"),
    (24, "chatter_suppressed", PointKind.INTEGRATED_TOTAL, "", "Số thay đổi bị giữ lại", "Changes held back"),
)
"""Number, name (a field of ``LinkFigures``), kind, unit and titles."""


def link_points(station: str, common_address: int) -> tuple[Point, ...]:
    """The supervision points of a station, in the order of ``LINK_POINTS``."""
    return tuple(
        Point(
            id=point_id(common_address, LINK_BAY_NUMBER, number),
            name=f"{station}/{LINK_BAY}/{name}",
            kind=kind,
            title_vi=title_vi,
            title_en=title_en,
            unit=unit,
            deadband=0.05 if name == "scan_s" else 0.0,
        )
        for number, name, kind, unit, title_vi, title_en in LINK_POINTS
    )
