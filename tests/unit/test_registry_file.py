"""The fleet's files, read back with the standard library."""

import csv
from pathlib import Path

import numpy as np
import pytest

from scada.model.station import CustomerShares
from simulators.fleet_account import FleetTruth
from simulators.meter_fleet import FeederShare, make_fleet
from simulators.registry_file import REGISTRY_COLUMNS, TRUTH_COLUMNS, write_registry, write_truth

MIXED = CustomerShares(residential=0.7, production=0.2, business=0.1, pv=0.1)
FLEET = make_fleet((FeederShare("TN07/473", "PN03", 5.0, MIXED),), meters=400)


def test_the_registry_has_every_meter_once_with_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "registry.csv"
    assert write_registry(FLEET, path) == 400
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == REGISTRY_COLUMNS
    assert [int(row["serial"]) for row in rows] == FLEET.serial.tolist()
    assert [int(row["multiplier"]) for row in rows] == FLEET.multiplier.tolist()
    assert [row["metering_point"] for row in rows] == [f"PN03{n:09d}" for n in range(1, 401)]
    assert [row["concentrator"] for row in rows] == ["DCU00001"] * 180 + ["DCU00002"] * 180 + [""] * 40
    assert {(row["unit"], row["feeder"], row["digits"]) for row in rows} == {("PN03", "TN07/473", "6")}
    assert {row["class"] for row in rows} == {"residential", "production", "business", "pv"}
    assert {row["installed_at"] for row in rows} == {"2025-01-01T00:00:00+07:00"}


def test_the_same_fleet_writes_the_same_bytes(tmp_path: Path) -> None:
    write_registry(FLEET, tmp_path / "one.csv")
    write_registry(FLEET, tmp_path / "two.csv")
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.csv", "two.csv"]


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "registry.csv"
    path.write_text("old")
    (tmp_path / "registry.csv.part").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_registry(FLEET, path)
    assert path.read_text() == "old"


def test_the_truth_tells_from_when_to_when_each_meter_must_be_complete(tmp_path: Path) -> None:
    first = 1_772_000_040 * 1_000_000
    truth = FleetTruth(
        capture_period_us=60_000_000,
        first_end=first,
        serial=np.array([11, 12, 13]),
        first_ends=np.array([first, first + 60_000_000, first]),
        last_offered=np.array([first, first + 240_000_000, first]),
        last_acknowledged=np.array([first, first + 180_000_000, first - 60_000_000]),
    )
    path = tmp_path / "truth.csv"
    assert write_truth(truth, path) == 4
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        list(TRUTH_COLUMNS),
        ["11", "2026-02-25T06:14:00+00:00", "2026-02-25T06:14:00+00:00", "1"],
        ["12", "2026-02-25T06:15:00+00:00", "2026-02-25T06:17:00+00:00", "3"],
        ["13", "", "", "0"],
    ]
