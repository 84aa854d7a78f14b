"""Every command is documented; what goes wrong is one sentence and an exit code: 1 not done, 2 the files are wrong."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner, Result

from scada.cli import app

ROOT = Path(__file__).resolve().parents[2]


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command below ``group`` with the words that call it, also those that are loaded when named."""
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        yield (*path, name), command
        if hasattr(command, "list_commands"):
            yield from commands(command, (*path, name))


ALL = list(commands(typer.main.get_command(app)))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(f'language = "en"\n[stations]\nfolder = "{ROOT / "substations"}"\n', encoding="utf-8")
    return path


def scada(config: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["--config", str(config), *words])


def one_sentence(done: Result, code: int = 1) -> str:
    assert (done.exit_code, done.stdout) == (code, ""), done.output
    assert done.stderr.count("\n") == 1
    return done.stderr.strip()


@pytest.mark.parametrize("words", [words for words, _ in ALL], ids=" ".join)
def test_every_command_answers_help(words: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, [*words, "--help"])
    assert done.exit_code == 0
    assert done.stdout.lstrip().startswith("Usage: ")


@pytest.mark.parametrize(("words", "command"), ALL, ids=[" ".join(words) for words, _ in ALL])
def test_every_command_and_option_says_what_it_does(words: tuple[str, ...], command: Any) -> None:
    assert command.help and command.help.rstrip().endswith("."), words
    silent = [
        parameter.name
        for parameter in command.params
        if parameter.name != "help" and not getattr(parameter, "help", None)
    ]
    assert silent == []


def test_the_commands_people_are_told_of_are_there() -> None:
    assert {" ".join(words) for words, _ in ALL} >= {
        "check", "status", "points", "watch", "history", "run", "collect", "jobs", "demo", "version",
        "services up", "services down", "services status", "meters import",
    }  # fmt: skip


def test_the_version_is_printed(config: Path) -> None:
    done = scada(config, "version")
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*\n", done.stdout)


def test_an_unknown_station_is_told_with_the_nearest_one(config: Path) -> None:
    sentence = one_sentence(scada(config, "points", "TN077"))
    assert sentence == "no station 'TN077'; did you mean 'TN07'?"


def test_an_unknown_point_is_told_with_the_nearest_one_of_its_bay(config: Path) -> None:
    assert one_sentence(scada(config, "history", "TN07/171/171.positon")) == (
        "no point 'TN07/171/171.positon'; did you mean 'TN07/171/171.position'?"
    )
    assert one_sentence(scada(config, "history", "currrent")) == (
        "no point 'currrent'; names look like TN07/171/current_l1"
    )


def test_an_unknown_bay_is_told(config: Path) -> None:
    assert one_sentence(scada(config, "watch", "TN07", "--bay", "17l", "--once")).startswith(
        "TN07 has no bay '17l'; did"
    )


def test_a_span_that_is_none_is_told(config: Path) -> None:
    sentence = one_sentence(scada(config, "collect", "--capture-period", "soon"))
    assert sentence == "'soon' is no span of time; write 90s, 15min, 1h or 7d"


@pytest.mark.parametrize("words", [("run",), ("collect",), ("jobs",), ("meters", "import", "meters.csv")], ids=" ".join)
def test_without_services_every_process_says_how_to_start_them(config: Path, words: tuple[str, ...]) -> None:
    assert one_sentence(scada(config, *words)) == "not running: postgres and mqtt; start with: scada services up"


def test_watching_without_a_running_scan_is_one_sentence(config: Path) -> None:
    assert one_sentence(scada(config, "watch", "TN07", "--once")).startswith("scada run is not running")


@pytest.mark.parametrize("words", [("status",), ("points", "TN07"), ("run",), ("services", "up")], ids=" ".join)
def test_wrong_files_are_told_all_at_once_with_exit_code_two(config: Path, words: tuple[str, ...]) -> None:
    with config.open("a", encoding="utf-8") as file:
        file.write('[http]\nport = -1\nhots = "::1"\n')
    done = scada(config, *words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "config.toml: http.hots: unknown key; did you mean 'host'?",
        "config.toml: http.port: -1 is below 0",
    ]


def test_a_configuration_that_does_not_exist_is_one_sentence(tmp_path: Path) -> None:
    assert "no such file" in one_sentence(scada(tmp_path / "absent.toml", "status"), code=2)


def test_the_points_of_a_station_are_listed_in_the_language_of_the_configuration(config: Path) -> None:
    done = scada(config, "points", "TN07")
    assert done.exit_code == 0
    assert "TN07/171/171.position" in done.stdout
    assert " points, modbus" in done.stdout


def test_points_as_json_can_be_read_back(config: Path) -> None:
    listed = json.loads(scada(config, "points", "TN07", "--json").stdout)
    assert {"id", "name", "kind", "title_vi", "title_en", "unit"} <= listed[0].keys()
    assert all(each["name"].startswith("TN07/") for each in listed)


def test_the_status_of_nothing_is_told_and_is_a_failure(config: Path) -> None:
    done = scada(config, "status", "--json")
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert told["services"]["postgres"]["state"] == "stopped"
    assert told["processes"]["run"]["missing"].startswith("scada run is not running")
    assert "not running; start with: scada services up" in scada(config, "status").stdout


def test_the_configuration_is_found_by_environment(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with config.open("a", encoding="utf-8") as file:
        file.write("[htpt]\n")
    monkeypatch.setenv("SCADA_CONFIG", str(config))
    done = CliRunner().invoke(app, ["check"])
    assert (done.exit_code, done.stdout) == (2, "config.toml: htpt: unknown key; did you mean 'http'?\n")
