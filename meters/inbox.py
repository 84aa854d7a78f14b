"""What was received and is not yet being written: handed from the thread of the wire to the thread of the store.

Knows how many readings a message roughly holds, when a batch is worth writing, and what is in hand: waiting, or taken
and not yet settled. Holds no more than the broker's receive maximum lets through, so it needs no bound of its own.
"""

import threading
from collections import deque
from collections.abc import Sequence
from time import monotonic

from meters.connection import Delivery
from meters.packed import HEADER, RECORD

IDLE_S = 1.0
"""How long a writer waits for the first message before it looks at other things."""


class Inbox:
    """A queue of deliveries with the age and weight of what waits in it. Any thread may call any method.

    ``len()`` is the number of messages in hand.
    """

    def __init__(self, batch_rows: int, batch_age_s: float) -> None:
        self._batch_rows = batch_rows
        self._batch_age_s = batch_age_s
        self._waiting: deque[Delivery] = deque()
        self._taken: list[Delivery] = []
        self._rows = 0
        self._since = 0.0
        self._changed = threading.Condition()

    def put(self, deliveries: Sequence[Delivery]) -> None:
        """Add deliveries behind what waits."""
        with self._changed:
            if not self._waiting:
                self._since = monotonic()
            self._waiting.extend(deliveries)
            self._rows += sum(map(row_estimate, deliveries))
            self._changed.notify()

    def take(self, stop: threading.Event) -> list[Delivery]:
        """Wait for a batch: enough rows, or any that has waited long enough.

        Empty after IDLE_S without a message, and when ``stop`` is set (and ``wake`` called).
        """
        with self._changed:
            if not self._waiting and not stop.is_set():
                self._changed.wait(IDLE_S)
            while self._waiting and not stop.is_set():
                age = monotonic() - self._since
                if self._rows >= self._batch_rows or age >= self._batch_age_s:
                    return self._pop_batch()
                self._changed.wait(self._batch_age_s - age)
            return []

    def wake(self) -> None:
        """Make a waiting ``take`` look at its ``stop``."""
        with self._changed:
            self._changed.notify_all()

    def settle(self) -> None:
        """What was taken last is out of hand."""
        with self._changed:
            self._taken = []

    @property
    def oldest_received_at(self) -> int | None:
        """When the oldest message in hand was received, µs since 1970 UTC; None when there is none."""
        with self._changed:
            oldest = self._taken[0] if self._taken else self._waiting[0] if self._waiting else None
        return None if oldest is None else oldest.message.received_at

    def __len__(self) -> int:
        with self._changed:
            return len(self._taken) + len(self._waiting)

    def _pop_batch(self) -> list[Delivery]:
        batch: list[Delivery] = []
        rows = 0
        while self._waiting and rows < self._batch_rows:
            batch.append(self._waiting.popleft())
            rows += row_estimate(batch[-1])
        self._rows -= rows
        self._since = monotonic()
        self._taken = batch
        return batch


def row_estimate(delivery: Delivery) -> int:
    """Readings in a message, judged by its length alone: exact for well-formed batches, 1 for the rest."""
    return max(1, (len(delivery.message.payload) - HEADER.size) // RECORD.itemsize) if _is_batch(delivery) else 1


def _is_batch(delivery: Delivery) -> bool:
    return delivery.message.topic.endswith("/batch/profile")
