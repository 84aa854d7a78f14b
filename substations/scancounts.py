"""What is counted of the scan of one station, and told as points of the link itself.

Knows figures and when they are worth telling. Does not know how they come about; clocks are arguments.
"""

from collections.abc import Callable
from dataclasses import astuple, dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from scada.model.cause import Cause
from scada.model.quality import Quality
from scada.model.sample import SampleArray, samples
from scada.model.supervision import LinkFigures, link_points
from substations.link import LinkCounts

_RATE_WINDOW_S: Final = 5.0
_TELL_S: Final = 60.0


class LinkState(StrEnum):
    """State of the link to one station."""

    CONNECTING = "connecting"
    UP = "up"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class StationStatistics:
    """How the scan of one station goes. Times are µs UTC, 0 = never.

    ``overruns``: scans left out because an earlier one was late; ``silent``: scans without any answer;
    ``failed_points``: points that the last scans could not get although the station answers; ``points_per_s``: samples
    received, over the last five seconds or more.
    """

    station: str
    points: int
    state: LinkState
    since: int
    scans: int
    silent: int
    overruns: int
    samples: int
    failed_points: int
    points_per_s: float
    last_scan_s: float
    last_answer: int
    last_error: str
    restarts: int
    link: LinkCounts
    chattering: int
    """Contacts blocked because they flap."""
    chatter_suppressed: int
    """Samples of such contacts held back: samples received = passed on + suppressed."""


@dataclass(slots=True)
class ScanCounts:
    """The running figures; the rate of samples is that of the window before, which began at ``window_from``."""

    window_from: float
    scans: int = 0
    silent: int = 0
    overruns: int = 0
    samples: int = 0
    points_per_s: float = 0.0
    last_scan_s: float = 0.0
    last_answer: int = 0
    last_error: str = ""
    restarts: int = 0
    window_samples: int = 0

    def count_samples(self, number: int, now: float) -> None:
        """So many samples came; ``now`` is monotonic seconds."""
        self.samples += number
        self.window_samples += number
        elapsed = now - self.window_from
        if elapsed >= _RATE_WINDOW_S:
            self.points_per_s = self.window_samples / elapsed
            self.window_from = now
            self.window_samples = 0

    def note_silence(self, reason: str) -> None:
        """A scan brought no answer."""
        self.silent += 1
        self.last_error = reason
        self.points_per_s = 0.0


class LinkTelling:
    """The state of the link as points of the station: told at once when it turns, else every minute."""

    def __init__(self, station: str, common_address: int, tell: Callable[[SampleArray], None]) -> None:
        self._ids = np.array([point.id for point in link_points(station, common_address)], dtype=np.int32)
        self._tell = tell
        self._told: LinkFigures | None = None
        self._due = 0.0

    def tell(self, statistics: StationStatistics, monotonic: float, now: int) -> None:
        """Tell the figures if they are due; ``now`` dates them."""
        figures = _figures(statistics)
        told = self._told
        turned = told is None or (figures.up, figures.event_overflow) != (told.up, told.event_overflow)
        if not turned and monotonic < self._due:
            return
        self._told, self._due = figures, monotonic + _TELL_S
        values = np.array([float(each) for each in astuple(figures)])
        self._tell(samples(self._ids, now, values, Quality.GOOD, Cause.SPONTANEOUS))


def _figures(statistics: StationStatistics) -> LinkFigures:
    link = statistics.link
    return LinkFigures(
        up=statistics.state is LinkState.UP,
        event_overflow=link.event_overflow,
        round_trips=link.round_trips,
        errors=link.errors,
        silent_scans=statistics.silent,
        overruns=statistics.overruns,
        scan_s=statistics.last_scan_s,
        failed_points=statistics.failed_points,
        events=link.events,
        events_lost=link.events_lost,
        wrong_times=link.wrong_times,
        chattering=statistics.chattering,
        chatter_suppressed=statistics.chatter_suppressed,
    )
