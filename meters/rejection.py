"""Why the head-end does not accept something: each reason with its sentence, and the value that carries one.

Knows words only. Which rule gives which reason is the business of ``meters.payload`` and ``meters.validate``.
"""

from dataclasses import dataclass
from enum import Enum


class Reason(Enum):
    """Reasons for rejecting a message or one reading of it. ``code`` is 0 for no reason and never re-used."""

    NOT_JSON = (1, "not_json", "the payload is not JSON")
    UNKNOWN_VERSION = (2, "unknown_version", "the schema version is not one this head-end knows")
    WRONG_TYPE = (3, "wrong_type", "a field is of the wrong type or form")
    MISSING_FIELD = (4, "missing_field", "a required field is missing")
    NO_ZONE = (5, "no_zone", "the time has no zone")
    IN_FUTURE = (6, "in_future", "the time is in the future")
    TOO_OLD = (7, "too_old", "the time lies before anything the meter can remember")
    UNKNOWN_METER = (8, "unknown_meter", "the serial number is not registered")
    WRONG_METERING_POINT = (9, "wrong_metering_point", "the meter is installed at another metering point")
    NEGATIVE = (10, "negative", "a quantity that cannot be negative is")
    NOT_A_NUMBER = (11, "not_a_number", "a value is not a number")
    OUT_OF_RANGE = (12, "out_of_range", "a value lies outside what can be stored or physically be")
    OVERSIZE = (13, "oversize", "the message is longer than it says or than allowed")
    TRUNCATED = (14, "truncated", "the message is shorter than it says")
    BAD_CHECKSUM = (15, "bad_checksum", "the checksum does not fit the bytes")
    TOPIC_MISMATCH = (16, "topic_mismatch", "the payload names another meter than the topic")
    UNKNOWN_TOPIC = (17, "unknown_topic", "the topic is not one this head-end reads")
    NOT_A_BATCH = (18, "not_a_batch", "the bytes do not begin like a packed batch")
    NOT_INSTALLED = (20, "not_installed", "the meter was not installed at that time")
    UNKNOWN_REGISTER = (21, "unknown_register", "the OBIS code is no register this head-end keeps")
    STORE_REFUSED = (19, "store_refused", "the historian refused the row")

    def __init__(self, code: int, word: str, sentence: str) -> None:
        self.code = code
        self.word = word
        self.sentence = sentence

    @property
    def label(self) -> str:
        """The word with spaces, for a log line: ``no zone``."""
        return self.word.replace("_", " ")


BY_REASON_CODE = {reason.code: reason for reason in Reason}


@dataclass(frozen=True, slots=True)
class Rejected:
    """A message that could not be accepted: why, and what exactly was wrong with it."""

    reason: Reason
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.reason.sentence}: {self.detail}" if self.detail else self.reason.sentence
