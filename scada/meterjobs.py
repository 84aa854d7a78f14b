"""What has to be done with meter data from time to time: outages grouped, registers kept at midnight.

Knows the order of the steps; the decisions are in ``meters.outagegroups``, the rows in ``historian``. Month ends and
the days on which prices change begin at a midnight too: every midnight is kept and no calendar of prices is needed.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from historian.figures import MeterFigures
from historian.gaps import GapStore
from historian.outages import OutageStore, StoredOutage
from meters.outagegroups import PowerEvent, ended_by_readings, group, interruptions
from scada.model.ports import Clock

OUTAGES_LOOKED_BACK = timedelta(days=30)
"""Events older than this have been grouped for good; a late event within it changes its outage."""

NEAREST_S = 2 * 3600
"""A register this far from midnight still stands for it, with its distance told (domain: exact, then nearest)."""

MIDNIGHTS_REVISITED = 7
"""Late and revised readings make a register another one; the last midnights are looked at again."""

RECOVERED_KEPT = timedelta(days=400)
"""Late data reaches back twelve months. 2 % lost of 200,000 meters are 192,000 entries a day."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def group_outages(dsn: str, now: Clock) -> str:
    """Compute the outages of the last month again from what meters said and reported."""
    since = now() - _us(OUTAGES_LOOKED_BACK)
    with OutageStore(dsn) as store:
        told = interruptions(PowerEvent(*event) for event in store.power_events(since))
        open_since = {each.meter: each.began for each in told if each.restored is None}
        ended = ended_by_readings(told, store.supplied_since(open_since))
        outages = group(ended, store.transformers())
        store.replace(
            since,
            [StoredOutage(o.feeder, o.transformer, o.began, o.restored, o.meters, o.still_out) for o in outages],
        )
    lasting = sum(each.restored is None for each in outages)
    return f"{len(outages)} outages in {OUTAGES_LOOKED_BACK.days} days, {lasting} of them not over"


def keep_snapshots(dsn: str, zone: ZoneInfo, now: Clock) -> str:
    """Keep the registers of the last midnights, and what has become of them since."""
    with MeterFigures(dsn) as figures:
        taken = [figures.take_snapshot(at, NEAREST_S) for at in midnights(now(), zone, MIDNIGHTS_REVISITED)]
    return f"{sum(new for new, _ in taken)} registers kept, {sum(revised for _, revised in taken)} revised"


def forget_gaps(dsn: str, period_s: int, now: Clock) -> str:
    """Let recovered gaps go that are older than any bill may reach back, and gaps of intervals that nobody has now."""
    with GapStore(dsn, period_s=period_s) as store:
        recovered = store.forget_recovered(now() - _us(RECOVERED_KEPT))
        other = store.forget_another_length(period_s)
    return f"{recovered} recovered gaps forgotten, {other} of intervals of another length"


def midnights(now: int, zone: ZoneInfo, count: int) -> tuple[int, ...]:
    """The last ``count`` local midnights not after ``now``, µs, oldest first."""
    today = datetime.fromtimestamp(now / 1e6, zone).date()
    days = (today - timedelta(days=back) for back in range(count))
    return tuple(sorted(_us(datetime(d.year, d.month, d.day, tzinfo=zone).astimezone(UTC) - _EPOCH) for d in days))


def _us(span: timedelta) -> int:
    return span // timedelta(microseconds=1)
