"""What was received and is not yet written: handed from the thread of the wire to the threads of the stores.

Knows how many readings a message roughly holds, when a batch is worth writing, and what is in hand: waiting, or taken
and not yet settled. Tells when that is enough; whoever reads the wire then stops, and the broker keeps the rest.

Several writers take batches in turn, but never a message whose topic another one has in hand. That is the order MQTT
keeps (5.0, 4.6): of one topic, and of no two. So a revision never overtakes the value it revises, and no two writers
have the same reading in hand unless it came under two topics.
"""

import threading
from collections import deque
from collections.abc import Sequence
from time import monotonic

from meters.message import Message
from meters.packed import HEADER, RECORD

IDLE_S = 1.0
"""How long a writer waits for the first message before it looks at other things."""

LOOK_AHEAD = 1000
"""Messages passed over because their topic is in other hands; behind these nothing is looked for."""

LARGE_BATCHES = 3
"""A batch is up to so many times its usual size while more waits; half of what waits is left to others. The more of an
interval is sorted together, the fewer pages of the index are touched twice and the fewer commits are waited for: 60,000
rows cost the database 3.5 µs each, 20,000 4.3. At 100,000 the head-end's columns no longer fit the cache."""

Batch = Sequence[Message]


class Inbox:
    """A queue of messages with the age and weight of what waits in it. Any thread may call any method.

    ``len()`` is the number of messages in hand; ``limit`` the bytes their payloads may have.
    """

    def __init__(self, batch_rows: int, batch_age_s: float, limit: int = 1 << 62) -> None:
        self._batch_rows = batch_rows
        self._batch_age_s = batch_age_s
        self._limit = limit
        self._waiting: deque[Message] = deque()
        self._taken: list[Batch] = []
        self._busy: set[str] = set()
        self._rows = 0
        self._size = 0
        self._since = 0.0
        self._changed = threading.Condition()

    def put(self, messages: Sequence[Message]) -> None:
        """Add messages behind what waits."""
        with self._changed:
            if not self._waiting:
                self._since = monotonic()
            self._waiting.extend(messages)
            self._rows += sum(map(row_estimate, messages))
            self._size += sum(map(_payload_size, messages))
            self._changed.notify()

    def take(self, stop: threading.Event) -> Batch:
        """Wait for a batch: enough rows, or any that has waited long enough. It has to be settled.

        Empty after IDLE_S without a message for this writer, and when ``stop`` is set (and ``wake`` called).
        """
        with self._changed:
            if not self._waiting and not stop.is_set():
                self._changed.wait(IDLE_S)
            while self._waiting and not stop.is_set():
                wait_s = self._since + self._batch_age_s - monotonic()
                if self._rows >= self._batch_rows or wait_s <= 0:
                    batch = self._pop_batch()
                    if batch:
                        return batch
                    wait_s = IDLE_S  # all that waits is of topics in other hands: until one of them is settled
                self._changed.wait(wait_s)
            return []

    def wake(self) -> None:
        """Make a waiting ``take`` look at its ``stop``."""
        with self._changed:
            self._changed.notify_all()

    def settle(self, batch: Batch) -> None:
        """What was taken is out of hand."""
        with self._changed:
            self._taken = [each for each in self._taken if each is not batch]
            self._busy.difference_update([message.topic for message in batch])
            self._size -= sum(map(_payload_size, batch))
            self._changed.notify_all()

    def has_room(self) -> bool:
        """False while the payloads in hand are larger than the limit."""
        return self._size < self._limit

    @property
    def oldest_received_at(self) -> int | None:
        """When the oldest message in hand was received, µs since 1970 UTC; None when there is none."""
        with self._changed:
            firsts = [batch[0].received_at for batch in self._taken]
            if self._waiting:
                firsts.append(self._waiting[0].received_at)
        return min(firsts, default=None)

    def __len__(self) -> int:
        with self._changed:
            return sum(map(len, self._taken)) + len(self._waiting)

    def _pop_batch(self) -> Batch:
        """The oldest messages whose topics nobody has in hand; those passed over keep their places."""
        batch: list[Message] = []
        passed: list[Message] = []
        rows = 0
        wanted = min(max(self._batch_rows, self._rows // 2), LARGE_BATCHES * self._batch_rows)
        while self._waiting and rows < wanted and len(passed) < LOOK_AHEAD:
            message = self._waiting.popleft()
            if message.topic in self._busy:
                passed.append(message)
            else:
                batch.append(message)
                rows += row_estimate(message)
        self._waiting.extendleft(reversed(passed))
        if batch:
            self._busy.update([message.topic for message in batch])
            self._rows -= rows
            self._since = monotonic()
            self._taken.append(batch)
        return batch


def row_estimate(message: Message) -> int:
    """Readings in a message, judged by its length alone: exact for well-formed batches, 1 for the rest."""
    if not message.topic.endswith("/batch/profile"):
        return 1
    return max(1, (len(message.payload) - HEADER.size) // RECORD.itemsize)


def _payload_size(message: Message) -> int:
    return len(message.payload)
