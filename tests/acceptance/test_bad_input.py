"""What comes in wrong is told in a sentence or counted with its reason, and costs nobody else anything."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import paho.mqtt.client as mqtt
import psutil
import psycopg
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from historian.registry import import_meters
from meters.opened import PAYLOAD_KEPT
from meters.topic import Subject, batch_topic, meter_topic
from scada.demo import free_base_port
from scada.services import supervisor
from scada.services.endpoints import Role
from tests.demo_process import SOURCE, House, house_in, wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(600)]

SIMULATORS = (sys.executable, "-m", "simulators")
HEALTHY = ("TN01", "TN14")
FAULTY = {"TN03": "refuse", "TN07": "silent", "TN13": "cut"}
FAULT_FROM_S, FAULT_FOR_S = 15, 20
QUICK_SCAN = "[scan]\nsilent_scans = 2\nreconnect_min_s = 0.5\nreconnect_max_s = 1.0\n"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house_in(tmp_path_factory.mktemp("house"), stations=(*HEALTHY, *FAULTY), more=QUICK_SCAN) as house:
        assert house.scada("services", "up").returncode == 0
        yield house


@contextmanager
def process(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is asked to end, and must end well."""
    with log.open("wb") as output:
        running = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    try:
        yield running
        running.send_signal(signal.SIGTERM)
        assert running.wait(180) == 0, log.read_text(encoding="utf-8")
    finally:
        if running.poll() is None:
            running.kill()
        running.wait(30)


# -- stations


def test_stations_that_refuse_fall_silent_or_die_mid_answer_leave_the_others_their_period(house: House) -> None:
    base_port = free_base_port_of(house)
    ready = house.folder / "field.ready"
    field = [*SIMULATORS, "field", "--base-port", str(base_port), "--only", ",".join((*HEALTHY, *FAULTY))]
    field += ["--stations", str(SOURCE / "substations"), "--ready-file", str(ready)]
    for code, kind in FAULTY.items():
        field += ["--fault", f"{code}={kind}@{FAULT_FROM_S}s:{FAULT_FOR_S}s"]
    run = house.command("run", "--base-port", str(base_port))
    # The faults begin so long after the field is ready: whoever is to see them runs before.
    with process(run, house.folder / "run.log"):
        wait_until(lambda: link_states(house, (*HEALTHY, *FAULTY)) == {"lost"}, "the scan runs", within_s=300)
        with process(field, house.folder / "field.log"):
            wait_until(ready.exists, "the field is ready", within_s=300)
            wait_until(lambda: link_states(house, (*HEALTHY, *FAULTY)) == {"up"}, "all stations are up")
            since = statistics(house, HEALTHY)
            wait_until(lambda: link_states(house, FAULTY) == {"lost"}, "the faulty stations are lost", within_s=180)
            lost = statistics(house, FAULTY)
            wait_until(lambda: link_states(house, FAULTY) == {"up"}, "the faulty stations are back", within_s=180)
            healthy = statistics(house, HEALTHY)
            # When the field ends, before the scan does, they are lost once more.
            told = (house.folder / "run.log").read_text(encoding="utf-8")
    for code in HEALTHY:
        assert healthy[code]["since"] == since[code]["since"], f"{code} was up all the time"
        assert healthy[code]["restarts"] == 0
        scans = healthy[code]["scans"] - since[code]["scans"]
        overruns = healthy[code]["overruns"] - since[code]["overruns"]
        # A machine with too much to do leaves out a scan now and then; waiting 2 s for another station would leave out
        # eight at each.
        assert overruns <= scans, "a scan waits for no other station"
    for code in FAULTY:
        since_lost = lost[code]["since"] / 1e6
        assert stored(house, code, "quality & 64 <> 0", since_lost - 1) >= lost[code]["points"], "told as not topical"
        # The second interrogation bears old source times where nothing changed, so it is told by its number of rows.
        interrogated = house.count(INTERROGATED, code)
        assert interrogated > 1.5 * lost[code]["points"], f"{code} is interrogated at the start and when it returns"
    for code in FAULTY:
        assert told.count(f"{code} link lost: no answer for 2 scans") >= 2, "before the field began, and by the fault"
        assert told.count(f"{code} link restored after") >= 2
    assert "Traceback" not in (house.folder / "run.log").read_text(encoding="utf-8")


def free_base_port_of(house: House) -> int:
    return free_base_port([int(code[2:]) for code in (*HEALTHY, *FAULTY)], random.SystemRandom())


def statistics(house: House, codes: Sequence[str] | dict[str, str]) -> dict[str, dict[str, int]]:
    return {each["code"]: each for each in house.state("run").get("stations", []) if each["code"] in codes}


def link_states(house: House, codes: Sequence[str] | dict[str, str]) -> set[object]:
    return {each["state"] for each in statistics(house, codes).values()}


INTERROGATED = (
    "SELECT count(*) FROM sample s JOIN point p ON p.id = s.point"
    " WHERE p.station = %s AND s.cause = 20 AND s.quality = 0"
)


def stored(house: House, station: str, condition: str, since_s: float) -> int:
    return house.count(
        f"SELECT count(DISTINCT s.point) FROM sample s JOIN point p ON p.id = s.point"
        f" WHERE p.station = %s AND s.{condition.replace(' AND ', ' AND s.')} AND s.time >= to_timestamp(%s)",
        station,
        since_s,
    )


# -- readings

REGISTRY = "serial,metering_point,unit,concentrator,feeder,class,installed_at,multiplier,digits\n"
SERIAL, POINT = 240_000_000_001, "PC01000000001"


def reading(**changes: object) -> bytes:
    """A good reading of the one meter, with fields replaced; None leaves one out."""
    now = datetime.now(UTC).replace(microsecond=0)
    values = {"1-0:1.8.0": 1000, "1-0:2.8.0": 10, "1-0:3.8.0": 100, "1-0:1.7.0": 512.0, "1-0:32.7.0": 230.1}
    fields: dict[str, object] = {
        "v": 1,
        "serial": str(SERIAL),
        "point": POINT,
        "time": now.isoformat(),
        "interval_s": 10,
        "seq": 1,
        "values": values,
        **changes,
    }
    if "import_wh" in fields:
        fields["values"] = {**values, "1-0:1.8.0": fields.pop("import_wh")}
    return json.dumps({name: value for name, value in fields.items() if value is not None}).encode()


def bad_readings() -> list[tuple[str, str, bytes]]:
    """(reason, topic, payload) of one message for every way to be wrong."""
    own = meter_topic("PC01", "direct", SERIAL, Subject.PROFILE)
    now = datetime.now(UTC)
    return [
        ("not_json", own, b"{ this is not JSON"),
        ("not_json", own, b"\xff\xfe\x00"),
        ("no_zone", own, reading(time=now.replace(tzinfo=None, microsecond=0).isoformat())),
        ("in_future", own, reading(time=(now + timedelta(hours=1)).isoformat())),
        ("too_old", own, reading(time=(now - timedelta(days=400)).isoformat())),
        ("unknown_meter", meter_topic("PC01", "direct", 99, Subject.PROFILE), reading(serial="99")),
        ("wrong_metering_point", own, reading(point="PC01999999999")),
        ("negative", own, reading(import_wh=-1)),
        ("not_a_number", own, reading().replace(b"512.0", b"NaN")),
        ("out_of_range", own, reading(import_wh=10**18)),
        ("missing_field", own, reading(serial=None)),
        ("wrong_type", own, reading(seq="first")),
        ("unknown_version", own, reading(v=99)),
        ("topic_mismatch", meter_topic("PC01", "direct", 98, Subject.PROFILE), reading()),
        ("not_a_batch", batch_topic("PC01", "DCU0001"), b"no batch at all, whatever its length may be"),
        ("truncated", batch_topic("PC01", "DCU0001"), b"AMIB\x01"),
        ("unknown_version", batch_topic("PC01", "DCU0001"), b"AMIB\x63" + bytes(75)),
        ("oversize", own, reading(note="x" * 5000)),
    ]


def publish(house: House, messages: Sequence[tuple[str, bytes]]) -> None:
    """As the field does: QoS 1, each acknowledged by the broker."""
    endpoints = supervisor.endpoints(house.config)
    credential = endpoints.mqtt_credentials[Role.FIELD]
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="by hand", protocol=mqtt.MQTTv5)
    client.username_pw_set(credential.username, credential.password)
    client.connect(endpoints.mqtt_host, endpoints.mqtt_port)
    client.loop_start()
    for topic, payload in messages:
        client.publish(topic, payload, qos=1).wait_for_publish(60)
    client.disconnect()
    client.loop_stop()


def test_readings_with_bad_content_are_counted_by_reason_and_kept_for_inspection(house: House) -> None:
    registry = house.folder / "meters.csv"
    row = f"{SERIAL},{POINT},PC01,,TN01/471,residential,2024-01-01T00:00:00+07:00,1,6\n"
    registry.write_text(REGISTRY + row, encoding="utf-8")
    assert import_meters(supervisor.endpoints(house.config).postgres_dsn, registry).faults == ()
    bad = bad_readings()
    good = (meter_topic("PC01", "direct", SERIAL, Subject.PROFILE), reading())
    expected: dict[str, int] = {}
    for reason, _, _ in bad:
        expected[reason] = expected.get(reason, 0) + 1
    before = house.rows()
    with process(house.command("collect", "--capture-period", "10s"), house.folder / "collect.log"):
        wait_until(lambda: bool(house.state("collect").get("readings", {}).get("connected")), "the head-end listens")
        publish(house, [good, *((topic, payload) for _, topic, payload in bad), good])
        wait_until(lambda: house.state("collect")["readings"]["received"] >= len(bad) + 2, "everything is received")
        state = house.state("collect")["readings"]
    assert state["rejected"] == expected
    assert (state["received"], state["stored"], state["duplicate"]) == (len(bad) + 2, 1, 1)
    grown = house.rows() - before
    assert (grown.received, grown.stored, grown.duplicate, grown.rejected) == (len(bad) + 2, 1, 1, len(bad))
    assert grown.readings == 1
    with house.database() as connection:
        kept = connection.execute("SELECT reason, topic, payload FROM quarantine").fetchall()
        booked = connection.execute(
            "SELECT reason, sum(rejected)::int FROM ingest_rejection WHERE kind = 'reading' GROUP BY reason"
        ).fetchall()
    assert dict(booked) == expected
    cut = [(reason, topic, payload[:PAYLOAD_KEPT]) for reason, topic, payload in bad]
    assert sorted((reason, topic, bytes(payload)) for reason, topic, payload in kept) == sorted(cut)


# -- commands


REFUSAL = "9999_from_tomorrow.sql was applied to this database, but this version of the program lacks it"


def one_sentence(done: subprocess.CompletedProcess[str], code: int = 1) -> str:
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr.strip()


def test_a_database_of_another_version_is_one_sentence_for_every_process(house: House) -> None:
    endpoints = supervisor.endpoints(house.config)
    with psycopg.connect(endpoints.postgres_dsn) as connection:
        connection.execute("INSERT INTO schema_migration (name, sha256) VALUES ('9999_from_tomorrow.sql', 'x')")
    try:
        for words in (("demo", "--minutes", "0.1"), ("run",), ("collect",), ("jobs",), ("services", "up")):
            done = house.scada(*words)
            assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
            assert REFUSAL in done.stderr.splitlines(), words
    finally:
        with psycopg.connect(endpoints.postgres_dsn) as connection:
            connection.execute("DELETE FROM schema_migration WHERE name LIKE '9999%'")


def test_a_taken_port_is_one_sentence_that_names_it_and_its_key(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with house_in(tmp_path, more=f"[services.postgres]\nport = {port}\n") as house:
            sentence = one_sentence(house.scada("services", "up"))
    assert sentence.startswith(f"port {port} is taken by {psutil.Process().name()} (pid {os.getpid()})")
    assert f"(pid {os.getpid()})" in sentence
    assert "services.postgres.port" in sentence


@pytest.mark.parametrize("words", [("demo", "--minutes", "0.1"), ("services", "up"), ("run",), ("status",)])
def test_a_file_where_the_data_folder_belongs_is_one_sentence(tmp_path: Path, words: tuple[str, ...]) -> None:
    house = House(tmp_path)
    (tmp_path / "var").write_text("in the way", encoding="utf-8")
    assert str(tmp_path / "var") in one_sentence(house.scada(*words))


def test_wrong_files_are_told_all_at_once_with_exit_code_two(tmp_path: Path) -> None:
    house = House(tmp_path, more='[scann]\n[historian]\nbatch_rows = "many"\n')
    done = house.scada("demo", "--minutes", "0.1")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "config.toml: historian.batch_rows: must be a whole number, is 'many'",
        "config.toml: scann: unknown key; did you mean 'scan'?",
    ]
    assert not (tmp_path / "var").exists(), "nothing is started from files that are wrong"
