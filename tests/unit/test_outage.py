"""When something that failed is tried again."""

from historian.outage import Outage

SECOND = 1_000_000


def test_what_serves_may_be_tried_at_any_time() -> None:
    outage = Outage(SECOND, 4 * SECOND)
    assert (outage.may_try(0), outage.since, outage.error, outage.restored(5)) == (True, None, "", None)


def test_pauses_double_up_to_the_longest_and_begin_again_after_a_recovery() -> None:
    outage = Outage(SECOND, 4 * SECOND)
    pauses = []
    for now in (10, 20, 30, 40):
        outage.lost(now, "away")
        pauses.append(outage.retry_at - now)
    assert pauses == [SECOND, 2 * SECOND, 4 * SECOND, 4 * SECOND]
    outage.restored(50)
    outage.lost(60, "away")
    assert outage.retry_at - 60 == SECOND


def test_only_the_first_failure_and_the_first_success_are_news() -> None:
    outage = Outage(SECOND, 4 * SECOND)
    assert [outage.lost(10, "refused"), outage.lost(20, "silent")] == [True, False]
    assert (outage.since, outage.error, outage.may_try(30)) == (10, "silent", False)
    assert [outage.restored(42 * SECOND + 10), outage.restored(99)] == [42.0, None]
    assert (outage.since, outage.error, outage.may_try(0)) == (None, "", True)
