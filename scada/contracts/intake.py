"""What people enter, before it becomes a contract or a bill: the sentences that refuse what cannot be meant.

    application_faults(customer, supply)
    change_faults(customer_name, tariff_class)
    meter_faults(meter, now)
    effective_faults(time, now)

Each gives all faults, none when nothing is wrong. A slip that passes here is rendered, signed and archived for good.
Pure: knows words, numbers and the calendar.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from scada.contracts.workdays import local_day
from scada.model.contract import Customer, MeterInstallation, Supply

IDENTITY = re.compile(r"CCCD:[0-9]{12}|MST:[0-9]{10}(-[0-9]{3})?")
TEXT_LIMIT = 300
"""Characters; the longest name in the register of companies has about 200."""

KW_LIMIT = HOUSEHOLDS_LIMIT = 1_000_000
REGISTER_LIMIT = 10**15
"""Wh; a register of twelve digits in kWh."""

DAY_US = 86_400_000_000
LATEST_US = 10 * 366 * DAY_US
"""A day further off than this is a slip of the unit."""


def application_faults(customer: Customer, supply: Supply) -> list[str]:
    """Of an application."""
    faults = _text_faults(asdict(customer), needed=("name", "address"))
    if not IDENTITY.fullmatch(customer.identity):
        faults.append("identity is CCCD: and 12 digits, or MST: and a tax code")
    faults += _text_faults(asdict(supply), needed=("metering_point", "address", "tariff_class"))
    if supply.phases not in (1, 3):
        faults.append(f"phases are 1 or 3, not {supply.phases}")
    faults += _outside("contracted_kw", supply.contracted_kw, 1, KW_LIMIT)
    return faults + _outside("households", supply.households, 1, HOUSEHOLDS_LIMIT)


def change_faults(customer_name: str, tariff_class: str) -> list[str]:
    """Of an amendment; '' leaves as it was."""
    return _text_faults({"customer_name": customer_name, "tariff_class": tariff_class})


def meter_faults(meter: MeterInstallation, now: int) -> list[str]:
    """Of the field team's report."""
    faults = _outside("serial", meter.serial, 1, 2**63 - 1)
    if not meter.start_registers:
        faults.append("start registers are missing: the first bill begins with them")
    for code, value in meter.start_registers.items():
        faults += _outside(f"start register {code!a}", value, 0, REGISTER_LIMIT)
    if not re.fullmatch(r"([0-9a-f]{64})?", meter.photo_sha256):
        faults.append("photo_sha256 is 64 hexadecimal digits, or empty")
    return faults + _outside("installed_at (µs since 1970)", meter.installed_at, 0, now + DAY_US)


def effective_faults(time: int, now: int) -> list[str]:
    """Of the day from which a contract shall hold: none before it is signed, for what is signed must say what holds."""
    faults = _outside("effective_from (µs since 1970)", time, 0, now + LATEST_US)
    if not faults and local_day(time) < local_day(now):
        faults.append(f"the effective day {local_day(time)} has passed")
    return faults


def _text_faults(filled: Mapping[str, Any], needed: Sequence[str] = ()) -> list[str]:
    texts = {name: text for name, text in filled.items() if isinstance(text, str)}
    faults = [f"{name} is missing" for name in needed if not texts[name].strip()]
    faults += [
        f"{name} is longer than {TEXT_LIMIT} characters" for name, text in texts.items() if len(text) > TEXT_LIMIT
    ]
    # Also what turns the direction of writing: the document would show another name than it holds.
    return faults + [f"{name} has characters that cannot be printed" for name, text in texts.items() if _hides(text)]


def _hides(text: str) -> bool:
    return any(unicodedata.category(each).startswith("C") for each in text)


def _outside(name: str, value: int, low: int, high: int) -> list[str]:
    return [] if low <= value <= high else [f"{name} is not within {low} and {high}"]
