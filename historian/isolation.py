"""Finds the rows a database refuses inside a batch, so that the others are stored. Knows halving, no database."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scada.model.errors import StoreRejected

Rows = NDArray[np.void]


class BatchRefused(StoreRejected):
    """The database refused a batch for what is in it, and stored nothing of it.

    ``reason`` is short and free of values, fit for counting.
    """

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        super().__init__(f"{reason}: {detail}")


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """One row the database refused, and why. ``row`` has shape (1,)."""

    row: Rows
    reason: str


def store_all_but_refused(rows: Rows, store: Callable[[Rows], None]) -> list[RefusedRow]:
    """Store what the database takes and return what it refuses.

    ``store`` stores all rows it is given or none, then raising BatchRefused. One bad row among n costs about
    2 · log2(n) calls.
    """
    try:
        store(rows)
    except BatchRefused as refusal:
        if len(rows) == 1:
            return [RefusedRow(rows, refusal.reason)]
        half = len(rows) // 2
        return store_all_but_refused(rows[:half], store) + store_all_but_refused(rows[half:], store)
    return []
