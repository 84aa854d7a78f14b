"""µs since 1970 UTC, as time is inside, and aware datetimes, as the database driver speaks; exact both ways."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def instant(time: int) -> datetime:
    """µs → datetime. Raises OverflowError outside the years 1 to 9999."""
    return _EPOCH + timedelta(microseconds=time)


def microseconds(moment: datetime) -> int:
    """Datetime → µs."""
    return (moment - _EPOCH) // timedelta(microseconds=1)
