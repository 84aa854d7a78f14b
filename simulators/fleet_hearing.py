"""Whether the fleet has its broker and somebody listens, said once when it changes.

Knows transitions and how long they lasted. Does not know why anything is sent.
"""

import logging

log = logging.getLogger(__name__)


class Hearing:
    """``where``: the broker, for people · ``resend_s``: what is said again after a lost connection."""

    def __init__(self, where: str, meters: int, connections: int, resend_s: float) -> None:
        self._where = where
        self._meters = meters
        self._connections = connections
        self._resend_s = resend_s
        self._down_since: int | None = None
        self._unheard_since: int | None = None
        self._ever_up = False

    def down(self, now: int, why: str) -> None:
        """A connection is lost or could not be made."""
        if self._down_since is None:
            self._down_since = now
            what = "lost the broker" if self._ever_up else "cannot reach the broker"
            log.warning("Fleet %s at %s: %s; meters keep their readings", what, self._where, why)

    def up(self, now: int) -> None:
        """All connections are there."""
        if self._down_since is not None and self._ever_up:
            seconds = (now - self._down_since) / 1e6
            log.info("Fleet has the broker back after %.0f s; the last %.0f s are sent again", seconds, self._resend_s)
        elif not self._ever_up:
            log.info("Fleet of %d meters connected, %d connections", self._meters, self._connections)
        self._down_since = None
        self._ever_up = True

    def unheard(self, now: int, why: str) -> None:
        """A message found nobody."""
        if self._unheard_since is None:
            self._unheard_since = now
            log.warning("Fleet is not heard: %s; meters keep their readings and try again", why)

    def heard(self, now: int) -> None:
        """A message found somebody."""
        if self._unheard_since is not None:
            log.info("Fleet is heard again after %.0f s", (now - self._unheard_since) / 1e6)
            self._unheard_since = None
