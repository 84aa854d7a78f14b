"""Billing registers as a table: what each counts, its value, since when it is known and whether it is in force.

Knows the form. Does not know where registers come from.
"""

from collections.abc import Sequence

from rich.table import Table

from historian.registers import KnownRegister
from meters.obis import BY_NUMBER
from meters.rates import register_title
from scada.clock import local
from scada.hmi.language import say
from scada.model.reading import ProfileStatus

HEADINGS = ("metering point", "meter", "boundary", "kind", "register", "value", "counted", "quality", "known since")
_FORM = "%d.%m.%Y %H:%M:%S"


def register_table(found: Sequence[KnownRegister], language: str, zone: str) -> Table:
    """A line for each value; what is no longer in force is dim, and a revision says where it came from."""
    table = Table(box=None, pad_edge=False)
    for heading in HEADINGS:
        table.add_column(say(heading, language), justify="right" if heading == "value" else "left")
    table.add_column("")
    for each in found:
        table.add_row(
            each.metering_point,
            str(each.serial),
            local(each.time, zone).strftime(_FORM),
            kind_words(each, language),
            f"{BY_NUMBER[each.obis].code} {register_title(each.obis, each.rates, language)}",
            value_words(each),
            _distance(each, language),
            quality_words(each, language),
            local(each.known_at, zone).strftime(_FORM),
            _standing(each, language),
            style="" if each.in_force else "dim",
        )
    return table


def kind_words(register: KnownRegister, language: str) -> str:
    """``month end``."""
    return say(register.kind.name.lower().replace("_", " "), language)


def value_words(register: KnownRegister) -> str:
    """``123,456 Wh``, and × 40 behind transformers: the register shows what is behind them."""
    ratio = "" if register.multiplier == 1 else f" × {register.multiplier}"
    return f"{register.value:,} {BY_NUMBER[register.obis].unit.value}{ratio}"


def quality_words(register: KnownRegister, language: str) -> str:
    """Flag and method (AEMO), and the bits of the status: ``A``, ``S62``, ``A recovered_value``."""
    method = str(register.method) if register.method else ""
    bits = [say(bit.name.lower(), language) for bit in ProfileStatus if register.status & bit and bit.name]
    return " ".join([f"{chr(register.flag)}{method}", *bits])


def _distance(register: KnownRegister, language: str) -> str:
    off_s = (register.taken_at - register.time) / 1e6
    return f"{off_s:+,.0f} s" if off_s else say("exact", language)


def _standing(register: KnownRegister, language: str) -> str:
    if not register.in_force:
        return say("replaced", language)
    return say("revision from {}", language, register.source) if register.source else ""
