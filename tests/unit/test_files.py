"""All files of an installation are judged in one pass; three different faults are three lines."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scada.cli import app
from scada.files import load_installation
from scada.model.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def installation(tmp_path: Path) -> Path:
    """A copy of the shipped files that a test may spoil."""
    for folder in ("stations", "maps", "baytypes"):
        shutil.copytree(ROOT / "substations" / folder, tmp_path / "substations" / folder)
    shutil.copy(ROOT / "substations" / "province.toml", tmp_path / "substations")
    shutil.copy(ROOT / "config.toml", tmp_path)
    return tmp_path


def spoil(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def check(installation: Path) -> tuple[int, list[str]]:
    done = CliRunner().invoke(app, ["--config", str(installation / "config.toml"), "check"])
    return done.exit_code, done.stdout.splitlines()


def test_the_shipped_files_are_right_and_check_is_silent(installation: Path) -> None:
    assert check(installation) == (0, [])


def test_three_different_faults_are_three_lines(installation: Path) -> None:
    spoil(installation / "config.toml", "silent_scans = 3", "silent_scan = 3")
    spoil(installation / "substations/stations/TN07.toml", 'protocol = "modbus"', 'protocol = "modbuss"')
    spoil(installation / "substations/baytypes/feeder_22.toml", "deadband = 2.0", 'deadband = "2"')
    code, lines = check(installation)
    assert code == 2
    assert len(lines) == 3
    assert "config.toml: scan.silent_scan: unknown key; did you mean 'silent_scans'?" in lines
    assert any("modbuss" in line and "did you mean 'modbus'?" in line for line in lines)
    assert any("must be a number, is '2'" in line for line in lines)


def test_a_map_that_does_not_exist_is_told_with_the_nearest_known_name(installation: Path) -> None:
    spoil(installation / "substations/stations/TN07.toml", "feeder_22.modbus", "feedr_22.modbus")
    code, lines = check(installation)
    assert (code, len(lines)) == (2, 1)
    assert "TN07" in lines[0]
    assert "did you mean 'feeder_22.modbus'?" in lines[0]


def test_a_fault_in_a_map_is_told_once_however_many_bays_use_it(installation: Path) -> None:
    spoil(installation / "substations/maps/feeder_22.modbus.toml", "period_s", "periods_s")
    code, lines = check(installation)
    assert (code, len(lines)) == (2, 1)
    assert "did you mean 'period_s'?" in lines[0]


def test_an_unknown_station_in_only_is_a_fault(installation: Path) -> None:
    spoil(installation / "config.toml", "only = []", 'only = ["TN077"]')
    assert check(installation) == (2, ["config.toml: stations.only: no station 'TN077'; did you mean 'TN07'?"])


def test_only_and_base_port_choose_stations_and_their_addresses(installation: Path) -> None:
    spoil(installation / "config.toml", "only = []", 'only = ["TN07"]')
    spoil(installation / "config.toml", "base_port = 0", "base_port = 20000")
    loaded = load_installation(installation / "config.toml")
    endpoints = [(each.code, each.endpoint.host, each.endpoint.port) for each in loaded.stations]
    assert endpoints == [("TN07", "127.0.0.1", 20007)]
    assert len(loaded.province.stations) == 21


def test_a_missing_configuration_is_one_fault(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such file"):
        load_installation(tmp_path / "config.toml")
