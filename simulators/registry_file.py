"""The fleet as files: the registry that the historian imports, and the truth its content is compared with.

Knows columns and bytes. Does not know the database.

Registry, CSV (UTF-8, comma, LF, one header line), a row per installed meter, in the fleet's order:

- ``serial``: decimal, up to 12 digits
- ``metering_point``: code of the metering point, 13 characters
- ``unit``: district unit, e.g. ``PN04``; the unit of the MQTT topic
- ``concentrator``: e.g. ``DCU00017``; empty for a meter with its own modem (``direct`` in the topic)
- ``feeder``: load that supplies it, e.g. ``TN07/473``
- ``class``: residential, production, business or pv
- ``installed_at``: ISO 8601 with offset
- ``multiplier``: current transformer ratio; primary energy = register × multiplier
- ``digits``: whole kWh digits of the register; it begins again at 10^digits kWh
- ``transformer``: where it hangs, e.g. ``TBA00017``: a concentrator sits at each; empty for a meter with its own modem

Exchanges, CSV: ``metering_point, old_serial, end_import_wh, new_serial, start_import_wh, multiplier, digits,
exchanged_at``: what fitters have written down, as ``scada meters exchange`` reads it.

Truth, CSV: ``serial, first_end, last_end, readings``: the interval ends (ISO 8601, UTC) between which every interval
must be stored, and how many that are; both ends are empty for a meter that has reported nothing.
"""

import csv
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np

from simulators.fleet_account import FleetTruth
from simulators.fleet_energy import FIRST_DAY
from simulators.fleet_exchange import ExchangeRecord
from simulators.load_shapes import UTC_OFFSET_US
from simulators.meter_fleet import CLASSES, Fleet, IndexArray
from simulators.state_file import write_json

REGISTRY_COLUMNS = (
    "serial",
    "metering_point",
    "unit",
    "concentrator",
    "feeder",
    "class",
    "installed_at",
    "multiplier",
    "digits",
    "transformer",
)
EXCHANGE_COLUMNS = (
    "metering_point",
    "old_serial",
    "end_import_wh",
    "new_serial",
    "start_import_wh",
    "multiplier",
    "digits",
    "exchanged_at",
)
TRUTH_COLUMNS = ("serial", "first_end", "last_end", "readings")
_LOCAL = timezone(timedelta(microseconds=UTC_OFFSET_US))


def write_registry(fleet: Fleet, path: Path) -> int:
    """Write the registry of a fleet, replacing the file only when it is whole; the number of meters.

    Raises OSError when the file cannot be written.
    """
    return _write(path, REGISTRY_COLUMNS, _registry_rows(fleet))


def write_exchanges(fleet: Fleet, exchanges: Sequence[ExchangeRecord], path: Path) -> int:
    """Write what fitters have written down, replacing the file only when it is whole; the number of exchanges.

    Raises OSError when the file cannot be written.
    """
    return _write(path, EXCHANGE_COLUMNS, _exchange_rows(fleet, exchanges))


def write_truth(truth: FleetTruth, path: Path) -> int:
    """Write what must be stored, replacing the file only when it is whole; the number of readings in all meters.

    Raises OSError when the file cannot be written.
    """
    _write(path, TRUTH_COLUMNS, _truth_rows(truth))
    return int(truth.readings.sum())


def join_truths(parts: Sequence[Path], path: Path) -> None:
    """Put parts of a truth together, which are gone then: in sum in ``path`` (JSON), meter by meter beside it (CSV).

    readings: how many · first_end, last_end: the first and last interval ends among them, µs UTC · meters: with some.
    """
    rows: list[tuple[str, ...]] = []
    for part in parts:
        with part.open(encoding="utf-8", newline="") as file:
            rows += [tuple(row) for row in csv.reader(file)][1:]
        part.unlink()
    _write(path.with_suffix(".csv"), TRUTH_COLUMNS, iter(rows))
    stored = [(datetime.fromisoformat(first), datetime.fromisoformat(last)) for _, first, last, n in rows if int(n)]
    told = {
        "readings": sum(int(readings) for *_, readings in rows),
        "first_end": min((_us(first) for first, _ in stored), default=0),
        "last_end": max((_us(last) for _, last in stored), default=0),
        "meters": len(stored),
    }
    write_json(path, told)


def _us(moment: datetime) -> int:
    return round(moment.timestamp()) * 1_000_000


def _write(path: Path, columns: tuple[str, ...], rows: Iterator[tuple[object, ...]]) -> int:
    part = path.with_name(f"{path.name}.part")
    count = 0
    with part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            writer.writerow(row)
            count += 1
    part.replace(path)
    return count


def _digits(fleet: Fleet) -> IndexArray:
    digits: IndexArray = np.rint(np.log10(fleet.wrap_wh)).astype(np.int64) - 3
    return digits


def _exchange_rows(fleet: Fleet, exchanges: Sequence[ExchangeRecord]) -> Iterator[tuple[object, ...]]:
    digits = _digits(fleet)
    for each in exchanges:
        yield (
            fleet.metering_point(each.row),
            each.old_serial,
            each.end_import_wh,
            each.new_serial,
            each.start_import_wh,
            int(fleet.multiplier[each.row]),
            int(digits[each.row]),
            datetime.fromtimestamp(each.at // 1_000_000, _LOCAL).isoformat(),
        )


def _registry_rows(fleet: Fleet) -> Iterator[tuple[object, ...]]:
    installed_at = datetime.fromtimestamp(FIRST_DAY / 1e6, _LOCAL).isoformat()
    columns = (fleet.serial, fleet.load_class, fleet.multiplier, _digits(fleet))
    for row, (serial, load_class, multiplier, whole) in enumerate(
        zip(*(column.tolist() for column in columns), strict=True)
    ):
        feeder = fleet.feeders[int(fleet.feeder[row])]
        yield (
            serial,
            fleet.metering_point(row),
            feeder.unit,
            fleet.concentrator_of(row),
            feeder.name,
            CLASSES[load_class].value,
            installed_at,
            multiplier,
            whole,
            fleet.concentrator_of(row).replace("DCU", "TBA"),
        )


def _truth_rows(truth: FleetTruth) -> Iterator[tuple[object, ...]]:
    columns = (truth.serial, truth.first_ends, truth.last_acknowledged, truth.readings)
    ends = {int(end): _utc(int(end)) for end in np.unique(np.concatenate(columns[1:3]))}
    for serial, first, last, readings in zip(*(column.tolist() for column in columns), strict=True):
        yield (serial, ends[first], ends[last], readings) if readings else (serial, "", "", 0)


def _utc(time: int) -> str:
    return datetime.fromtimestamp(time // 1_000_000, UTC).isoformat()
