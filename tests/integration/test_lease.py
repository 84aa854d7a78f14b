"""One holder at a time; it passes on when the holder leaves, dies or loses its session."""

import subprocess
import sys
import time

import psycopg
import pytest

from historian.lease import Lease

pytestmark = pytest.mark.integration

HOLDER = """
import sys, time
from historian.lease import Lease
lease = Lease(sys.argv[1], "work")
print(lease.hold(), flush=True)
time.sleep(60)
"""


def end_sessions(database: str) -> None:
    """As an administrator does it, or a server that restarts."""
    with psycopg.connect(database) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'work' AND datname = current_database()"
        )


def take(lease: Lease, within_s: float = 60.0) -> bool:
    """The server notices the end of a session a moment after it ended."""
    give_up = time.monotonic() + within_s
    while not lease.hold():
        if time.monotonic() > give_up:
            return False
        time.sleep(0.02)
    return True


def test_a_second_asker_stands_by_until_the_first_leaves(database: str) -> None:
    with Lease(database, "work") as second:
        with Lease(database, "work") as first:
            assert [first.hold(), second.hold(), first.hold(), second.hold()] == [True, False, True, False]
        assert take(second)
        assert second.hold()


def test_leases_of_different_names_do_not_meet(database: str) -> None:
    with Lease(database, "work") as one, Lease(database, "other work") as other:
        assert one.hold() and other.hold()


def test_a_holder_that_was_killed_does_not_block_its_successor(database: str) -> None:
    with (
        subprocess.Popen([sys.executable, "-c", HOLDER, database], stdout=subprocess.PIPE, text=True) as holder,
        Lease(database, "work") as successor,
    ):
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        assert not successor.hold()
        holder.kill()
        assert take(successor)


def test_a_holder_whose_session_was_ended_learns_it_and_may_ask_again(database: str) -> None:
    with Lease(database, "work") as lease:
        assert lease.hold()
        end_sessions(database)
        assert not lease.hold(), "between the end and this moment somebody else may have held it"
        assert take(lease)


def test_only_one_of_two_holds_after_the_holder_lost_its_session(database: str) -> None:
    with Lease(database, "work") as first, Lease(database, "work") as second:
        assert first.hold()
        second.hold()
        end_sessions(database)
        held = [take(second), first.hold(), first.hold()]
        assert held == [True, False, False]


def test_without_a_database_nobody_holds_and_nothing_is_raised() -> None:
    with Lease("postgresql://nobody:nothing@127.0.0.1:1/none", "work") as lease:
        assert not lease.hold()
