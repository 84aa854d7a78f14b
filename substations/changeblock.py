"""Changes of nodes as columns: what a notification says, in the wire's own values.

Knows columns. Does not know the wire, points or units.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ChangeBlock:
    """Changes in the order of arrival; every column of shape (n,).

    ``rows``: which node, as the client handle of the monitored item says. ``values``: the node's own value, NaN where
    it holds no number. ``statuses``: 32-bit status codes. ``times``: source time, else server time, µs since 1970 UTC;
    0 or less is none.
    """

    rows: NDArray[np.intp]
    values: NDArray[np.float64]
    statuses: NDArray[np.uint32]
    times: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def only(self, wanted: NDArray[np.bool_]) -> "ChangeBlock":
        """The changes for which ``wanted``, shape (n,), is true."""
        return ChangeBlock(self.rows[wanted], self.values[wanted], self.statuses[wanted], self.times[wanted])


def block(rows: Sequence[int], values: Sequence[float], statuses: Sequence[int], times: Sequence[int]) -> ChangeBlock:
    """A block of these columns."""
    return ChangeBlock(
        np.array(rows, dtype=np.intp),
        np.array(values, dtype=np.float64),
        np.array(statuses, dtype=np.uint32),
        np.array(times, dtype=np.int64),
    )


def joined(blocks: Sequence[ChangeBlock]) -> ChangeBlock:
    """Several blocks as one, in their order."""
    if not blocks:
        return block((), (), (), ())
    if len(blocks) == 1:
        return blocks[0]
    return ChangeBlock(
        np.concatenate([each.rows for each in blocks]),
        np.concatenate([each.values for each in blocks]),
        np.concatenate([each.statuses for each in blocks]),
        np.concatenate([each.times for each in blocks]),
    )
