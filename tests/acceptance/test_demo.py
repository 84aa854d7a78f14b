"""The whole slice as people run it: ``scada demo`` with real servers, real protocols and real ways to die.

One data folder for all of them, so every demo but the first also is a second demo on the same data.
"""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from scada.services import supervisor
from tests.demo_process import NO_ROWS, House, Rows, RunningDemo, house_in, wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(600)]

METERS, PERIOD_S = 5000, 10
FLEET = ("--meters", str(METERS), "--capture-period", f"{PERIOD_S}s")
OUTAGE_S = 20.0

KEYS = {
    "stations",
    "stations_up",
    "points",
    "samples_stored",
    "meters",
    "meters_heard",
    "readings_received",
    "readings_stored",
    "readings_duplicate",
    "readings_rejected",
    "max_lag_s",
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house_in(tmp_path_factory.mktemp("house")) as house:
        yield house


@pytest.fixture
def running_services(house: House) -> None:
    """Services that run before the demo, which it therefore leaves running."""
    supervisor.up(house.config)


def summary_of(house: House) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((house.var / "demo" / "summary.json").read_text(encoding="utf-8"))
    return content


def rows_before(house: House) -> Rows:
    """What is stored now; a fresh folder has nothing, and no tables either."""
    return house.rows() if (house.var / "demo" / "summary.json").exists() else NO_ROWS


def assert_sums_hold(house: House, before: Rows) -> dict[str, Any]:
    """The summary against what this test counts itself."""
    summary, grown = summary_of(house), house.rows() - before
    assert summary["faults"] == []
    assert summary["samples_in_database"] == grown.samples == grown.batch_rows
    assert summary["readings_in_database"] == grown.readings == grown.stored
    assert summary["readings_stored"] == grown.stored + grown.revised
    assert summary["readings_revised"] == grown.revised == grown.revisions
    assert (summary["readings_duplicate"], summary["readings_rejected"]) == (grown.duplicate, grown.rejected)
    assert summary["readings_received"] == grown.received
    assert grown.received == grown.stored + grown.revised + grown.duplicate + grown.rejected
    assert house.missing_readings(PERIOD_S) == []
    return summary


def reported_by(run: dict[str, Any]) -> int:
    """Samples to be stored. At the full hour totals are frozen: told once more, though no scan brought them."""
    return int(run["image"]["reported"] + run["totals_frozen"])


def assert_no_sample_lost(house: House, summary: dict[str, Any]) -> None:
    """What the process image reported is what the sink was offered, and all of it is stored, once."""
    last = json.loads(house.last_state("run"))
    samples, reported = last["samples"], reported_by(last)
    assert reported == samples["offered"] == samples["stored"] == summary["samples_in_database"]
    assert [samples[name] for name in ("spooled", "waiting", "rejected", "dropped")] == [0, 0, 0, 0]


def test_a_demo_on_a_fresh_folder_proves_its_sums_and_leaves_nothing_running(house: House) -> None:
    before = rows_before(house)
    with RunningDemo(house, "--minutes", "0.5", *FLEET) as demo:
        demo.until_everything_flows()
        assert demo.end() == 0, demo.output
        assert demo.children_left() == []
    assert house.services_run() == [False, False]
    assert sorted(file.name for file in (house.var / "run").iterdir()) == [
        "collect.last.json",
        "jobs.last.json",
        "run.last.json",
    ], "a process that ended still says where it answers"
    summary = assert_sums_hold(house, before)
    assert_no_sample_lost(house, summary)
    assert summary.keys() >= KEYS
    assert (summary["stations"], summary["stations_up"]) == (4, 4)
    assert summary["points"] >= house.points
    assert (summary["meters"], summary["meters_heard"]) == (METERS, METERS)
    assert summary["readings_received"] >= summary["readings_published"] >= 2 * METERS
    assert (summary["readings_duplicate"], summary["readings_revised"], summary["readings_rejected"]) == (0, 0, 0)
    assert (summary["complete"], summary["stopped_early"]) == (True, False)
    assert set(summary["restarts"].values()) == {0}
    assert 0.0 < summary["max_lag_s"] < 30.0
    assert "4 of 4 stations up" in demo.output
    assert demo.output.endswith("Everything adds up; nothing was lost.\n")


@pytest.mark.usefixtures("running_services")
def test_a_database_killed_for_twenty_seconds_costs_no_reading_and_no_sample(house: House) -> None:
    before = rows_before(house)
    with RunningDemo(house, "--minutes", "5", *FLEET, "--no-restart-services") as demo:
        demo.until_everything_flows()
        at_kill = house.state("run")
        house.kill_service("postgres")
        killed, killed_us = time.monotonic(), time.time_ns() // 1000

        demo.wait_for(lambda: house.state("run")["samples"]["spooled"] > 0, "telemetry goes to the spool")
        demo.wait_for(
            lambda: not house.state("collect")["readings"]["database_available"], "the head-end sees the database gone"
        )
        demo.wait_for(lambda: time.monotonic() >= killed + OUTAGE_S, "the outage is over")
        away = house.state("run")
        assert house.service("postgres") is None
        assert all(each["state"] == "up" for each in away["stations"])
        assert all(
            now["scans"] > then["scans"] for now, then in zip(away["stations"], at_kill["stations"], strict=True)
        )
        held = house.state("collect")["readings"]
        assert held["in_hand"] > 0, "what cannot be stored is held and not acknowledged"

        restarted_us = time.time_ns() // 1000
        assert supervisor.ensure(house.config) == ("postgres",)
        demo.wait_for(
            lambda: (
                house.state("run")["samples"]["spooled"] == 0
                and house.state("collect")["readings"]["database_available"]
                and house.state("collect")["readings"]["stored"] > held["stored"]
            ),
            "everything held back is stored",
        )
        asked_us = time.time_ns() // 1000
        demo.ask_to_stop()
        assert demo.end() == 0, demo.output
        assert demo.children_left() == []
    summary = assert_sums_hold(house, before)
    assert_no_sample_lost(house, summary)
    assert set(summary["restarts"].values()) == {0}, "nobody died of the database's death"
    assert summary["samples_in_database"] > away["samples"]["spooled"] > 0
    of_the_outage = "SELECT count(*) FROM {} WHERE time BETWEEN to_timestamp(%s) AND to_timestamp(%s)"
    # Meters take their time to report an interval; who has not when the demo is to end, never does.
    span = (killed_us / 1e6 + 1, min(restarted_us / 1e6 - 1, asked_us / 1e6 - PERIOD_S))
    assert house.count(of_the_outage.format("sample"), *span) > 0
    assert ends_within(*span) > 0
    assert house.count(of_the_outage.format("reading"), *span) == METERS * ends_within(*span)


def ends_within(since: float, until: float) -> int:
    return int(until // PERIOD_S) - int(-(-since // PERIOD_S)) + 1


@pytest.mark.usefixtures("running_services")
def test_broker_scan_and_head_end_killed_are_started_again_and_the_sums_hold(house: House) -> None:
    before = rows_before(house)
    with RunningDemo(house, "--minutes", "5", *FLEET) as demo:
        demo.until_everything_flows()

        heard = house.state("collect")["readings"]["received"]
        house.kill_service("mqtt")
        demo.wait_for(lambda: house.service("mqtt") is not None, "the demo starts the broker again")
        demo.wait_for(
            lambda: house.state("collect")["readings"]["received"] > heard + METERS, "the fleet is heard again"
        )

        pids = {name: demo.kill(name) for name in ("run", "collect")}
        demo.wait_for(
            lambda: all(house.state(name).get("pid", pid) != pid for name, pid in pids.items()), "both run again"
        )
        demo.until_everything_flows()
        demo.ask_to_stop(signal.SIGTERM)
        assert demo.end() == 0, demo.output
        assert demo.children_left() == []
        assert "mqtt had died and was started again" in demo.output
    summary = assert_sums_hold(house, before)
    assert summary["restarts"] == {"field": 0, "collect": 1, "jobs": 0, "run": 1}
    assert summary["readings_duplicate"] > 0, "what was said twice is counted"
    last = json.loads(house.last_state("run"))
    assert reported_by(last) == last["samples"]["offered"]
    assert last["samples"]["offered"] + last["samples"]["recovered"] == last["samples"]["stored"]
    assert summary["samples_in_database"] >= last["samples"]["stored"] + house.points, "both runs are in the database"


@pytest.mark.usefixtures("running_services")
def test_a_scan_killed_while_the_database_is_away_starts_without_it_and_stores_what_it_had_spooled(
    house: House,
) -> None:
    before = rows_before(house)
    with RunningDemo(house, "--minutes", "5", *FLEET, "--no-restart-services") as demo:
        demo.until_everything_flows()
        house.kill_service("postgres")
        demo.wait_for(lambda: house.state("run")["samples"]["spooled"] > 0, "telemetry goes to the spool")
        pid = demo.kill("run")
        demo.wait_for(lambda: house.state("run").get("pid", pid) != pid, "the scan runs again without the database")
        recovered = house.state("run")["samples"]["recovered"]
        assert recovered > 0, "the spool of the killed run is found"
        demo.wait_for(
            lambda: all(each["state"] == "up" for each in house.state("run")["stations"]), "stations are seen again"
        )
        supervisor.ensure(house.config)
        demo.wait_for(lambda: house.state("run")["samples"]["spooled"] == 0, "the spool is replayed")
        demo.ask_to_stop()
        assert demo.end() == 0, demo.output
    summary = assert_sums_hold(house, before)
    last = json.loads(house.last_state("run"))["samples"]
    assert last["offered"] + recovered == last["stored"]
    assert summary["restarts"] == {"field": 0, "collect": 0, "jobs": 0, "run": 1}


def test_a_terminal_shows_the_live_view_and_ctrl_c_ends_everything_cleanly(house: House) -> None:
    supervisor.down(house.config)
    screen, terminal = pty.openpty()
    # The terminal must be the controlling one, or Ctrl-C would be a character like any other.
    take_terminal = "import os, sys; os.login_tty(int(sys.argv[1])); os.execv(sys.argv[2], sys.argv[2:])"
    command = [sys.executable, "-c", take_terminal, str(terminal), *house.command("demo", *FLEET)]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"}
    process = subprocess.Popen(command, env=environment, pass_fds=[terminal])
    os.close(terminal)
    os.set_blocking(screen, False)
    shown = bytearray()

    def read() -> str:
        while True:
            try:
                shown.extend(os.read(screen, 65536))
            except (BlockingIOError, OSError):
                return shown.decode("utf-8", errors="replace")

    try:
        wait_until(lambda: "stations up" in read() and "TN17" in read(), "the view shows stations", within_s=300)
        wait_until(lambda: f"{METERS:,}/{METERS:,}" in read(), "the view shows the meters heard", within_s=180)
        os.write(screen, b"\x03")
        wait_until(lambda: (read() and False) or process.poll() is not None, "the demo ends", within_s=300)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(30)
        text = read()
        os.close(screen)
    assert process.returncode == 0, text[-2000:]
    assert "samples stored" in text and "points/s" in text and "lag" in text
    assert "Everything adds up; nothing was lost." in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l"), "the cursor is shown again"
    assert house.services_run() == [False, False]
    assert summary_of(house)["stopped_early"] is True


@pytest.mark.parametrize("moment", ["database and broker answer", "stations answer on port"])
@pytest.mark.usefixtures("running_services")
def test_a_demo_asked_to_stop_while_it_starts_ends_cleanly(house: House, moment: str) -> None:
    with RunningDemo(house, *FLEET) as demo:
        demo.wait_for(lambda: moment in demo.output, moment)
        demo.ask_to_stop(signal.SIGTERM)
        assert demo.end() == 0, demo.output
        assert demo.children_left() == []
    assert "Traceback" not in demo.output
    assert summary_of(house)["faults"] == []
    assert summary_of(house)["stopped_early"] is True
