"""When something that failed is to be tried again. Knows times and the last error; no clock, and not what failed."""


class Outage:
    """The state of one thing that can be away. All times in µs; the pauses double from ``first_us`` to ``last_us``."""

    def __init__(self, first_us: int, last_us: int) -> None:
        self._first_us = first_us
        self._last_us = last_us
        self._pause_us = first_us
        self.since: int | None = None
        """When it was lost; None while it serves."""
        self.retry_at = 0
        """Before this no attempt is worth it; 0 while it serves."""
        self.error = ""
        """Why it was lost, as of the last attempt."""

    def may_try(self, now: int) -> bool:
        """Whether it serves, or a pause is over."""
        return now >= self.retry_at

    def lost(self, now: int, error: str) -> bool:
        """An attempt failed. True when that is news."""
        news = self.since is None
        if news:
            self.since = now
            self._pause_us = self._first_us
        self.error = error
        self.retry_at = now + self._pause_us
        self._pause_us = min(2 * self._pause_us, self._last_us)
        return news

    def restored(self, now: int) -> float | None:
        """An attempt succeeded. Seconds it was away when that is news, else None."""
        if self.since is None:
            return None
        away_s = (now - self.since) / 1e6
        self.since = None
        self.retry_at = 0
        self.error = ""
        return away_s
