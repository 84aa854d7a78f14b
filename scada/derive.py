"""Derived points computed: a station's whole set at once, after each batch that changed something of it.

Knows the rules as array operations. Does not know files, where values come from, or any clock: a derived value bears
the newest time among its inputs, and every doubt that one of them has.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scada.model.derived import BayState, DerivedPoint, Rule
from scada.model.point import DoublePoint
from scada.model.quality import Quality
from scada.model.sample import PointArray, SampleArray, ValueArray, no_samples, samples
from scada.model.station import DeviceKind, Station

Present = Callable[[], SampleArray]
"""Present state of the points it was made for, in their order."""

Reader = Callable[[Sequence[str]], Present]
"""Makes one for named points: ``ProcessImage.reader``."""

_CLASSES: Final = {
    DeviceKind.CIRCUIT_BREAKER: 0,
    DeviceKind.LOAD_BREAK_SWITCH: 0,
    DeviceKind.DISCONNECTOR: 1,
    DeviceKind.EARTHING_SWITCH: 2,
}
_Index = NDArray[np.intp]
_Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Group:
    """All derived points of one rule in a station: ``row`` (n, most inputs), of which ``used`` are used."""

    rule: Rule
    place: _Index
    row: _Index
    used: _Mask
    classes: NDArray[np.int8]


class Derivation:
    """The derived points of ``stations``; ``after`` computes those of the stations a batch comes from."""

    def __init__(self, stations: Sequence[Station], reader: Reader) -> None:
        self._plans = {each.common_address: _Plan(each.derived, reader) for each in stations if each.derived}

    def after(self, delta: SampleArray) -> SampleArray:
        """What the derived points are after ``delta`` was applied; SAMPLE, empty when no station of it has any.

        After a spontaneous change they are spontaneous; after an interrogation they bear its cause.
        """
        if not len(delta) or not self._plans:
            return no_samples()
        addresses = np.unique(delta["point"] >> 16).tolist()
        cause = int(delta["cause"][0])
        made = [self._plans[each].compute(cause) for each in addresses if each in self._plans]
        return np.concatenate(made) if made else no_samples()


class _Plan:
    """One station's derived points as index arrays."""

    def __init__(self, derived: Sequence[DerivedPoint], reader: Reader) -> None:
        inputs = {point.name: point for each in derived for point in each.inputs}
        self._present = reader(list(inputs))
        place = {name: index for index, name in enumerate(inputs)}
        self._ids: PointArray = np.array([each.point.id for each in derived], dtype=np.int32)
        self._factor = np.array([each.factor for each in derived])
        self._low = np.array([-np.inf if each.point.low is None else each.point.low for each in derived])
        self._high = np.array([np.inf if each.point.high is None else each.point.high for each in derived])
        by_rule: dict[Rule, list[int]] = defaultdict(list)
        for index, each in enumerate(derived):
            by_rule[each.rule].append(index)
        self._groups = [_group(rule, rows, derived, place) for rule, rows in by_rule.items()]

    def compute(self, cause: int) -> SampleArray:
        """All of them, but for those none of whose inputs was ever heard; SAMPLE."""
        state = self._present()
        count = len(self._ids)
        value, time = np.zeros(count), np.zeros(count, dtype=np.int64)
        quality = np.zeros(count, dtype=np.uint8)
        for group in self._groups:
            value[group.place] = _RULES[group.rule](state["value"][group.row], group)
            time[group.place] = np.where(group.used, state["time"][group.row], 0).max(axis=1)
            doubts = np.where(group.used, state["quality"][group.row], 0).astype(np.uint8)
            quality[group.place] = np.bitwise_or.reduce(doubts, axis=1)
        value *= self._factor
        outside = (value < self._low) | (value > self._high)
        quality |= np.where(outside, int(Quality.OVERFLOW), 0).astype(np.uint8)
        heard = time > 0
        return samples(self._ids[heard], time[heard], value[heard], quality[heard], cause)


def _group(rule: Rule, rows: Sequence[int], derived: Sequence[DerivedPoint], place: Mapping[str, int]) -> _Group:
    most = max(len(derived[row].inputs) for row in rows)
    shape = (len(rows), most)
    row_of, used = np.zeros(shape, dtype=np.intp), np.zeros(shape, dtype=np.bool_)
    classes = np.full(shape, -1, dtype=np.int8)
    for line, row in enumerate(rows):
        for column, point in enumerate(derived[row].inputs):
            row_of[line, column] = place[point.name]
            used[line, column] = True
        for column, kind in enumerate(derived[row].kinds):
            classes[line, column] = _CLASSES[kind]
    return _Group(rule, np.array(rows, dtype=np.intp), row_of, used, classes)


def _sum(values: ValueArray, group: _Group) -> ValueArray:
    total: ValueArray = np.where(group.used, values, 0.0).sum(axis=1)
    return total


def _mean(values: ValueArray, group: _Group) -> ValueArray:
    mean: ValueArray = _sum(values, group) / group.used.sum(axis=1)
    return mean


def _maximum(values: ValueArray, group: _Group) -> ValueArray:
    highest: ValueArray = np.where(group.used, values, -np.inf).max(axis=1)
    return highest


def _minimum(values: ValueArray, group: _Group) -> ValueArray:
    lowest: ValueArray = np.where(group.used, values, np.inf).min(axis=1)
    return lowest


def _difference(values: ValueArray, _: _Group) -> ValueArray:
    rest: ValueArray = values[:, 0] - values[:, 1]
    return rest


def _apparent_power(values: ValueArray, _: _Group) -> ValueArray:
    mva: ValueArray = np.hypot(values[:, 0], values[:, 1])
    return mva


def _power(values: ValueArray, _: _Group) -> ValueArray:
    mw: ValueArray = np.sqrt(3.0) * values[:, 0] * values[:, 1] * values[:, 2] / 1000.0
    return mw


def _bay_state(values: ValueArray, group: _Group) -> ValueArray:
    closed, opened = values == DoublePoint.CLOSED, values == DoublePoint.OPEN
    doubtful = (group.used & ~closed & ~opened).any(axis=1)
    earthed = ((group.classes == 2) & closed).any(axis=1)
    isolated = ((group.classes == 1) & opened).any(axis=1)
    standby = ((group.classes == 0) & opened).any(axis=1)
    state: ValueArray = np.select(
        [doubtful, earthed, isolated, standby],
        [float(BayState.IN_TRANSITION), float(BayState.EARTHED), float(BayState.ISOLATED), float(BayState.STANDBY)],
        float(BayState.IN_SERVICE),
    )
    return state


_RULES: Final = {
    Rule.SUM: _sum,
    Rule.MEAN: _mean,
    Rule.MAXIMUM: _maximum,
    Rule.MINIMUM: _minimum,
    Rule.DIFFERENCE: _difference,
    Rule.APPARENT_POWER: _apparent_power,
    Rule.POWER: _power,
    Rule.BAY_STATE: _bay_state,
}
