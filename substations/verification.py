"""Does a map fit its device? What the device answered, judged against the limits of the points.

Knows plausibility and the four orders. Does not know sockets: what was read is an argument.

A wrong order of words seldom leaves a value plausible: it is found by trying the others on the same bytes. A value so
small that no instrument resolves it counts as implausible too, because swapped floats often are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np

from substations.decode import Codec
from substations.layout import RawArray
from substations.polling import ReadBlock
from substations.registers import BoundPoint
from substations.wiretypes import Order, WireType

_LEAST: Final = 1e-9
"""Part of a point's range below which a value other than 0 is no measurement."""
_FLOATS: Final = (WireType.FLOAT32, WireType.FLOAT64)


class Weight(StrEnum):
    """What a finding is worth."""

    FAULT = "fault"
    """The map or the device is wrong."""
    NOTE = "note"
    """Worth a look; may be meant so."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not fit: where, and a sentence."""

    weight: Weight
    where: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What came of it; ``checked`` points were read and judged."""

    checked: int
    findings: tuple[Finding, ...]

    @property
    def faults(self) -> int:
        """How many findings are faults."""
        return sum(each.weight is Weight.FAULT for each in self.findings)


def judge_value(name: str, value: float, low: float | None, high: float | None, unit: str) -> Finding | None:
    """A value outside what is physically possible, or none at all; None when it is plausible."""
    if not np.isfinite(value):
        return Finding(Weight.FAULT, name, f"shows {value}, which is no number")
    if (low is not None and value < low) or (high is not None and value > high):
        bounds = f"{'' if low is None else f'{low:g}'} … {'' if high is None else f'{high:g}'} {unit}".strip()
        return Finding(Weight.FAULT, name, f"shows {value:g} {unit}".strip() + f", outside {bounds}")
    return None


def judge_registers(read: ReadBlock, raw: RawArray) -> list[Finding]:
    """What is implausible in the answer to one read; ``raw`` as ``substations.decode`` takes it."""
    values = _values(read, read.entries, raw)
    findings = [
        found
        for entry, (value, absent) in zip(read.entries, values, strict=True)
        if not absent
        and (found := judge_value(entry.point.name, value, entry.point.low, entry.point.high, entry.point.unit))
    ]
    return findings + _judge_order(read, raw)


def _judge_order(read: ReadBlock, raw: RawArray) -> list[Finding]:
    """Whether the values of several registers would be plausible in another order, and only there."""
    findings: list[Finding] = []
    for order in Order:
        mine = [entry for entry in read.entries if entry.order is order and entry.type.registers > 1]
        doubtful = _implausible(read, mine, raw, order)
        if not doubtful:
            continue
        others = {other: _implausible(read, mine, raw, other) for other in Order if other is not order}
        best = min(others, key=lambda other: others[other])
        if others[best] < doubtful and (others[best] == 0 or others[best] * 4 <= doubtful):
            where = read.place
            sentence = (
                f"order {order.value} makes {doubtful} of {len(mine)} values implausible, "
                f"{best.value} only {others[best]}: the map's order is wrong"
            )
            findings.append(Finding(Weight.FAULT, where, sentence))
    return findings


def _implausible(read: ReadBlock, entries: Sequence[BoundPoint], raw: RawArray, order: Order) -> int:
    swapped = [replace(entry, order=order) for entry in entries]
    return sum(
        not absent and not _is_plausible(entry, value)
        for entry, (value, absent) in zip(swapped, _values(read, swapped, raw), strict=True)
    )


def _is_plausible(entry: BoundPoint, value: float) -> bool:
    low, high = entry.point.low, entry.point.high
    if judge_value("", value, low, high, "") is not None:
        return False
    if entry.type not in _FLOATS or value == 0.0:
        return True
    reach = max(abs(low or 0.0), abs(high or 0.0)) or 1.0
    return abs(value) > reach * _LEAST


def _values(read: ReadBlock, entries: Sequence[BoundPoint], raw: RawArray) -> list[tuple[float, bool]]:
    """Value of every entry, in their order, and whether the device says that it has none."""
    if not entries:
        return []
    codec = Codec(entries, read.start, read.count)
    values, quality = codec.decode(raw)
    by_place = {id(entry): row for row, entry in enumerate(codec.entries)}
    return [(float(values[by_place[id(entry)]]), bool(quality[by_place[id(entry)]] & 0x80)) for entry in entries]
