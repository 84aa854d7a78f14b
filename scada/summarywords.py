"""The summary of a demo as sentences for a person. Knows words; whether the sums hold was judged before."""

from scada.hmi.language import say
from scada.summary import Summary


def summary_words(summary: Summary, language: str) -> list[str]:
    """What ran, what was stored, and everything that does not add up."""
    return [
        _telemetry(summary, language),
        _readings(summary, language),
        *_troubles(summary, language),
        *(
            [say("DOES NOT ADD UP: {}.", language, fault) for fault in summary.faults]
            or [say("Everything adds up; nothing was lost.", language)]
        ),
    ]


def _telemetry(summary: Summary, language: str) -> str:
    counts = (
        summary.stations_up,
        summary.stations,
        summary.points,
        summary.samples_stored,
        summary.samples_in_database,
    )
    return say(
        "{} of {} stations up, {} points: {} samples stored, {} more in the database.", language, *_numbers(*counts)
    )


def _readings(summary: Summary, language: str) -> str:
    counts = (
        summary.meters_heard,
        summary.meters,
        summary.readings_received,
        summary.readings_stored,
        summary.readings_duplicate,
        summary.readings_rejected,
    )
    revised = ""
    if summary.readings_revised:
        revised = say(", {} of the stored as revisions", language, *_numbers(summary.readings_revised))
    return say(
        "{} of {} meters heard: {} readings received = {} stored + {} duplicate + {} rejected{}; "
        "{} more in the database, longest lag {} s.",
        language,
        *_numbers(*counts),
        revised,
        *_numbers(summary.readings_in_database),
        f"{summary.max_lag_s:.1f}",
    )


def _troubles(summary: Summary, language: str) -> list[str]:
    told = []
    restarted = [say("{} {} times", language, name, count) for name, count in summary.restarts.items() if count]
    if restarted:
        told.append(say("Started again after a crash: {}.", language, ", ".join(restarted)))
    if not summary.complete:
        told.append(say("Ended before every station was up and every meter heard.", language))
    return told


def _numbers(*counts: int) -> list[str]:
    return [f"{count:,}" for count in counts]
