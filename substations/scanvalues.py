"""What the reads of one period brought, decoded in one go: a handful of array operations for a whole station.

Knows the order of the reads and the plausible limits of their points. Does not know sockets, or why a read brought
nothing.
"""

from collections.abc import Sequence

import numpy as np

from scada.model.cause import Cause
from scada.model.sample import SampleArray, no_samples, samples
from substations.decode import Decoder
from substations.layout import AddressRange, RawArray, layout_of
from substations.polling import ReadBlock
from substations.quality import mark_implausible

Answer = tuple[RawArray, int]
"""The raw bytes of one read and the time they came, µs UTC."""


class ScanValues:
    """The points of ``reads``."""

    def __init__(self, reads: Sequence[ReadBlock]) -> None:
        ranges = [AddressRange(each.entries, each.start, each.count) for each in reads]
        self._nothing = [bytes(each.raw_size) for each in ranges]
        layout = layout_of(ranges)
        self._decoder = Decoder(layout)
        self._part = layout.part
        points = [each.point for each in layout.entries]
        self._low = np.array([-np.inf if each.low is None else each.low for each in points])
        self._high = np.array([np.inf if each.high is None else each.high for each in points])

    def samples(self, answers: Sequence[Answer | None], cause: Cause) -> SampleArray:
        """Samples of every read that brought something, each with its time; ``answers`` in the order of the reads."""
        came = [each is not None for each in answers]
        if not any(came):
            return no_samples()
        parts = [self._nothing[row] if each is None else each[0].data for row, each in enumerate(answers)]
        raw = np.frombuffer(b"".join(parts), dtype=np.uint8)
        times = np.array([0 if each is None else each[1] for each in answers])
        values, quality = self._decoder.decode(raw)
        mark_implausible(values, quality, self._low, self._high)
        found = samples(self._decoder.points, times.take(self._part), values, quality, cause)
        return found if all(came) else found.compress(np.array(came)[self._part])
