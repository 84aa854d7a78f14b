"""Moments as people write and read them: local days and times, in the zone of the configuration."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import typer

from scada.commands.duration import NotASpan

DAY_US = 86_400_000_000
TO_THE_SECOND, TO_THE_MINUTE, IN_THIS_YEAR = "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d.%m. %H:%M:%S"


def shown(time: int, zone: ZoneInfo, form: str = TO_THE_SECOND) -> str:
    """A moment, µs UTC, for a person."""
    return datetime.fromtimestamp(time / 1e6, UTC).astimezone(zone).strftime(form)


def midnight_of(day: str, zone: ZoneInfo) -> int:
    """µs UTC of the local midnight that begins a day. Raises typer.BadParameter."""
    try:
        midnight = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=zone)
    except ValueError:
        raise typer.BadParameter(f"{day!r} is no day like 2026-11-01") from None
    return round(midnight.timestamp()) * 1_000_000


def instant_of(text: str, zone: ZoneInfo) -> int:
    """µs UTC of an ISO time, local unless it says otherwise. Raises NotASpan."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise NotASpan(f"{text!r} is no time; write 2026-11-22T10:30 or 2026-11-22T10:30:00.5+07:00") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return round(moment.timestamp() * 1e6)
