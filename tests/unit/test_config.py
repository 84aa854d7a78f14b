"""The shipped configuration loads, says the defaults it claims, and misspelt keys are refused."""

from pathlib import Path

import pytest

from scada.config import Config, load_config
from scada.model.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[2]


def test_the_shipped_file_states_the_defaults(tmp_path: Path) -> None:
    empty = tmp_path / "config.toml"
    empty.write_text('name = "Điện lực Thái Nguyên"\n', encoding="utf-8")
    shipped = tmp_path / "shipped" / "config.toml"
    shipped.parent.mkdir()
    shipped.write_text((ROOT / "config.toml").read_text(encoding="utf-8"), encoding="utf-8")

    def without_place(config: Config) -> str:
        return repr(config).replace(str(config.var.parent), "")

    assert without_place(load_config(shipped)) == without_place(load_config(empty))


def test_relative_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('var = "data"\n[stations]\nfolder = "field"\n', encoding="utf-8")
    config = load_config(tmp_path / "config.toml")
    assert (config.var, config.stations.folder) == (tmp_path / "data", tmp_path / "field")


def test_three_faults_are_reported_as_three(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        'langauge = "vi"\n[head_end]\nbatch_rows = 1\n[services.mqtt]\nport = "x"\n', encoding="utf-8"
    )
    with pytest.raises(ConfigurationError) as caught:
        load_config(tmp_path / "config.toml")
    assert [str(fault) for fault in caught.value.faults] == [
        "config.toml: head_end.batch_rows: 1 is below 100",
        "config.toml: langauge: unknown key; did you mean 'language'?",
        "config.toml: services.mqtt.port: must be a whole number, is 'x'",
    ]


def test_the_http_door_cannot_leave_the_loopback(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[http]\nhost = "0.0.0.0"\n', encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"http\.host: '0\.0\.0\.0' is not allowed"):
        load_config(tmp_path / "config.toml")
