"""The private services for real: started, asked, killed, started again, stopped; and external ones left alone."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import paho.mqtt.client as mqtt
import psutil
import psycopg
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from scada.config import Config, MqttConfig, PostgresConfig, ServicesConfig
from scada.model.errors import ServicesDown, ServicesError
from scada.services import supervisor
from scada.services.endpoints import Endpoints, Role, ServiceStatus, State
from scada.services.installation import load, outside_folder, services_folder
from scada.services.processes import is_port_free

pytestmark = pytest.mark.integration

AS_ROOT = os.geteuid() == 0


@contextmanager
def installed() -> Iterator[Config]:
    """A configuration in a folder every account may enter; nothing of it remains."""
    with tempfile.TemporaryDirectory(prefix="gridscada-test-") as folder:
        Path(folder).chmod(0o755)
        config = Config(var=Path(folder) / "var")
        try:
            yield config
        finally:
            supervisor.remove(config)


@pytest.fixture
def config() -> Iterator[Config]:
    """A configuration of its own for a test that begins fresh or leaves things broken."""
    with installed() as config:
        yield config


@pytest.fixture(scope="module")
def shared() -> Iterator[Config]:
    """One set of services for the tests that leave them running, on the ports they had."""
    with installed() as config:
        supervisor.up(config)
        yield config


def states(config: Config) -> dict[str, State]:
    return {status.name: status.state for status in supervisor.status(config)}


def status_of(config: Config, name: str) -> ServiceStatus:
    return next(status for status in supervisor.status(config) if status.name == name)


def kill(config: Config, name: str) -> int:
    """kill -9, as the kernel does it when memory is short."""
    pid = status_of(config, name).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: status_of(config, name).state is State.STOPPED)
    return pid


def wait_until(condition: Callable[[], bool], within_s: float = 60.0) -> None:
    give_up = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up, "not in time"
        time.sleep(0.02)


def with_services(config: Config, *, postgres: PostgresConfig | None = None, mqtt: MqttConfig | None = None) -> Config:
    return replace(config, services=ServicesConfig(postgres or PostgresConfig(), mqtt or MqttConfig()))


class Client:
    """A small MQTT 5 client with a persistent session: what arrives is in ``topics``."""

    def __init__(self, endpoints: Endpoints, role: Role, name: str) -> None:
        self.topics: list[str] = []
        self.refusals: list[str] = []
        self._granted = threading.Event()
        self._connected = threading.Event()
        self._mqtt = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv5)
        credential = endpoints.mqtt_credentials[role]
        self._mqtt.username_pw_set(credential.username, credential.password)
        self._mqtt.on_connect = lambda *_: self._connected.set()
        self._mqtt.on_message = lambda _client, _data, message: self.topics.append(message.topic)
        self._mqtt.on_subscribe = lambda *_: self._granted.set()
        self._mqtt.on_publish = lambda _client, _data, _mid, reason, _properties: self.refusals.extend(
            [str(reason)] if reason.is_failure else []
        )
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 3600
        self._mqtt.connect(endpoints.mqtt_host, endpoints.mqtt_port, clean_start=False, properties=properties)
        self._mqtt.loop_start()
        assert self._connected.wait(60)

    def subscribe(self, topic: str) -> None:
        self._granted.clear()
        self._mqtt.subscribe(topic, qos=1)
        assert self._granted.wait(60)

    def publish(self, topic: str, count: int = 1) -> None:
        for _ in range(count):
            self._mqtt.publish(topic, b"x", qos=1).wait_for_publish(60)

    def close(self) -> None:
        self._mqtt.disconnect()
        self._mqtt.loop_stop()


# -- the cycle


def test_up_status_down_and_up_again_on_the_same_ports(config: Config) -> None:
    first = supervisor.up(config)
    assert states(config) == {"postgres": State.ANSWERING, "mqtt": State.ANSWERING}
    assert supervisor.down(config) == ("mqtt", "postgres")
    assert states(config) == {"postgres": State.STOPPED, "mqtt": State.STOPPED}
    with pytest.raises(ServicesDown):
        supervisor.endpoints(config)
    assert supervisor.up(config) == first


def test_a_second_up_starts_nothing(shared: Config) -> None:
    supervisor.up(shared)
    pids = [status.pid for status in supervisor.status(shared)]
    supervisor.up(shared)
    assert [status.pid for status in supervisor.status(shared)] == pids


def test_two_ups_at_once_start_one_set_of_servers(config: Config) -> None:
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(supervisor.up, [config, config])
    assert first == second
    assert states(config) == {"postgres": State.ANSWERING, "mqtt": State.ANSWERING}


def test_the_servers_run_without_privileges_in_sessions_of_their_own(shared: Config) -> None:
    supervisor.up(shared)
    for status in supervisor.status(shared):
        assert status.pid is not None
        process = psutil.Process(status.pid)
        assert process.uids().effective != 0
        assert os.getsid(status.pid) != os.getsid(0)
        listening = [c.laddr[0] for c in process.net_connections() if c.status == psutil.CONN_LISTEN]
        assert listening == ["127.0.0.1"]


def test_down_ends_nothing_that_another_installation_started(shared: Config, config: Config) -> None:
    supervisor.up(config)
    assert supervisor.down(config) == ("mqtt", "postgres")
    assert states(shared) == {"postgres": State.ANSWERING, "mqtt": State.ANSWERING}


def test_down_spares_a_stranger_whose_pid_stands_in_a_stale_file(config: Config) -> None:
    supervisor.up(config)
    supervisor.down(config)
    installation = load(config.var)
    assert installation is not None
    (installation.postgres / "postmaster.pid").write_text(f"{os.getpid()}\n", encoding="ascii")
    (installation.mosquitto / "mosquitto.pid").write_text(f"{os.getpid()}\n", encoding="ascii")
    assert supervisor.down(config) == ()
    supervisor.up(config)
    assert states(config) == {"postgres": State.ANSWERING, "mqtt": State.ANSWERING}


# -- killed


def test_a_killed_database_comes_back_on_its_port_with_everything_committed(shared: Config) -> None:
    endpoints = supervisor.up(shared)
    with psycopg.connect(endpoints.postgres_dsn) as connection:
        connection.execute("CREATE TABLE kept (n int)")
        connection.execute("INSERT INTO kept SELECT generate_series(1, 1000)")
    with closing(psycopg.connect(endpoints.postgres_dsn)):  # a backend that outlives its postmaster for a moment
        kill(shared, "postgres")
        assert supervisor.ensure(shared) == ("postgres",)
    assert supervisor.endpoints(shared) == endpoints
    with psycopg.connect(endpoints.postgres_dsn) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (1000,)


def test_up_recovers_after_both_were_killed(shared: Config) -> None:
    endpoints = supervisor.up(shared)
    killed = {kill(shared, "postgres"), kill(shared, "mqtt")}
    with pytest.raises(ServicesDown, match="not running: postgres and mqtt"):
        supervisor.endpoints(shared)
    assert supervisor.up(shared) == endpoints
    assert not killed & {status.pid for status in supervisor.status(shared)}


def test_a_killed_broker_that_thousands_were_connected_to_comes_back_on_its_port(shared: Config) -> None:
    """Its connections outlive its name by the time the kernel needs to close them."""
    port = supervisor.up(shared).mqtt_port
    crowd = "import socket; o = [socket.create_connection(('127.0.0.1', %d)) for _ in range(3000)]; print(); input()"
    command = [sys.executable, "-c", crowd % port]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as others:
        assert others.stdin is not None
        assert others.stdout is not None
        assert others.stdout.readline() == b"\n"
        kill(shared, "mqtt")
        assert supervisor.ensure(shared) == ("mqtt",)
        others.stdin.close()
    assert supervisor.endpoints(shared).mqtt_port == port


def test_ensure_starts_nothing_while_all_run(shared: Config) -> None:
    supervisor.up(shared)
    assert supervisor.ensure(shared) == ()


def test_ensure_does_not_move_to_another_port(shared: Config) -> None:
    endpoints = supervisor.up(shared)
    kill(shared, "mqtt")
    port = endpoints.mqtt_port
    with socket.create_server(("127.0.0.1", port)), pytest.raises(ServicesError, match=rf"port {port} is taken by"):
        supervisor.ensure(shared)
    assert supervisor.ensure(shared) == ("mqtt",)


def test_restart_keeps_the_port_and_changes_the_process(shared: Config) -> None:
    endpoints = supervisor.up(shared)
    before = status_of(shared, "postgres").pid
    supervisor.restart(shared, "postgres")
    assert status_of(shared, "postgres").pid != before
    assert supervisor.endpoints(shared) == endpoints


def test_an_interrupted_first_start_is_made_good(config: Config) -> None:
    """initdb killed halfway leaves an unfinished folder, never a half cluster."""
    supervisor.up(config)
    supervisor.down(config)
    installation = load(config.var)
    assert installation is not None
    installation.postgres.rename(installation.data / "postgres.unfinished")
    supervisor.up(config)
    assert states(config)["postgres"] is State.ANSWERING


# -- ports


def test_configured_ports_are_used_and_a_change_of_them_is_followed(config: Config) -> None:
    supervisor.up(config)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    moved = with_services(config, postgres=PostgresConfig(port=port))
    assert f":{port}/" in supervisor.up(moved).postgres_dsn
    assert status_of(moved, "postgres").address == f"127.0.0.1:{port}"


def test_a_configured_port_that_is_taken_is_refused_and_nothing_runs(config: Config) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        taken = with_services(config, mqtt=MqttConfig(port=port))
        with pytest.raises(ServicesError, match=rf"port {port} is taken by .*services\.mqtt\.port"):
            supervisor.up(taken)
    assert states(taken)["mqtt"] is State.STOPPED


def test_up_moves_away_from_a_chosen_port_that_was_taken_meanwhile(config: Config) -> None:
    first = supervisor.up(config)
    supervisor.down(config)
    with socket.create_server(("127.0.0.1", first.mqtt_port)):
        second = supervisor.up(config)
    assert second.mqtt_port != first.mqtt_port
    assert second.postgres_dsn == first.postgres_dsn


# -- the database's rights


def test_the_reader_reads_what_the_owner_makes_and_changes_nothing(shared: Config) -> None:
    endpoints = supervisor.up(shared)
    with psycopg.connect(endpoints.postgres_dsn) as owner:
        owner.execute("CREATE TABLE s (time timestamptz NOT NULL, value float8)")
        owner.execute("SELECT create_hypertable('s', 'time')")
        owner.execute("INSERT INTO s VALUES (now(), 1)")
    with psycopg.connect(endpoints.postgres_reader_dsn, autocommit=True) as reader:
        assert reader.execute("SELECT value FROM s").fetchone() == (1.0,)
        reader.execute("SET default_transaction_read_only = off")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("INSERT INTO s VALUES (now(), 2)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("CREATE TABLE mine (n int)")


def test_the_owner_is_no_superuser_and_the_extension_is_the_apache_edition_or_better(shared: Config) -> None:
    endpoints = supervisor.up(shared)
    with psycopg.connect(endpoints.postgres_dsn) as owner:
        assert owner.execute("SELECT current_setting('is_superuser')").fetchone() == ("off",)
        assert owner.execute("SELECT count(*) FROM pg_extension WHERE extname = 'timescaledb'").fetchone() == (1,)
        assert owner.execute("SELECT current_setting('fsync')").fetchone() == ("on",)


def test_a_wrong_password_is_refused_by_both(shared: Config) -> None:
    endpoints = supervisor.up(shared)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(endpoints.postgres_dsn.replace("scada:", "scada:x"))
    address = f"mqtt://field:wrong@127.0.0.1:{endpoints.mqtt_port}"
    refused = status_of(with_services(shared, mqtt=MqttConfig(url=address)), "mqtt")
    assert (refused.state, refused.detail) == (State.SILENT, "Not authorized")
    anonymous = with_services(shared, mqtt=MqttConfig(url=f"mqtt://127.0.0.1:{endpoints.mqtt_port}"))
    assert status_of(anonymous, "mqtt").state is State.SILENT


# -- the broker's access list and memory


def test_each_role_may_do_its_own_and_nothing_else(shared: Config) -> None:
    endpoints = supervisor.up(shared)
    head_end = Client(endpoints, Role.HEADEND, "head-end")
    field = Client(endpoints, Role.FIELD, "field")
    head_end.subscribe("$share/readers/ami/v1/+/+/batch/profile")
    head_end.subscribe("ami/v1/+/+/+/event")
    field.subscribe("ami/v1/+/+/+/request")
    field.subscribe("ami/v1/+/+/+/event")  # granted by the broker, never delivered
    field.publish("ami/v1/tn/d1/batch/profile")
    field.publish("ami/v1/tn/d1/m1/event")
    head_end.publish("ami/v1/tn/d1/m1/request")
    wait_until(lambda: len(head_end.topics) == 2 and len(field.topics) == 1)
    assert sorted(head_end.topics) == ["ami/v1/tn/d1/batch/profile", "ami/v1/tn/d1/m1/event"]
    assert field.topics == ["ami/v1/tn/d1/m1/request"]
    assert head_end.refusals == field.refusals == []
    head_end.publish("ami/v1/tn/d1/m1/event")  # the head-end cannot pretend to be a meter
    field.publish("other/topic")
    assert (head_end.refusals, field.refusals) == (["Not authorized"], ["Not authorized"])
    head_end.close()
    field.close()


@pytest.mark.parametrize("end", ["restart", "kill"])
def test_messages_for_a_head_end_that_is_away_survive_the_broker(shared: Config, end: str) -> None:
    endpoints = supervisor.up(shared)
    head_end = Client(endpoints, Role.HEADEND, f"head-end-{end}")
    head_end.subscribe(f"$share/{end}/ami/v1/{end}/#")
    head_end.close()
    field = Client(endpoints, Role.FIELD, f"field-{end}")
    field.publish(f"ami/v1/{end}/d1/m1/profile", 1500)  # beyond the default limit of 1,000
    field.close()
    if end == "restart":
        supervisor.restart(shared, "mqtt")
    else:
        installation = load(shared.var)
        assert installation is not None
        database, before = installation.mosquitto / "mosquitto.db", time.time()
        wait_until(lambda: database.exists() and database.stat().st_mtime > before)  # the next autosave
        kill(shared, "mqtt")
        supervisor.ensure(shared)
    head_end = Client(endpoints, Role.HEADEND, f"head-end-{end}")
    wait_until(lambda: len(head_end.topics) >= 1500)
    head_end.close()
    assert len(head_end.topics) == 1500


# -- where the data lie


@pytest.mark.skipif(not AS_ROOT, reason="only root changes to another account")
def test_data_go_outside_a_folder_the_accounts_cannot_enter(config: Config) -> None:
    closed = config.var.parent / "closed"
    closed.mkdir(mode=0o700)
    hidden = replace(config, var=closed / "var")
    try:
        supervisor.up(hidden)
        installation = load(hidden.var)
        assert installation is not None
        assert installation.data == outside_folder(hidden.var)
        assert closed.stat().st_mode & 0o777 == 0o700
        assert states(hidden) == {"postgres": State.ANSWERING, "mqtt": State.ANSWERING}
    finally:
        supervisor.remove(hidden)
    assert not outside_folder(hidden.var).exists()


@pytest.fixture
def small_disk(config: Config) -> Iterator[Path]:
    """A file system of 8 MiB."""
    folder = config.var.parent / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m,mode=755", "tmpfs", str(folder)]
    if not AS_ROOT or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no right to mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_one_sentence(config: Config, small_disk: Path) -> None:
    with pytest.raises(ServicesError, match=r"disk is full.*set var in config\.toml"):
        supervisor.up(replace(config, var=small_disk / "var"))


def test_a_read_only_disk_is_one_sentence(config: Config, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(ServicesError, match=r"is on a read-only file system; set var in config\.toml"):
        supervisor.up(replace(config, var=small_disk / "var"))


# -- external servers


def test_external_servers_are_used_and_left_running(config: Config) -> None:
    theirs = supervisor.up(config)
    headend = theirs.mqtt_credentials[Role.HEADEND]
    url = f"mqtt://{headend.username}:{headend.password}@127.0.0.1:{theirs.mqtt_port}"
    ours = with_services(
        replace(config, var=config.var.parent / "ours"),
        postgres=PostgresConfig(url=theirs.postgres_dsn),
        mqtt=MqttConfig(url=url),
    )
    found = supervisor.up(ours)
    assert (found.postgres_dsn, found.mqtt_port, found.mqtt_credentials[Role.FIELD]) == (
        theirs.postgres_dsn,
        theirs.mqtt_port,
        headend,
    )
    assert [(s.state, s.private, s.pid) for s in supervisor.status(ours)] == [(State.ANSWERING, False, None)] * 2
    assert supervisor.down(ours) == ()
    assert states(config) == {"postgres": State.ANSWERING, "mqtt": State.ANSWERING}
    assert not services_folder(ours.var).exists()
    supervisor.down(config)
    assert [s.state for s in supervisor.status(ours)] == [State.SILENT, State.SILENT]


def test_nothing_remains_after_remove(config: Config) -> None:
    endpoints = supervisor.up(config)
    supervisor.remove(config)
    assert not services_folder(config.var).exists()
    assert is_port_free(endpoints.mqtt_port)
