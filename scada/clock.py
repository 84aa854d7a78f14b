"""The wall clock, in the unit everything inside uses. Only shells and the roof read it; cores take ``now``."""

import time
from datetime import UTC, datetime
from zoneinfo import ZoneInfo


def now_us() -> int:
    """µs since 1970 UTC."""
    return time.time_ns() // 1000


def local(time_us: int, zone: str) -> datetime:
    """Aware local time of ``time_us`` (µs since 1970 UTC)."""
    return datetime.fromtimestamp(time_us / 1e6, UTC).astimezone(ZoneInfo(zone))
