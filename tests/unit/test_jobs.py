"""The scheduler's table: what comes of each job is told, whatever comes of it."""

from datetime import UTC, datetime

import pytest
from apscheduler.triggers.date import DateTrigger

from scada.jobs import Job, Timetable
from scada.model.errors import StoreUnavailable
from tests.fakes_meters import until

NEVER_AGAIN = DateTrigger(datetime(2099, 1, 1, tzinfo=UTC))


def away() -> str:
    raise StoreUnavailable("the server is shut down")


def broken() -> str:
    return str(1 // 0)


def test_a_job_that_fails_is_told_as_failed_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    work = {"broken": broken, "away": away, "good": lambda: "5 days indexed"}
    table = Timetable(tuple(Job(name, NEVER_AGAIN, each) for name, each in work.items()))
    table.start()
    try:
        until(lambda: all(each["ended"] for each in table.state()), "each has run once")
        told = {each["name"]: (each["failed"], each["outcome"]) for each in table.state()}
    finally:
        table.stop()
    assert told == {
        "broken": (True, "a fault of ours: ZeroDivisionError: integer division or modulo by zero"),
        "away": (True, "the server is shut down"),
        "good": (False, "5 days indexed"),
    }
    assert [record.exc_info is not None for record in caplog.records if "Job broken" in record.message] == [True]
