"""Who reports when, what is owed after a loss, and what a dead feeder says: all by the clock of the test."""

import numpy as np
import pytest

from scada.model.reading import EventCode
from scada.model.station import CustomerShares
from simulators.fleet_reporting import LAST_GASP_US, Notice, NoticeKind, Report, Reporting, ReportingPlan
from simulators.meter_fleet import FeederShare, Fleet, make_fleet

SECOND = 1_000_000
PERIOD = 60 * SECOND
WINDOW = 36 * SECOND
START = 1_772_000_025 * SECOND  # 45 s into a period
FIRST_END = START // PERIOD * PERIOD
HOMES = CustomerShares(residential=1.0)
FLEET = make_fleet(
    (FeederShare("TN01/471", "PN01", 5.0, HOMES), FeederShare("TN21/473", "PN09", 5.0, HOMES)), meters=2_000
)
PLAN = ReportingPlan(PERIOD, WINDOW, 60 * SECOND)


def reporting(fleet: Fleet = FLEET, *, plan: ReportingPlan = PLAN, links: int = 1, start: int = START) -> Reporting:
    return Reporting(fleet, plan, links=links, start=start)


def run(
    field: Reporting, begin: int, seconds: int, *, link: int = 0, acknowledge: bool = True
) -> list[tuple[int, Report]]:
    """Serve one link once a second as the shell does; what was sent, with its time."""
    sent = []
    for now in range(begin, begin + seconds * SECOND, SECOND):
        field.pass_time(now)
        for report in field.due(link, now, 100_000):
            sent.append((now, report))
            if acknowledge:
                field.acknowledged(report)
    return sent


def test_every_meter_is_heard_within_the_first_period_and_not_all_at_once() -> None:
    field = reporting()
    sent = run(field, START, 60)
    first = [(now, report) for now, report in sent if report.first_end == FIRST_END]
    assert sorted(report.sender for _, report in first) == list(range(field.senders))
    assert field.meters_reported == 2_000
    busiest = np.bincount([(now - START) // SECOND for now, _ in first]).max()
    assert busiest < 3 * field.senders / 36


def test_each_interval_is_reported_once_in_order_inside_the_window() -> None:
    field = reporting()
    run(field, START, 15)  # until the next period begins
    sent = run(field, FIRST_END + PERIOD, 300)
    by_sender: dict[int, list[int]] = {}
    for now, report in sent:
        assert report.first_end == report.last_end
        assert now >= report.first_end
        if report.first_end > FIRST_END:
            assert now - report.first_end <= WINDOW + SECOND
            assert not report.historical
        by_sender.setdefault(report.sender, []).append(report.first_end)
    for ends in by_sender.values():
        assert ends == sorted(set(ends))
        assert set(range(FIRST_END + PERIOD, FIRST_END + 6 * PERIOD, PERIOD)) <= set(ends)
    assert field.readings_resent == 0


def test_a_sender_keeps_its_place_in_the_window() -> None:
    sent = run(reporting(), FIRST_END, 300)
    places: dict[int, set[int]] = {}
    for now, report in sent:
        if report.first_end > FIRST_END:
            places.setdefault(report.sender, set()).add(now - report.first_end)
    assert {len(each) for each in places.values()} == {1}


def test_the_room_of_a_link_bounds_what_is_taken_longest_overdue_first() -> None:
    field = reporting()
    now = START + WINDOW
    first = field.due(0, now, 5)
    assert len(first) == 5
    assert field.due(0, now, 0) == []
    everything = [*first, *field.due(0, now, 1_000)]
    assert {report.sender for report in everything} == set(range(field.senders))
    order = run(reporting(), START, 37)
    assert {report.sender for report in first} <= {report.sender for _, report in order[:20]}


def test_links_share_the_senders_and_none_is_on_two() -> None:
    field = reporting(links=3)
    taken = [field.due(link, START + WINDOW, 1_000) for link in range(3)]
    assert [{report.sender % 3 for report in each} for each in taken] == [{0}, {1}, {2}]
    assert sum(len(each) for each in taken) == field.senders
    assert {field.link_of(report.sender) for report in taken[1]} == {1}


def test_a_lost_link_repeats_what_was_said_in_the_last_minute_and_no_more_than_a_fifth_above() -> None:
    field = reporting()
    run(field, START, 600)
    said = field.readings_offered
    field.link_lost(0)
    again = run(field, START + 600 * SECOND, 1)
    lost = [report for _, report in again]
    assert all(report.historical for report in lost)
    assert {report.sender for report in lost} == set(range(field.senders))
    oldest = min(report.first_end for report in lost)
    assert START + 600 * SECOND - oldest <= 72 * SECOND + WINDOW + 2 * PERIOD
    for end in range(oldest, START + 540 * SECOND - WINDOW, PERIOD):
        assert any(report.first_end <= end <= report.last_end for report in lost)
    assert field.readings_offered - said <= 2_000, "a repetition is not counted as offered"
    assert field.readings_resent >= 2_000


def test_the_other_links_repeat_nothing() -> None:
    field = reporting(links=2)
    for link in (0, 1):
        run(field, START, 60, link=link)
    field.link_lost(0)
    assert field.due(1, START + 60 * SECOND - 1, 1_000) == []


def test_unacknowledged_reports_come_again_however_long_ago() -> None:
    field = reporting()
    run(field, START, 300, acknowledge=False)
    field.link_lost(0)
    again = {report.sender: report for report in field.due(0, START + 301 * SECOND, 1_000)}
    assert {report.first_end for report in again.values()} == {FIRST_END}
    assert field.readings_acknowledged == 0


def test_a_refused_report_is_due_again_and_is_still_live() -> None:
    field = reporting()
    report = field.due(0, START + WINDOW, 1)[0]
    field.refused(report)
    again = [each for each in field.due(0, START + WINDOW, 1_000) if each.sender == report.sender]
    assert again == [Report(report.sender, FIRST_END, FIRST_END, historical=True)], "a newer interval is complete"
    early = reporting()
    report = early.due(0, START + 10 * SECOND, 1)[0]
    early.refused(report)
    again = [each for each in early.due(0, START + 10 * SECOND, 1_000) if each.sender == report.sender]
    assert again == [Report(report.sender, FIRST_END, FIRST_END, historical=False)]


def test_a_concentrator_behind_sends_ten_intervals_in_a_batch_and_the_newest_alone() -> None:
    field = reporting()
    now = FIRST_END + 13 * PERIOD + 59 * SECOND
    passes = [field.due(0, now, 1_000) for _ in range(3)]
    assert [report for taken in passes for report in taken if report.sender == 0] == [
        Report(0, FIRST_END, FIRST_END + 9 * PERIOD, historical=True),
        Report(0, FIRST_END + 10 * PERIOD, FIRST_END + 12 * PERIOD, historical=True),
        Report(0, FIRST_END + 13 * PERIOD, FIRST_END + 13 * PERIOD, historical=False),
    ]


def test_a_meter_with_its_own_modem_sends_one_interval_a_message() -> None:
    field = reporting()
    taken = field.due(0, FIRST_END + 5 * PERIOD, 100_000)
    assert {report.last_end - report.first_end for report in taken if report.sender >= field.concentrators} == {0}


def test_what_is_older_than_the_memory_is_gone_and_counted() -> None:
    plan = ReportingPlan(PERIOD, WINDOW, 60 * SECOND, memory_us=10 * PERIOD)
    field = reporting(plan=plan)
    now = FIRST_END + 20 * PERIOD + 40 * SECOND
    taken = field.due(0, now, 100_000)
    assert {report.first_end for report in taken} == {FIRST_END + 11 * PERIOD}
    assert field.readings_forgotten == 11 * 2_000
    for report in taken:
        field.acknowledged(report)
    assert field.readings_acknowledged == sum(
        (report.last_end - report.first_end + PERIOD) // PERIOD * len(field.rows_of(report.sender)) for report in taken
    )


def test_a_dying_feeder_gasps_for_every_meter_and_falls_silent() -> None:
    field = reporting()
    while field.next_notice(0, START) is not None:
        pass
    now = START + 5 * SECOND
    assert field.feeder_state(1, now, energised=False) == now
    notices = []
    while (notice := field.next_notice(0, now)) is not None:
        notices.append(notice)
    rows = FLEET.rows_of_feeder(1).tolist()
    gasps = [notice for notice in notices if notice.kind is NoticeKind.EVENT]
    assert sorted(notice.index for notice in gasps) == rows
    assert {(notice.time, notice.code) for notice in gasps} == {(now, EventCode.LAST_GASP)}
    offline = [notice.index for notice in notices if notice.kind is NoticeKind.OFFLINE]
    assert offline == np.flatnonzero(FLEET.concentrator_feeder == 1).tolist()
    reported = {row for _, report in run(field, now, 120) for row in field.rows_of(report.sender).tolist()}
    assert reported == set(FLEET.rows_of_feeder(0).tolist())
    assert field.meters_dead == len(rows)
    assert field.overdue_us(now + 120 * SECOND) == 0, "the dead are not late"


def test_a_returning_feeder_tells_its_outage_as_historical() -> None:
    field = reporting()
    run(field, START, 15)
    field.feeder_state(1, START + 15 * SECOND, energised=False)
    run(field, START + 15 * SECOND, 300)
    field.feeder_state(1, START + 315 * SECOND, energised=True)
    sent = [report for _, report in run(field, START + 315 * SECOND, 60)]
    behind = set(FLEET.rows_of_feeder(1).tolist())
    told: dict[int, list[Report]] = {}
    for report in sent:
        if field.rows_of(report.sender)[0] in behind:
            told.setdefault(report.sender, []).append(report)
    newest = (START + 315 * SECOND) // PERIOD * PERIOD
    for reports in told.values():
        ends = [end for report in reports for end in range(report.first_end, report.last_end + 1, PERIOD)]
        assert ends == list(range(ends[0], ends[-1] + 1, PERIOD)), "no interval of the outage is left out"
        assert all(report.historical for report in reports if report.last_end < newest)
    assert field.meters_dead == 0


def test_a_last_gasp_nobody_takes_within_a_minute_is_lost_and_counted() -> None:
    field = reporting()
    field.feeder_state(0, START, energised=False)
    kept = []
    while (notice := field.next_notice(0, START + LAST_GASP_US + 1)) is not None:
        kept.append(notice)
    assert {notice.kind for notice in kept} == {NoticeKind.ONLINE, NoticeKind.OFFLINE}
    assert field.last_gasps_lost == len(FLEET.rows_of_feeder(0))


def test_an_outage_never_begins_before_what_has_been_reported() -> None:
    """Values already sent must not change: a state told late takes effect after the last interval offered."""
    field = reporting()
    run(field, START, 60)
    end = int(field.last_ends()[0].max())
    assert field.feeder_state(0, end - 30 * SECOND, energised=False) == end + 1


def test_a_return_told_with_an_older_time_than_the_outage_ends_it_at_once() -> None:
    field = reporting()
    down = field.feeder_state(0, START + 10 * SECOND, energised=False)
    assert field.feeder_state(0, START, energised=True) == down
    assert field.feeder_state(0, START + 20 * SECOND, energised=False) == START + 20 * SECOND


def test_the_start_announces_every_concentrator() -> None:
    field = reporting(links=2)
    announced = [field.next_notice(n % 2, START) for n in range(field.concentrators)]
    assert announced == [Notice(NoticeKind.ONLINE, n, START) for n in range(field.concentrators)]


def test_closing_offers_nothing_new_but_repeats_what_is_owed() -> None:
    field = reporting()
    run(field, START, 120)
    offered = field.readings_offered
    field.close()
    owed_before = field.owed
    assert run(field, START + 120 * SECOND, 5) == []
    field.link_lost(0)
    owed_after_a_loss = field.owed
    assert run(field, START + 125 * SECOND, 5) != []
    assert (owed_before, owed_after_a_loss, field.owed) == (False, True, False)
    assert field.readings_offered == field.readings_acknowledged == offered


def test_figures_add_up_meter_by_meter() -> None:
    field = reporting()
    run(field, START, 200)
    offered, acknowledged = field.last_ends()
    assert offered.shape == acknowledged.shape == (2_000,)
    assert int(((acknowledged - FIRST_END) // PERIOD + 1).sum()) == field.readings_acknowledged


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"capture_period_us": 0}, "capture period"),
        ({"capture_period_us": 1_500_000}, "capture period"),
        ({"window_us": PERIOD}, "reporting window"),
        ({"resend_us": 0}, "resend"),
        ({"memory_us": 1}, "memory"),
        ({"backlog_intervals": 0}, "backlog"),
    ],
)
def test_an_impossible_plan_is_refused(changes: dict[str, int], message: str) -> None:
    settings = {"capture_period_us": PERIOD, "window_us": WINDOW, "resend_us": PERIOD} | changes
    with pytest.raises(ValueError, match=message):
        ReportingPlan(**settings)
