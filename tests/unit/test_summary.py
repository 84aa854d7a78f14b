"""A demo's sums: right ones are no fault, each wrong one is a sentence, and the words say what the figures say."""

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scada.summary import (
    Stored,
    Summary,
    TelemetryTotals,
    faults_of_endings,
    faults_of_readings,
    faults_of_telemetry,
)
from scada.summarywords import summary_words

TOTALS = TelemetryTotals(offered=100, recovered=10, stored=110)
GROWN = Stored(
    samples=110,
    batch_rows=110,
    readings=50,
    revisions=2,
    account_received=60,
    account_stored=50,
    account_revised=2,
    account_duplicate=5,
    account_rejected=3,
)
GOOD = Summary(
    seconds=60.0,
    stations=21,
    stations_up=21,
    points=13_215,
    samples_offered=15_000,
    samples_stored=15_000,
    samples_in_database=15_000,
    meters=200_000,
    meters_heard=200_000,
    readings_published=400_000,
    readings_received=400_010,
    readings_stored=400_000,
    readings_revised=0,
    readings_duplicate=10,
    readings_rejected=0,
    readings_in_database=400_000,
    max_lag_s=1.25,
    restarts={"run": 0, "collect": 0},
    complete=True,
    stopped_early=False,
    faults=(),
)


def test_sums_that_hold_are_no_fault() -> None:
    assert faults_of_telemetry(TOTALS, GROWN, restarts=0) == []
    assert faults_of_readings(GROWN, published=50, present=50) == []


@pytest.mark.parametrize(
    ("totals", "grown", "faults"),
    [
        (
            replace(TOTALS, offered=101),
            GROWN,
            ["telemetry: 101 offered + 10 recovered, but 110 accounted for"],
        ),
        (
            TOTALS,
            replace(GROWN, batch_rows=109),
            ["telemetry: batches of 109 rows, but the database has 110 more"],
        ),
        (
            replace(TOTALS, offered=99, stored=109),
            GROWN,
            ["telemetry: 109 samples stored, but the database has 110 more"],
        ),
        (replace(TOTALS, offered=103, spooled=3), GROWN, ["telemetry: 3 samples still in the spool"]),
        (replace(TOTALS, offered=103, waiting=3), GROWN, ["telemetry: 3 samples still in memory"]),
        (replace(TOTALS, offered=103, rejected=3), GROWN, ["telemetry: 3 samples refused by the database"]),
        (replace(TOTALS, offered=103, dropped=3), GROWN, ["telemetry: 3 samples dropped"]),
    ],
    ids=["sink", "batches", "database", "spooled", "waiting", "rejected", "dropped"],
)
def test_each_sum_of_telemetry_that_does_not_hold_is_one_sentence(
    totals: TelemetryTotals, grown: Stored, faults: list[str]
) -> None:
    assert faults_of_telemetry(totals, grown, restarts=0) == faults


def test_after_a_restart_of_the_scan_its_last_totals_are_not_held_against_the_database() -> None:
    last_run = TelemetryTotals(offered=30, stored=30)
    assert faults_of_telemetry(last_run, GROWN, restarts=0) != []
    assert faults_of_telemetry(last_run, GROWN, restarts=1) == []


def test_after_a_restart_a_batch_that_is_stored_twice_is_still_found() -> None:
    assert faults_of_telemetry(TOTALS, replace(GROWN, samples=120), restarts=1) == [
        "telemetry: batches of 110 rows, but the database has 120 more"
    ]


@pytest.mark.parametrize(
    ("grown", "faults"),
    [
        (replace(GROWN, account_received=61), ["readings: 61 received, but 60 accounted for"]),
        (replace(GROWN, readings=49), ["readings: 50 stored, but the database has 49 more"]),
        (replace(GROWN, revisions=1), ["readings: 2 revised, but the database has 1 more"]),
    ],
    ids=["account", "stored", "revised"],
)
def test_each_sum_of_readings_that_does_not_hold_is_one_sentence(grown: Stored, faults: list[str]) -> None:
    assert faults_of_readings(grown, published=50, present=50) == faults


def test_a_published_reading_that_is_not_there_is_a_fault_and_one_more_than_published_is_not() -> None:
    assert faults_of_readings(GROWN, published=51, present=50) == [
        "readings: 51 published, but only 50 of their time in the database"
    ]
    assert faults_of_readings(GROWN, published=49, present=50) == []


def test_an_unclean_end_and_a_missing_last_state_are_faults() -> None:
    assert faults_of_endings({}, []) == []
    assert faults_of_endings({"collect": "signal 9; its last words: Gaps: 400000 found"}, ["collect"]) == [
        "collect did not end cleanly: signal 9; its last words: Gaps: 400000 found",
        "collect left no last state; its own figures are unknown",
    ]


@given(
    st.lists(st.integers(0, 10**9), min_size=9, max_size=9),
    st.lists(st.integers(0, 10**9), min_size=9, max_size=9),
)
def test_growth_is_taken_column_by_column(earlier: list[int], more: list[int]) -> None:
    later = [a + b for a, b in zip(earlier, more, strict=True)]
    assert Stored(*later).since(Stored(*earlier)) == Stored(*more)


def test_every_figure_that_must_be_in_the_summary_is_there() -> None:
    asked = {
        "stations", "stations_up", "points", "samples_stored", "meters", "meters_heard", "readings_received",
        "readings_stored", "readings_duplicate", "readings_rejected", "max_lag_s",
    }  # fmt: skip
    assert asked <= {each.name for each in fields(Summary)}


def test_the_words_of_a_good_demo() -> None:
    assert summary_words(GOOD, "en") == [
        "21 of 21 stations up, 13,215 points: 15,000 samples stored, 15,000 more in the database.",
        "200,000 of 200,000 meters heard: 400,010 readings received = 400,000 stored + 10 duplicate + 0 rejected; "
        "400,000 more in the database, longest lag 1.2 s.",
        "Everything adds up; nothing was lost.",
    ]


def test_the_words_tell_restarts_revisions_an_early_end_and_every_fault() -> None:
    troubled = replace(
        GOOD, restarts={"run": 2, "collect": 0}, readings_revised=7, complete=False, faults=("one", "two")
    )
    told = summary_words(troubled, "en")
    assert ", 7 of the stored as revisions;" in told[1]
    assert told[2:] == [
        "Started again after a crash: run 2 times.",
        "Ended before every station was up and every meter heard.",
        "DOES NOT ADD UP: one.",
        "DOES NOT ADD UP: two.",
    ]
