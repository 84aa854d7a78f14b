"""Derived points as the files write them: the rows, what makes one consistent, and how it grows in a station.

Knows bay types' and stations' ``derived`` lists. Does not know bay types, folders or the state of anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from scada.model.derived import INPUTS, DerivedPoint, Rule
from scada.model.point import Point, PointKind, point_id
from scada.model.quantity import Quantity
from scada.model.station import DeviceKind
from scada.tables import Faults, bounded, nearest


@dataclass(frozen=True, slots=True)
class DerivedRow:
    """One derived point of a bay type; ``of`` names points of the same type, placeholders included.

    ``of_rating``: as a percentage of the rated power of the bay's transformer.
    """

    name: str
    rule: Rule
    of: tuple[str, ...]
    vi: str
    en: str
    number: int = bounded(low=1, high=255)
    unit: str = ""
    deadband: float = bounded(low=0.0, default=0.0)
    low: float | None = None
    high: float | None = None
    of_rating: bool = False


@dataclass(frozen=True, slots=True)
class StationDerivedRow:
    """One derived point of a station, shown in ``bay``; ``of`` are patterns of ``BAY/object``: ``T?/hv.active_power``.

    In a pattern ``*`` stands for anything, ``?`` for one character, ``[34]`` for one of these.
    """

    bay: str
    name: str
    rule: Rule
    of: tuple[str, ...]
    vi: str
    en: str
    number: int = bounded(low=1, high=255)
    unit: str = ""
    deadband: float = bounded(low=0.0, default=0.0)
    low: float | None = None
    high: float | None = None


def check_derived_rows(
    rows: Sequence[DerivedRow],
    quantities: Mapping[str, Quantity],
    numbers: Sequence[int],
    faults: Faults,
    *,
    transformer: bool,
) -> None:
    """Every contradiction of a bay type's derived points, into ``faults``. ``quantities``: of its points by name."""
    names: set[str] = set(quantities)
    taken = set(numbers)
    for index, row in enumerate(rows, start=1):
        key = f"derived[{index}]"
        if row.name in names:
            faults.add(f"{key}.name", f"{row.name!r} is the name of another point")
        if row.number in taken:
            faults.add(f"{key}.number", f"{row.number} is the number of another point")
        names.add(row.name)
        taken.add(row.number)
        for name in row.of:
            if name not in quantities:
                faults.add(f"{key}.of", f"unknown point {name!r}{_nearest_few(name, tuple(quantities))}")
            elif row.rule is Rule.BAY_STATE and quantities[name] is not Quantity.POSITION:
                faults.add(f"{key}.of", f"{name!r} is no position")
        if row.of_rating and not transformer:
            faults.add(f"{key}.of_rating", "only the bay of a transformer has a rating")
        _check_inputs(row.rule, len(row.of), faults, key)
        _check_limits(row.low, row.high, faults, key)


def check_station_rows(
    rows: Sequence[StationDerivedRow], points: Sequence[Point], taken: Sequence[Point], faults: Faults
) -> None:
    """Every contradiction of a station's derived points, into ``faults``.

    points: what may be an input; taken: every point of the station, derived ones of its bay types included.
    """
    bays = {point.bay for point in points}
    names = {_local(point) for point in taken}
    numbers = {(point.bay, point.id & 0xFF) for point in taken}
    for index, row in enumerate(rows, start=1):
        key = f"derived[{index}]"
        if row.bay not in bays:
            faults.add(f"{key}.bay", f"unknown bay {row.bay!r}{nearest(row.bay, sorted(bays))}")
        if f"{row.bay}/{row.name}" in names:
            faults.add(f"{key}.name", f"{row.bay}/{row.name} is the name of another point")
        if (row.bay, row.number) in numbers:
            faults.add(f"{key}.number", f"{row.number} is the number of another point of bay {row.bay}")
        names.add(f"{row.bay}/{row.name}")
        numbers.add((row.bay, row.number))
        if row.rule is Rule.BAY_STATE:
            faults.add(f"{key}.rule", "a bay's state is derived in its bay type")
        for pattern in row.of:
            if not any(fnmatchcase(_local(point), pattern) for point in points):
                hint = _nearest_few(pattern, [_local(point) for point in points])
                faults.add(f"{key}.of", f"no point matches {pattern!r}{hint}")
        _check_inputs(row.rule, len(_matching(row.of, points)), faults, key)
        _check_limits(row.low, row.high, faults, key)


def derived_of_bay(
    rows: Sequence[DerivedRow],
    by_pattern: Mapping[str, Point],
    kinds: Mapping[str, DeviceKind],
    names: Mapping[str, str],
    place: tuple[str, str, int, int],
    rated_mva: float,
) -> tuple[DerivedPoint, ...]:
    """The derived points of one bay. place: station, bay, common address, bay number; kinds: of devices by name."""
    station, bay, address, bay_number = place
    derived = []
    for row in rows:
        inputs = tuple(by_pattern[name] for name in row.of)
        point = Point(
            id=point_id(address, bay_number, row.number),
            name=f"{station}/{bay}/{row.name.format_map(names)}",
            kind=_kind(row.rule),
            title_vi=row.vi.format_map(names),
            title_en=row.en.format_map(names),
            unit=row.unit,
            deadband=row.deadband,
            low=row.low,
            high=row.high,
            quantity=row.rule.value if row.rule is Rule.BAY_STATE else "",
        )
        states = tuple(kinds[each.device] for each in inputs) if row.rule is Rule.BAY_STATE else ()
        factor = 100.0 / rated_mva if row.of_rating else 1.0
        derived.append(DerivedPoint(point, row.rule, inputs, factor, states))
    return tuple(derived)


def derived_of_station(
    rows: Sequence[StationDerivedRow],
    points: Sequence[Point],
    station: str,
    address: int,
    bay_numbers: Mapping[str, int],
) -> dict[str, tuple[DerivedPoint, ...]]:
    """The derived points of a station by the bay in which they are shown."""
    derived: dict[str, tuple[DerivedPoint, ...]] = {}
    for row in rows:
        point = Point(
            id=point_id(address, bay_numbers[row.bay], row.number),
            name=f"{station}/{row.bay}/{row.name}",
            kind=PointKind.MEASURED_VALUE,
            title_vi=row.vi,
            title_en=row.en,
            unit=row.unit,
            deadband=row.deadband,
            low=row.low,
            high=row.high,
        )
        made = DerivedPoint(point, row.rule, _matching(row.of, points))
        derived[row.bay] = (*derived.get(row.bay, ()), made)
    return derived


def _matching(patterns: Sequence[str], points: Sequence[Point]) -> tuple[Point, ...]:
    """By pattern, then in the order of the file; each point once."""
    found = [point for pattern in patterns for point in points if fnmatchcase(_local(point), pattern)]
    return tuple(dict.fromkeys(found))


def _kind(rule: Rule) -> PointKind:
    return PointKind.STEP_POSITION if rule is Rule.BAY_STATE else PointKind.MEASURED_VALUE


def _local(point: Point) -> str:
    return point.name.split("/", 1)[1]


def _check_inputs(rule: Rule, count: int, faults: Faults, key: str) -> None:
    wanted = INPUTS.get(rule)
    if count == 0:
        faults.add(f"{key}.of", "names no point")
    elif wanted is not None and count != wanted:
        faults.add(f"{key}.of", f"{rule} takes {wanted} points, here {count}")


def _check_limits(low: float | None, high: float | None, faults: Faults, key: str) -> None:
    if low is not None and high is not None and low >= high:
        faults.add(f"{key}.low", f"{low} is not below high {high}")


def _nearest_few(name: str, known: Sequence[str]) -> str:
    hint = nearest(name, known)
    return hint if hint.startswith("; did") else ""
