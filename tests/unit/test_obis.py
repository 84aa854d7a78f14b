"""The OBIS table is unambiguous and the code form is read as printed by meters."""

import pytest

from meters.obis import BY_CODE, BY_NUMBER, OBIS, Unit, normal_form
from scada.model.reading import REGISTER


def test_numbers_and_codes_are_unique_and_fit_the_register_column() -> None:
    assert len(BY_CODE) == len(BY_NUMBER) == len(OBIS)
    assert REGISTER["obis"].itemsize == 2
    assert all(0 < entry.number < 2**15 for entry in OBIS)


def test_numbers_in_use_keep_their_meaning() -> None:
    """They are stored: a changed number would turn last year's import into something else."""
    numbers = {
        "1-0:1.8.0": 1,
        "1-0:1.8.1": 2,
        "1-0:1.8.4": 5,
        "1-0:2.8.0": 6,
        "1-0:2.8.4": 10,
        "1-0:3.8.0": 11,
        "1-0:4.8.0": 12,
        "1-0:1.6.0": 13,
        "1-0:1.7.0": 20,
        "1-0:32.7.0": 22,
        "1-0:72.7.0": 24,
        "1-0:31.7.0": 25,
        "1-0:71.7.0": 27,
        "0-0:96.7.21": 42,
        "1-0:99.1.0": 60,
        "0-0:96.3.10": 70,
    }
    assert {code: BY_CODE[code].number for code in numbers} == numbers


def test_every_code_is_in_its_normal_form_and_has_both_titles() -> None:
    assert [entry.code for entry in OBIS if normal_form(entry.code) != entry.code] == []
    assert all(entry.title_vi and entry.title_en for entry in OBIS)


def test_energy_is_in_wh_and_voltage_in_v() -> None:
    assert (BY_CODE["1-0:1.8.0"].unit, BY_CODE["1-0:3.8.0"].unit) == (Unit.WH, Unit.VARH)
    assert (BY_CODE["1-0:32.7.0"].unit, BY_CODE["1-0:1.7.0"].unit) == (Unit.V, Unit.W)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("1-0:1.8.0", "1-0:1.8.0"),
        ("1-0:1.8.0*255", "1-0:1.8.0"),
        ("1.8.0", "1-0:1.8.0"),
        ("1.8", "1-0:1.8.0"),
        ("0-0:96.7.21", "0-0:96.7.21"),
        ("1-0:01.8.0", "1-0:1.8.0"),
    ],
)
def test_printed_forms_lead_to_one_code(text: str, form: str) -> None:
    assert normal_form(text) == form


@pytest.mark.parametrize("text", ["", "1", "1-0:1.8.0*1", "1-0:256.8.0", "1-0:1.8.0 ", "a-0:1.8.0", "1-0:١.8.0"])
def test_what_is_no_code_is_refused(text: str) -> None:
    assert normal_form(text) is None
