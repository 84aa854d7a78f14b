"""What was received and is not yet written: handed from the thread of the wire to the threads of the stores.

Knows how many readings a message roughly holds, when a batch is worth writing, and what is in hand: waiting, or taken
and not yet settled. Tells when that is enough; whoever reads the wire then stops, and the broker keeps the rest.
"""

import threading
from collections import deque
from collections.abc import Sequence
from time import monotonic

from meters.message import Message
from meters.packed import HEADER, RECORD

IDLE_S = 1.0
"""How long a writer waits for the first message before it looks at other things."""


class Inbox:
    """A queue of messages with the age and weight of what waits in it. Any thread may call any method.

    ``len()`` is the number of messages in hand, ``size`` the bytes of their payloads.
    """

    def __init__(self, batch_rows: int, batch_age_s: float) -> None:
        self._batch_rows = batch_rows
        self._batch_age_s = batch_age_s
        self._waiting: deque[Message] = deque()
        self._taken: list[Message] = []
        self._rows = 0
        self._since = 0.0
        self.size = 0
        self._changed = threading.Condition()

    def put(self, messages: Sequence[Message]) -> None:
        """Add messages behind what waits."""
        if not messages:
            return
        with self._changed:
            if not self._waiting:
                self._since = monotonic()
            self._waiting.extend(messages)
            self._rows += sum(map(row_estimate, messages))
            self.size += sum(map(_payload_size, messages))
            self._changed.notify()

    def take(self, stop: threading.Event) -> list[Message]:
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
            self.size -= sum(map(_payload_size, self._taken))
            self._taken = []

    @property
    def oldest_received_at(self) -> int | None:
        """When the oldest message in hand was received, µs since 1970 UTC; None when there is none."""
        with self._changed:
            oldest = self._taken[0] if self._taken else self._waiting[0] if self._waiting else None
        return None if oldest is None else oldest.received_at

    def __len__(self) -> int:
        with self._changed:
            return len(self._taken) + len(self._waiting)

    def _pop_batch(self) -> list[Message]:
        batch: list[Message] = []
        rows = 0
        while self._waiting and rows < self._batch_rows:
            batch.append(self._waiting.popleft())
            rows += row_estimate(batch[-1])
        self._rows -= rows
        self._since = monotonic()
        self._taken = batch
        return batch


class Lanes:
    """An inbox for each of several writers; all messages of one topic go the same way.

    That is the order MQTT keeps (5.0, 4.6): of one topic, and of no two. So a revision never overtakes the value it
    revises, and no two writers have the same reading in hand unless it came under two topics. ``limit`` in bytes.
    """

    def __init__(self, inboxes: Sequence[Inbox], limit: int) -> None:
        self._inboxes = tuple(inboxes)
        self._limit = limit

    def put(self, messages: Sequence[Message]) -> None:
        """Hand each message to its lane."""
        if len(self._inboxes) == 1:
            self._inboxes[0].put(messages)
            return
        lanes: list[list[Message]] = [[] for _ in self._inboxes]
        for message in messages:
            lanes[hash(message.topic) % len(lanes)].append(message)
        for inbox, lane in zip(self._inboxes, lanes, strict=True):
            inbox.put(lane)

    def have_room(self) -> bool:
        """False while the messages in hand are larger than the limit."""
        return sum(inbox.size for inbox in self._inboxes) < self._limit

    def wake(self) -> None:
        """Make every waiting ``take`` look at its ``stop``."""
        for inbox in self._inboxes:
            inbox.wake()

    @property
    def oldest_received_at(self) -> int | None:
        """When the oldest message in hand was received, µs since 1970 UTC; None when there is none."""
        return min((at for inbox in self._inboxes if (at := inbox.oldest_received_at) is not None), default=None)

    def __len__(self) -> int:
        return sum(map(len, self._inboxes))


def row_estimate(message: Message) -> int:
    """Readings in a message, judged by its length alone: exact for well-formed batches, 1 for the rest."""
    if not message.topic.endswith("/batch/profile"):
        return 1
    return max(1, (len(message.payload) - HEADER.size) // RECORD.itemsize)


def _payload_size(message: Message) -> int:
    return len(message.payload)
