"""OBIS codes of the quantities a meter delivers (IEC 62056-6-1): one table, read by codec, head-end and documentation.

Knows codes, units, titles and the small number that stands for a code in ``REGISTER.obis``. Does not know payloads or
values. A number is given once and never re-used: it is stored.
"""

import re
from dataclasses import dataclass
from enum import StrEnum


class Unit(StrEnum):
    """Unit in which a quantity travels and is stored; NONE for counters, logs and text."""

    WH = "Wh"
    VARH = "varh"
    W = "W"
    V = "V"
    A = "A"
    HZ = "Hz"
    NONE = ""


class ObisKind(StrEnum):
    """What stands behind a code."""

    REGISTER = "register"
    INSTANTANEOUS = "instantaneous"
    COUNTER = "counter"
    PROFILE = "profile"
    EVENT_LOG = "event_log"
    CONTROL = "control"
    IDENTIFICATION = "identification"


@dataclass(frozen=True, slots=True)
class Obis:
    """One quantity. ``code`` is the reduced form ``A-B:C.D.E`` (value group F = 255)."""

    number: int
    code: str
    kind: ObisKind
    unit: Unit
    title_vi: str
    title_en: str


def _tariffs(first: int, group: str, direction_vi: str, direction_en: str) -> tuple[Obis, ...]:
    return tuple(
        Obis(
            first + rate - 1,
            f"1-0:{group}.8.{rate}",
            ObisKind.REGISTER,
            Unit.WH,
            f"Điện năng hữu công {direction_vi}, biểu giá {rate}",
            f"Active energy {direction_en}, rate {rate}",
        )
        for rate in range(1, 5)
    )


def _phases(first: int, groups: tuple[int, int, int], unit: Unit, vi: str, en: str) -> tuple[Obis, ...]:
    return tuple(
        Obis(
            first + phase,
            f"1-0:{group}.7.0",
            ObisKind.INSTANTANEOUS,
            unit,
            f"{vi} pha {phase + 1}",
            f"{en} L{phase + 1}",
        )
        for phase, group in enumerate(groups)
    )


_R, _I, _C = ObisKind.REGISTER, ObisKind.INSTANTANEOUS, ObisKind.COUNTER

OBIS: tuple[Obis, ...] = (
    Obis(1, "1-0:1.8.0", _R, Unit.WH, "Điện năng hữu công giao, tổng", "Active energy import, total"),
    *_tariffs(2, "1", "giao", "import"),
    Obis(6, "1-0:2.8.0", _R, Unit.WH, "Điện năng hữu công nhận, tổng", "Active energy export, total"),
    *_tariffs(7, "2", "nhận", "export"),
    Obis(11, "1-0:3.8.0", _R, Unit.VARH, "Điện năng vô công giao, tổng", "Reactive energy import, total"),
    Obis(12, "1-0:4.8.0", _R, Unit.VARH, "Điện năng vô công nhận, tổng", "Reactive energy export, total"),
    Obis(13, "1-0:1.6.0", _R, Unit.W, "Công suất cực đại", "Maximum demand, active import"),
    Obis(20, "1-0:1.7.0", _I, Unit.W, "Công suất hữu công giao", "Active power import"),
    Obis(21, "1-0:2.7.0", _I, Unit.W, "Công suất hữu công nhận", "Active power export"),
    *_phases(22, (32, 52, 72), Unit.V, "Điện áp", "Voltage"),
    *_phases(25, (31, 51, 71), Unit.A, "Dòng điện", "Current"),
    Obis(28, "1-0:13.7.0", _I, Unit.NONE, "Hệ số công suất", "Power factor"),
    Obis(29, "1-0:14.7.0", _I, Unit.HZ, "Tần số", "Frequency"),
    Obis(40, "1-0:32.32.0", _C, Unit.NONE, "Số lần sụt áp pha 1", "Voltage sags L1"),
    Obis(41, "1-0:32.36.0", _C, Unit.NONE, "Số lần quá áp pha 1", "Voltage swells L1"),
    Obis(42, "0-0:96.7.21", _C, Unit.NONE, "Số lần mất điện", "Power failures"),
    Obis(43, "0-0:96.7.9", _C, Unit.NONE, "Số lần mất điện kéo dài", "Long power failures"),
    Obis(60, "1-0:99.1.0", ObisKind.PROFILE, Unit.NONE, "Biểu đồ phụ tải", "Load profile"),
    Obis(61, "1-0:99.2.0", ObisKind.PROFILE, Unit.NONE, "Chỉ số chốt ngày", "Daily snapshot"),
    Obis(62, "0-0:98.1.0", ObisKind.PROFILE, Unit.NONE, "Chỉ số chốt tháng", "Monthly snapshot"),
    Obis(63, "0-0:99.98.0", ObisKind.EVENT_LOG, Unit.NONE, "Nhật ký sự kiện chuẩn", "Standard event log"),
    Obis(64, "0-0:99.98.1", ObisKind.EVENT_LOG, Unit.NONE, "Nhật ký chống gian lận", "Fraud detection log"),
    Obis(70, "0-0:96.3.10", ObisKind.CONTROL, Unit.NONE, "Điều khiển đóng cắt", "Disconnect control"),
    Obis(71, "0-0:96.1.0", ObisKind.IDENTIFICATION, Unit.NONE, "Số chế tạo công tơ", "Meter serial number"),
)
"""Every quantity this system knows, in order of its number."""

BY_CODE = {entry.code: entry for entry in OBIS}
BY_NUMBER = {entry.number: entry for entry in OBIS}

_FORM = re.compile(r"(?:(\d{1,3})-(\d{1,3}):)?(\d{1,3})\.(\d{1,3})(?:\.(\d{1,3}))?(?:[*](\d{1,3}))?", re.ASCII)


def normal_form(text: str) -> str | None:
    """The reduced form ``A-B:C.D.E`` of an OBIS code, or None when the text is none.

    Accepts ``1-0:1.8.0``, the full ``1-0:1.8.0*255`` and the short ``1.8.0`` printed on displays (medium and
    channel 1-0). Each value group is 0..255; a value group F other than 255 names a historical value and is refused.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        return None
    medium, channel, c, d, e, f = match.groups()
    groups = [int(group) for group in (medium or "1", channel or "0", c, d, e or "0")]
    if max(groups) > 255 or int(f or "255") != 255:
        return None
    return "{}-{}:{}.{}.{}".format(*groups)
