"""The account of what came in: received = stored + revised + duplicate + rejected, at every moment.

Knows numbers and how they add up. An account is changed in one step per committed batch, so the equation holds
whenever anyone looks; what is still in hand is not in it. A message that comes again because its acknowledgement was
lost counts again, as received and as duplicate. A message that cannot be opened counts as one reading, since how many
it held is not knowable.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from meters.rejection import Reason


@dataclass(frozen=True, slots=True)
class Account:
    """Counts of readings, or of events. ``late`` and ``doubtful`` are views of those accepted, not part of the sum.

    late: accepted rows older than the newest of their meter · doubtful: accepted rows by doubt
    (``misaligned``, ``not_for_billing``).
    """

    stored: int = 0
    revised: int = 0
    duplicate: int = 0
    rejected: Mapping[Reason, int] = field(default_factory=dict)
    late: int = 0
    doubtful: Mapping[str, int] = field(default_factory=dict)

    @property
    def received(self) -> int:
        """All that was received and settled."""
        return self.stored + self.revised + self.duplicate + sum(self.rejected.values())

    def __add__(self, other: "Account") -> "Account":
        return Account(
            self.stored + other.stored,
            self.revised + other.revised,
            self.duplicate + other.duplicate,
            Counter(self.rejected) + Counter(other.rejected),
            self.late + other.late,
            Counter(self.doubtful) + Counter(other.doubtful),
        )

    def since(self, earlier: "Account") -> "Account":
        """What was added after ``earlier``."""
        return Account(
            self.stored - earlier.stored,
            self.revised - earlier.revised,
            self.duplicate - earlier.duplicate,
            Counter(self.rejected) - Counter(earlier.rejected),
            self.late - earlier.late,
            Counter(self.doubtful) - Counter(earlier.doubtful),
        )

    def sentence(self, name: str) -> str:
        """``Readings: 199 812 stored, 171 late, 17 rejected: negative (12), no zone (5)``; zeros are left out."""
        parts = [f"{_spaced(self.stored)} stored"]
        for count, word in ((self.revised, "revised"), (self.late, "late"), (self.duplicate, "duplicate")):
            if count:
                parts.append(f"{_spaced(count)} {word}")
        doubts = [
            f"{_spaced(count)} {word.replace('_', ' ')}" for word, count in sorted(self.doubtful.items()) if count
        ]
        reasons = sorted(self.rejected.items(), key=lambda item: (-item[1], item[0].code))
        text = f"{name}: {', '.join(parts + doubts)}"
        if not reasons:
            return text
        why = ", ".join(f"{reason.label} ({_spaced(count)})" for reason, count in reasons)
        return f"{text}, {_spaced(sum(self.rejected.values()))} rejected: {why}"


def _spaced(number: int) -> str:
    return f"{number:,}".replace(",", " ")
