"""Values as people read them: positions as words, numbers with units, local time, quality as words."""

from scada.clock import local
from scada.hmi.language import say
from scada.model.cause import Cause
from scada.model.derived import BayState
from scada.model.point import DoublePoint, Point, PointKind
from scada.model.quality import Quality

POSITIONS_VI = {
    DoublePoint.INTERMEDIATE: "trung gian",
    DoublePoint.OPEN: "mở",
    DoublePoint.CLOSED: "đóng",
    DoublePoint.FAULTY: "lỗi",
}


BAY_STATES = {
    BayState.IN_TRANSITION: ("không xác định", "in transition"),
    BayState.IN_SERVICE: ("vận hành", "in service"),
    BayState.STANDBY: ("dự phòng", "standby"),
    BayState.ISOLATED: ("cách ly", "isolated"),
    BayState.EARTHED: ("tiếp địa", "earthed"),
}


def value_words(point: Point, value: float, language: str) -> str:
    """``closed``, ``1``, ``10`` or ``231.4 A``."""
    if point.kind is PointKind.DOUBLE_POINT:
        position = DoublePoint(int(value)) if value in tuple(DoublePoint) else DoublePoint.FAULTY
        return POSITIONS_VI[position] if language == "vi" else position.name.lower()
    if point.quantity == "bay_state" and value in tuple(BayState):
        return BAY_STATES[BayState(int(value))][language != "vi"]
    if point.kind in (PointKind.SINGLE_POINT, PointKind.STEP_POSITION):
        return f"{value:.0f}"
    number = f"{value:,.0f}" if point.kind is PointKind.INTEGRATED_TOTAL else f"{value:,.2f}"
    return f"{number} {point.unit}".rstrip()


def quality_words(quality: int, language: str) -> str:
    """``good`` or the doubts, joined by a plus sign."""
    return "+".join(say(each, language) for each in Quality(quality).label.split("+"))


def cause_words(cause: int, language: str) -> str:
    """``spontaneous``."""
    return say(Cause(cause).name.lower(), language)


def time_words(time_us: int, zone: str) -> str:
    """Local time to the millisecond, a dash for 0: never heard of."""
    if time_us == 0:
        return "–"
    moment = local(time_us, zone)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d}"


def title(point: Point, language: str) -> str:
    """The point's title in the language of the configuration."""
    return point.title_vi if language == "vi" else point.title_en
