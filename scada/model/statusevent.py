"""A change of a status point as a row of an array: what the sequence of events is made of.

Knows the row. Does not know what makes a change an event (``scada.image``) or where events are kept.
"""

import numpy as np
from numpy.typing import NDArray

from scada.model.sample import SAMPLE, SampleArray

STATUS_EVENT = np.dtype([*SAMPLE.descr, ("received_at", "<i8")])
"""A SAMPLE whose ``time`` is the source's, and ``received_at``, µs since 1970 UTC, when it reached the control centre.
The two differ by the scan, by a buffer in the device, or by a clock that is wrong."""

StatusEventArray = NDArray[np.void]


def status_events(changes: SampleArray, received_at: int) -> StatusEventArray:
    """SAMPLE rows that are events, as STATUS_EVENT rows received at one moment; shape (n,), in the same order."""
    events = np.empty(len(changes), dtype=STATUS_EVENT)
    for name in SAMPLE.names or ():
        events[name] = changes[name]
    events["received_at"] = received_at
    return events
