"""Lists of meter models: usable rows, and what is wrong with the others."""

from pathlib import Path

import pytest

from historian.models import MeterModel, read_models

HEADER = "code,digits,wrap_kwh,capture_period_s,rates\n"


def read(folder: Path, *rows: str) -> tuple[list[MeterModel], list[str]]:
    path = folder / "models.csv"
    path.write_text(HEADER + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    models, faults = read_models(path)
    return models, [f"{fault.key}: {fault.message}" for fault in faults]


def test_a_model_tells_digits_wrap_point_period_and_which_register_is_which_rate(tmp_path: Path) -> None:
    models, faults = read(tmp_path, "DT03P-RF,6,,1800,1-0:1.8.1=BT 1-0:1.8.2=CD 1-0:1.8.3=TD", "CE-18G,5,50000,3600,")
    rates = {"1-0:1.8.1": "BT", "1-0:1.8.2": "CD", "1-0:1.8.3": "TD"}
    assert models == [MeterModel("DT03P-RF", 6, 1_000_000, 1800, rates), MeterModel("CE-18G", 5, 50_000, 3600, {})]
    assert faults == []


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (",6,,1800,", "code is empty"),
        ("A,0,,1800,", "digits '0' is no whole number from 1 to 15"),
        ("A,6,x,1800,", "wrap_kwh 'x' is no whole number from 1 to 1000000000000000"),
        ("A,5,100001,1800,", "wrap_kwh 100001 is more than 5 digits show"),
        ("A,6,,1700,", "capture_period_s 1700 does not divide a day"),
        ("A,6,,1800,1-0:1.8.1", "rates '1-0:1.8.1' is no list of OBIS=RATE, each register once"),
        ("A,6,,1800,1-0:1.8.1=BT 1-0:1.8.1=CD", "rates '1-0:1.8.1=BT 1-0:1.8.1=CD' is no list of OBIS=RATE, "
         "each register once"),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_used_is_named_with_its_line(tmp_path: Path, row: str, message: str) -> None:
    assert read(tmp_path, row) == ([], [f"line 2: {message}"])


def test_a_model_stands_in_a_list_once(tmp_path: Path) -> None:
    models, faults = read(tmp_path, "A,6,,1800,", "A,5,,1800,")
    assert (len(models), faults) == (1, ["line 3: model A stands in line 2 already"])
