"""The pure parts of the private services: configuration text, ports, state, addresses."""

import errno
import os
import random
import socket
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from scada.config import Config, MqttConfig, PostgresConfig, ServicesConfig
from scada.model.errors import ServicesDown, ServicesError
from scada.services import supervisor
from scada.services.endpoints import Credential, Role, State, combine, external_broker
from scada.services.installation import (
    Installation,
    disk_troubles,
    load,
    load_or_draw_passwords,
    load_passwords,
    outside_folder,
    save,
    services_folder,
    write_whole,
)
from scada.services.mosquitto import credentials
from scada.services.postgres import dsn, find_server, read_statements, refuse
from scada.services.processes import choose_port, is_port_free, read_pid, require_free, running
from scada.services.settings import memory_share, mosquitto_access, mosquitto_conf, postgres_conf

GIB = 1 << 30


def settings_of(text: str, separator: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    pairs = [line.partition(separator) for line in lines]
    assert len({name for name, _, _ in pairs}) == len(pairs), "a setting stands twice"
    return {name.strip(): value.strip() for name, _, value in pairs}


# -- what the servers are told


def test_the_database_listens_on_loopback_only_and_keeps_what_it_acknowledged() -> None:
    settings = settings_of(postgres_conf(port=20123, memory_bytes=24 * GIB), "=")
    assert {name: settings[name] for name in ("listen_addresses", "port", "unix_socket_directories")} == {
        "listen_addresses": "'127.0.0.1'",
        "port": "20123",
        "unix_socket_directories": "''",
    }
    assert (settings["fsync"], settings["full_page_writes"], settings["synchronous_commit"]) == ("on", "on", "on")
    assert settings["timescaledb.telemetry_level"] == "'off'"


@pytest.mark.parametrize(("memory_gib", "buffers"), [(0.5, "128MB"), (2, "256MB"), (24, "3072MB"), (256, "4096MB")])
def test_shared_buffers_are_an_eighth_of_memory_between_two_bounds(memory_gib: float, buffers: str) -> None:
    text = postgres_conf(port=1, memory_bytes=int(memory_gib * GIB))
    assert settings_of(text, "=")["shared_buffers"] == buffers


def test_a_share_of_memory_is_a_whole_number_of_mebibytes() -> None:
    assert memory_share(3 * GIB + 1, parts=7, low_mib=1, high_mib=1000) == "438MB"


def test_the_broker_refuses_strangers_and_never_drops_an_acknowledged_message() -> None:
    settings = settings_of(
        "\n".join(
            line
            for line in mosquitto_conf(port=20124, folder=Path("/data/mosquitto")).splitlines()
            if not line.startswith("log_type")
        ),
        " ",
    )
    assert settings["listener"] == "20124 127.0.0.1"
    assert settings["allow_anonymous"] == "false"
    assert settings["password_file"] == "/data/mosquitto/passwords"
    assert {name: value for name, value in settings.items() if name.startswith("max_")} == {
        "max_queued_messages": "0",
        "max_queued_bytes": "0",
        "max_inflight_messages": "0",
        "max_inflight_bytes": "0",
        "max_connections": "-1",
        "max_packet_size": "4194304",
    }
    assert (settings["persistence"], settings["autosave_interval"]) == ("true", "5")


def test_every_role_has_its_access_and_no_more() -> None:
    assert mosquitto_access() == (
        "user headend\ntopic read ami/#\ntopic write ami/v1/+/+/+/request\ntopic read $SYS/#\n\n"
        "user field\ntopic write ami/v1/#\ntopic read ami/v1/+/+/+/request\n\n"
        "user monitor\ntopic read $SYS/#\n"
    )


def test_every_statement_for_the_cluster_is_there() -> None:
    assert set(read_statements()) == {
        "role_exists",
        "create_role",
        "set_password",
        "database_exists",
        "create_database",
        "create_extension",
        "update_extension",
        "grant_rights",
    }


# -- which server


def install(folder: Path, major: str, *, extension: bool) -> None:
    (folder / "lib" / major / "bin").mkdir(parents=True)
    (folder / "lib" / major / "bin/postgres").touch()
    if extension:
        (folder / "share" / major / "extension").mkdir(parents=True)
        (folder / "share" / major / "extension/timescaledb.control").touch()


def test_the_newest_server_that_has_the_extension_is_taken(tmp_path: Path) -> None:
    for major, extension in (("9.6", True), ("15", True), ("16", True), ("17", False)):
        install(tmp_path, major, extension=extension)
    assert find_server(tmp_path / "lib", tmp_path / "share") == tmp_path / "lib/16/bin"


def test_a_cluster_is_served_by_the_version_that_made_it(tmp_path: Path) -> None:
    for major in ("15", "17"):
        install(tmp_path, major, extension=True)
    assert find_server(tmp_path / "lib", tmp_path / "share", major="15") == tmp_path / "lib/15/bin"
    with pytest.raises(
        ServicesError, match="PostgreSQL 16, which made this cluster, with TimescaleDB is not installed"
    ):
        find_server(tmp_path / "lib", tmp_path / "share", major="16")


def test_without_the_extension_the_error_says_what_to_run(tmp_path: Path) -> None:
    install(tmp_path, "15", extension=False)
    with pytest.raises(ServicesError, match="run: make setup"):
        find_server(tmp_path / "lib", tmp_path / "share")


# -- ports and processes


def test_a_taken_port_is_named_with_its_holder_and_the_key_to_change() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        assert not is_port_free(port)
        with pytest.raises(ServicesError) as refusal:
            require_free(port, "services.postgres.port")
    message = str(refusal.value)
    assert f"port {port} is taken by " in message
    assert f"(pid {os.getpid()})" in message
    assert "services.postgres.port" in message


def test_a_chosen_port_is_free_and_below_those_of_outgoing_connections() -> None:
    port = choose_port(random.Random(1))
    assert is_port_free(port)
    assert 20_000 <= port < 32_000


def test_two_installations_draw_different_ports() -> None:
    assert choose_port(random.Random(1)) != choose_port(random.Random(2))


def test_a_pid_that_belongs_to_another_program_is_not_ours() -> None:
    assert running(os.getpid(), "postgres", Path("/data/postgres")) is None


def test_the_right_program_in_another_folder_is_not_ours() -> None:
    name = Path(running_command()[0]).name
    assert running(os.getpid(), name, Path("/nowhere/at/all")) is None


def running_command() -> list[str]:
    return Path("/proc/self/cmdline").read_text(encoding="utf-8").split("\0")


@pytest.mark.parametrize(("text", "pid"), [("123\n/data\n", 123), ("123", 123), ("", None), ("x\n", None)])
def test_the_pid_is_the_first_line_of_the_file(tmp_path: Path, text: str, pid: int | None) -> None:
    (tmp_path / "daemon.pid").write_text(text, encoding="ascii")
    assert read_pid(tmp_path / "daemon.pid") == pid


def test_no_pid_file_means_no_pid(tmp_path: Path) -> None:
    assert read_pid(tmp_path / "daemon.pid") is None


# -- state and secrets


def test_the_state_is_read_back_as_it_was_saved(tmp_path: Path) -> None:
    services_folder(tmp_path).mkdir()
    installation = Installation(tmp_path / "services", 20_001, 20_002)
    save(tmp_path, installation)
    assert load(tmp_path) == installation


def test_a_fresh_folder_has_no_state(tmp_path: Path) -> None:
    assert load(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"data": "/x"}'])
def test_a_damaged_state_is_refused_by_name(tmp_path: Path, text: str) -> None:
    services_folder(tmp_path).mkdir()
    (services_folder(tmp_path) / "state.json").write_text(text, encoding="utf-8")
    with pytest.raises(ServicesError, match=r"state\.json is damaged"):
        load(tmp_path)


def test_passwords_are_drawn_once_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    services_folder(tmp_path).mkdir()
    drawn = load_or_draw_passwords(tmp_path, None)
    assert set(drawn) == {"superuser", "owner", "reader", "headend", "field", "monitor"}
    assert len(set(drawn.values())) == 6
    assert all(len(password) == 32 for password in drawn.values())
    assert stat.S_IMODE((services_folder(tmp_path) / "secrets.json").stat().st_mode) == 0o600
    assert load_or_draw_passwords(tmp_path, None) == drawn == load_passwords(tmp_path)


def test_two_installations_have_different_passwords(tmp_path: Path) -> None:
    drawn = []
    for name in ("a", "b"):
        services_folder(tmp_path / name).mkdir(parents=True)
        drawn.append(load_or_draw_passwords(tmp_path / name, None))
    assert not set(drawn[0].values()) & set(drawn[1].values())


def test_lost_passwords_of_an_existing_cluster_are_not_drawn_anew(tmp_path: Path) -> None:
    services_folder(tmp_path).mkdir()
    with pytest.raises(
        ServicesError, match=r"secrets\.json is missing, and the database in /data was .* remove that folder"
    ):
        load_or_draw_passwords(tmp_path, Path("/data"))


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, "old", mode=0o644)
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "\ud800", mode=0o644)
    assert path.read_text(encoding="utf-8") == "old"


def test_the_folder_outside_depends_on_var_alone() -> None:
    first, second = outside_folder(Path("/root/a/var")), outside_folder(Path("/root/b/var"))
    assert first == outside_folder(Path("/root/a/var"))
    assert first != second
    assert first.parent == second.parent == Path("/var/lib/gridscada")


# -- troubles


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ENOSPC, "x", "/v/f"), "the disk is full: /v/f cannot be written; free space, or set var"),
        (OSError(errno.EROFS, "x", "/v/f"), "/v/f is on a read-only file system; set var"),
        (PermissionError(errno.EACCES, "x", "/v/f"), "no permission for /v/f; run as the user who started"),
        (OSError(errno.EIO, "Input/output error", "/v/f"), "/v/f: Input/output error"),
    ],
)
def test_a_disk_trouble_is_one_sentence(error: OSError, sentence: str) -> None:
    with pytest.raises(ServicesError) as refusal, disk_troubles(Path("/v")):
        raise error
    assert str(refusal.value).startswith(sentence)


def test_a_failed_program_is_reported_by_its_telling_line() -> None:
    output = "fixing permissions ... ok\ninitdb: error: could not create directory\ninitdb: removing contents"
    assert str(refuse("no cluster", output)) == "no cluster: error: could not create directory"
    full = 'FATAL:  could not write lock file "postmaster.pid": No space left on device'
    assert str(refuse("no start", full)) == "no start: the disk is full; free space, or set var in config.toml"
    assert str(refuse("no start", "")) == "no start: no message"


# -- addresses


def test_an_external_broker_is_taken_apart_with_its_escapes() -> None:
    found = external_broker("mqtt://head%40end:p%3Aw@broker.example:1884")
    assert (found.host, found.port, found.credential) == ("broker.example", 1884, Credential("head@end", "p:w"))


@pytest.mark.parametrize("url", ["http://u:secret@h:1", "broker.example:1883", "mqtt://u:secret@h:99999", "mqtt://"])
def test_a_broker_address_of_another_form_is_refused_without_repeating_the_password(url: str) -> None:
    with pytest.raises(ServicesError) as refusal:
        external_broker(url)
    assert "secret" not in str(refusal.value)


def test_private_and_external_servers_may_be_mixed() -> None:
    config = Config(services=ServicesConfig(postgres=PostgresConfig(url="postgresql://u:p@db/x")))
    private = credentials({"headend": "a", "field": "b", "monitor": "c"})
    found = combine(config, ("", ""), (20_002, private))
    assert found.postgres_dsn == found.postgres_reader_dsn == "postgresql://u:p@db/x"
    assert (found.postgres_private, found.mqtt_private) == (False, True)
    assert (found.mqtt_host, found.mqtt_port) == ("127.0.0.1", 20_002)
    assert found.mqtt_credentials[Role.FIELD] == Credential("field", "b")


def test_no_password_shows_in_a_representation() -> None:
    config = Config(services=ServicesConfig(mqtt=MqttConfig(url="mqtt://u:hidden-1@h")))
    found = combine(config, (dsn(1, "scada", "hidden-2"), dsn(1, "scada_reader", "hidden-3")), (0, {}))
    assert "hidden" not in repr(found)


# -- asking a fresh installation


def test_a_fresh_installation_is_down_and_says_how_to_start(tmp_path: Path) -> None:
    config = Config(var=tmp_path)
    with pytest.raises(ServicesDown, match="not running: postgres and mqtt; start with: scada services up"):
        supervisor.endpoints(config)
    assert [status.state for status in supervisor.status(config)] == [State.STOPPED, State.STOPPED]
    assert supervisor.down(config) == ()
    assert list(tmp_path.iterdir()) == []


def test_external_services_are_neither_started_nor_stopped(tmp_path: Path) -> None:
    config = Config(var=tmp_path)
    urls = ServicesConfig(postgres=PostgresConfig(url="postgresql://u:p@h/x"), mqtt=MqttConfig(url="mqtt://u:p@h:1"))
    config = replace(config, services=urls)
    assert supervisor.up(config) == supervisor.endpoints(config)
    assert supervisor.ensure(config) == ()
    assert supervisor.down(config) == ()
    with pytest.raises(ServicesError, match="mqtt is an external server"):
        supervisor.restart(config, "mqtt")
    assert list(tmp_path.iterdir()) == []
