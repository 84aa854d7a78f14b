"""Names of the MQTT topics between meters, concentrators and head-end, and their reading.

``ami/v1/<unit>/<concentrator>/<meter>/{profile|register|event|state}``, and for packed batches
``ami/v1/<unit>/<concentrator>/batch/profile``. A meter with its own modem has the concentrator ``direct``; a
concentrator's own state has the meter ``-``. Downwards, ``…/<meter>/request`` is what the head-end itself asks (of a
concentrator for several of its meters: ``-``), ``…/response`` is where it wants the answer (MQTT 5, 4.10). It hears its
own words and passes over them. Knows names, not payloads.
"""

import re
from enum import StrEnum
from typing import NamedTuple

ROOT = "ami/v1"
DIRECT = "direct"
BATCH = "batch"
NO_METER = "-"


class Subject(StrEnum):
    """What a message is about: the last level of its topic."""

    PROFILE = "profile"
    REGISTER = "register"
    EVENT = "event"
    STATE = "state"
    REQUEST = "request"
    RESPONSE = "response"


class Topic(NamedTuple):
    """A topic taken apart. ``serial`` is None for batches and for a concentrator's own state."""

    unit: str
    concentrator: str
    serial: int | None
    is_batch: bool
    subject: Subject

    def __str__(self) -> str:
        meter = BATCH if self.is_batch else NO_METER if self.serial is None else str(self.serial)
        return f"{ROOT}/{self.unit}/{self.concentrator}/{meter}/{self.subject}"


def meter_topic(unit: str, concentrator: str, serial: int, subject: Subject) -> str:
    """Topic of one meter. Raises ValueError when a level has a forbidden form."""
    return str(_checked(Topic(unit, concentrator, serial, is_batch=False, subject=subject)))


def batch_topic(unit: str, concentrator: str) -> str:
    """Topic of a concentrator's packed load-profile batches. Raises ValueError when a level has a forbidden form."""
    return str(_checked(Topic(unit, concentrator, None, is_batch=True, subject=Subject.PROFILE)))


def state_topic(unit: str, concentrator: str) -> str:
    """Topic of a concentrator's own state, retained, also its last will. Raises ValueError as above."""
    return str(_checked(Topic(unit, concentrator, None, is_batch=False, subject=Subject.STATE)))


def talk_topic(unit: str, concentrator: str, serial: int | None, subject: Subject) -> str:
    """Topic of a request or response: of one meter, or of a concentrator (``serial`` None). Raises ValueError."""
    return str(_checked(Topic(unit, concentrator, serial, is_batch=False, subject=subject)))


def read_topic(text: str) -> Topic | None:
    """The topic taken apart, or None when it is none of ours."""
    match = _FORM.fullmatch(text)
    if match is None:
        return None
    unit, concentrator, meter, subject_name = match.groups()
    subject = _SUBJECTS[subject_name]
    if meter == BATCH:
        return Topic(unit, concentrator, None, is_batch=True, subject=subject) if subject is Subject.PROFILE else None
    if meter == NO_METER:
        return Topic(unit, concentrator, None, is_batch=False, subject=subject) if subject in _OF_CONCENTRATOR else None
    return Topic._make((unit, concentrator, int(meter), False, subject))  # names would take as long as the search


_OF_CONCENTRATOR = frozenset({Subject.STATE, Subject.REQUEST, Subject.RESPONSE})
_SUBJECTS = {subject.value: subject for subject in Subject}
_LEVEL = "([A-Za-z0-9_-]{1,32})"
_FORM = re.compile(f"{ROOT}/{_LEVEL}/{_LEVEL}/({BATCH}|{NO_METER}|[0-9]{{1,12}})/({'|'.join(_SUBJECTS)})", re.ASCII)


def _checked(topic: Topic) -> Topic:
    if read_topic(str(topic)) != topic:
        raise ValueError(f"{topic} is not a topic of {ROOT}")
    return topic
