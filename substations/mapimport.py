"""A vendor's point list (CSV) to a register map: every row that cannot be is told with its line.

Knows the headings vendors use, Modicon numbers, and the words for types. Does not know files' places; what a map may
contain is judged by ``substations.registermap``.
"""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from scada.model.errors import Fault
from scada.tables import nearest
from substations.wiretypes import HIGHEST_ADDRESS, Order, Table, WireType

HEADINGS: Mapping[str, tuple[str, ...]] = {
    "point": ("point", "name", "object", "signal", "tag"),
    "address": ("address", "register", "reg", "addr", "offset"),
    "table": ("table", "function", "area", "register type"),
    "type": ("type", "data type", "datatype", "format"),
    "order": ("order", "byte order", "word order", "endian"),
    "bit": ("bit", "bit number"),
    "width": ("width", "bits", "length"),
    "scale": ("scale", "factor", "multiplier", "gain"),
    "add": ("add", "shift", "bias"),
    "invalid": ("invalid", "invalid value", "no value"),
    "period_s": ("period_s", "period", "scan"),
}
"""Our column → what it may be called, in any case."""

_TABLES: Mapping[str, Table] = {
    **{each.value: each for each in Table},
    "1": Table.COIL,
    "2": Table.DISCRETE_INPUT,
    "3": Table.HOLDING_REGISTER,
    "4": Table.INPUT_REGISTER,
    "fc01": Table.COIL,
    "fc02": Table.DISCRETE_INPUT,
    "fc03": Table.HOLDING_REGISTER,
    "fc04": Table.INPUT_REGISTER,
    "holding": Table.HOLDING_REGISTER,
    "input": Table.INPUT_REGISTER,
    "discrete": Table.DISCRETE_INPUT,
}
"""Names, and function codes of reading (Modbus Application Protocol V1.1b3, 6)."""

_MODICON: Mapping[str, Table] = {
    "0": Table.COIL,
    "1": Table.DISCRETE_INPUT,
    "3": Table.INPUT_REGISTER,
    "4": Table.HOLDING_REGISTER,
}
"""First digit of a five- or six-digit number such as 40001 or 300001; the rest counts from 1."""

_TYPES: Mapping[str, WireType] = {
    **{each.value: each for each in WireType},
    "bool": WireType.BIT,
    "boolean": WireType.BIT,
    "short": WireType.INT16,
    "int": WireType.INT16,
    "word": WireType.UINT16,
    "uint": WireType.UINT16,
    "dint": WireType.INT32,
    "long": WireType.INT32,
    "udint": WireType.UINT32,
    "dword": WireType.UINT32,
    "ulong": WireType.UINT32,
    "real": WireType.FLOAT32,
    "float": WireType.FLOAT32,
    "double": WireType.FLOAT64,
    "lreal": WireType.FLOAT64,
    "bcd": WireType.BCD16,
}
_ORDERS: Mapping[str, Order] = {
    **{each.value.lower(): each for each in Order},
    "big": Order.ABCD,
    "little": Order.DCBA,
    "word swap": Order.CDAB,
    "byte swap": Order.BADC,
    "": Order.ABCD,
}


@dataclass(frozen=True, slots=True)
class ListedPoint:
    """One usable row. ``address`` is counted from 0, absolute."""

    line: int
    name: str
    table: Table
    address: int
    type: WireType
    order: Order
    period_s: float
    numbers: tuple[tuple[str, float], ...]
    """bit, width, scale, add, invalid: those the row gives."""


def read_list(text: str, names: Sequence[str], file: str, found: list[Fault]) -> list[ListedPoint]:
    """The rows of a point list. ``names``: of the bay type's points; every fault goes into ``found`` with its line."""
    first = text.splitlines()[0] if text.strip() else ""
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")), delimiter=max(",;\t", key=first.count))
    columns = _columns(reader.fieldnames or (), file, found)
    if columns is None:
        return []
    points: list[ListedPoint] = []
    seen: dict[str, int] = {}
    for line, row in enumerate(reader, start=2):
        cells = {ours: (row.get(theirs) or "").strip() for ours, theirs in columns.items()}
        if not any(cells.values()):
            continue
        point = _row(line, cells, names, file, found)
        if cells["point"] in seen:
            message = f"{cells['point']!r} stands in line {seen[cells['point']]} already"
            found.append(Fault(file, f"line {line}", message))
        seen.setdefault(cells["point"], line)
        if point is not None:
            points.append(point)
    for name in names:
        if name not in seen:
            found.append(Fault(file, "", f"no line for point {name!r} of the bay type"))
    return points


def map_text(points: Iterable[ListedPoint], bay_type: str, base: int, source: str) -> str:
    """The list as a register map, offsets from ``base``; one block for each table, type, order and period."""
    blocks: dict[tuple[Table, WireType, Order, float], list[ListedPoint]] = {}
    for each in sorted(points, key=lambda point: (point.table, point.address, point.numbers)):
        blocks.setdefault((each.table, each.type, each.order, each.period_s), []).append(each)
    lines = [f"# From the point list {source}; scales, signs and orders are to be proven by a point-to-point test.", ""]
    lines.append(f'bay_type = "{bay_type}"')
    for number, ((table, wire, order, period_s), members) in enumerate(blocks.items(), start=1):
        lines += ["", "[[block]]", f'name = "{table.value.replace("_", " ")}s, {wire.value}, {number}"']
        lines += [f'table = "{table.value}"', f'type = "{wire.value}"']
        if wire.registers > 1:
            lines.append(f'order = "{order.value}"')
        lines += [f"period_s = {period_s!r}", "points = ["]
        for each in members:
            numbers = "".join(f", {name} = {_number(name, value)}" for name, value in each.numbers)
            lines.append(f'  {{ name = "{each.name}", offset = {each.address - base}{numbers} }},')
        lines.append("]")
    return "\n".join(lines) + "\n"


def _columns(fieldnames: Iterable[str], file: str, found: list[Fault]) -> dict[str, str] | None:
    theirs = {(name or "").strip().lower(): name for name in fieldnames}
    columns = {}
    for ours, aliases in HEADINGS.items():
        named = [theirs[alias] for alias in aliases if alias in theirs]
        if named:
            columns[ours] = named[0]
    missing = [ours for ours in ("point", "address") if ours not in columns]
    for ours in missing:
        found.append(Fault(file, "line 1", f"no column for the {ours}; known headings are {', '.join(HEADINGS[ours])}"))
    return None if missing else columns


def _row(
    line: int, cells: Mapping[str, str], names: Sequence[str], file: str, found: list[Fault]
) -> ListedPoint | None:
    before = len(found)

    def fault(message: str) -> None:
        found.append(Fault(file, f"line {line}", message))

    if cells["point"] not in names:
        hint = nearest(cells["point"], names)
        fault(f"the bay type has no point {cells['point']!r}{hint if 'did' in hint else ''}")
    table, address = _place(cells, fault)
    wire = _TYPES.get(cells.get("type", "").lower())
    if not cells.get("type") and table is not None:
        wire = WireType.BIT if table.of_bits else WireType.UINT16
    if wire is None and cells.get("type"):
        fault(f"unknown type {cells['type']!r}{nearest(cells['type'].lower(), list(_TYPES))}")
    order = _ORDERS.get(cells.get("order", "").lower())
    if order is None:
        fault(f"unknown order {cells['order']!r}{nearest(cells['order'].lower(), list(_ORDERS))}")
    figures = {}
    for name in ("bit", "width", "scale", "add", "invalid", "period_s"):
        if cells.get(name):
            try:
                figures[name] = float(cells[name].replace(",", "."))
            except ValueError:
                fault(f"{name} {cells[name]!r} is no number")
    if figures.get("scale") == 0.0:
        fault("a scale of 0 makes every value 0")
    if len(found) > before or table is None or address is None or wire is None or order is None:
        return None
    if "bit" in figures and wire is WireType.UINT16:
        wire = WireType.BITS
    period_s = figures.pop("period_s", 1.0)
    return ListedPoint(line, cells["point"], table, address, wire, order, period_s, tuple(figures.items()))


def _place(cells: Mapping[str, str], fault: Callable[[str], None]) -> tuple[Table | None, int | None]:
    """Table and address from 0. A Modicon number tells both; a plain address needs a table."""
    written = cells["address"].lower()
    named = cells.get("table", "").lower()
    table = _TABLES.get(named) if named else None
    if named and table is None:
        fault(f"unknown table {named!r}{nearest(named, list(_TABLES))}")
    try:
        number = int(written, 16) if written.startswith("0x") else int(written)
    except ValueError:
        fault(f"address {written!r} is no whole number")
        return table, None
    is_modicon = not named and len(written) in (5, 6) and written.isdigit() and written[0] in _MODICON
    if is_modicon:
        table, number = _MODICON[written[0]], int(written[1:]) - 1
    elif not named:
        fault("the table is not told: give a column 'table', or a number such as 40001")
        return None, None
    if not 0 <= number <= HIGHEST_ADDRESS:
        fault(f"address {number} is not in 0..{HIGHEST_ADDRESS}")
        return table, None
    return table, number


def _number(name: str, value: float) -> str:
    return str(int(value)) if name in ("bit", "width") else repr(value)
