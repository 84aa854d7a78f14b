"""``scada order`` and ``scada report`` as they are typed: on a folder of their own, without any process running."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scada.cli import app

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
ORDER = """\
number = "2026-0011"
purpose = "Tách đường dây 171 TN01–TN02"
prepared_by = "dispatcher-1"

[[step]]
action = "open"
device = "TN01/171"

[[step]]
action = "open"
device = "TN01/171-7"
"""


class Terminal:
    """A terminal at an installation with the demonstration's four keys."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "config.toml").write_text(
            'var = "var"\nlanguage = "en"\n[services.postgres]\nurl = "postgresql://nobody:nothing@127.0.0.1:1/none"\n'
            f'[services.mqtt]\nurl = "mqtt://a:b@127.0.0.1:1"\n[stations]\nfolder = "{ROOT / "substations"}"\n',
            encoding="utf-8",
        )
        self.order = folder / "order.toml"
        self.order.write_text(ORDER, encoding="utf-8")
        self.type("control", "init")

    def type(self, *words: str, code: int = 0) -> str:
        """What the command says; it must end with ``code``."""
        environment = {"SCADA_CONFIG": str(self.folder / "config.toml"), "SCADA_PASSPHRASE": "only in this test"}
        result = CliRunner().invoke(app, list(words), env=environment)
        assert result.exit_code == code, result.output
        return result.output


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


def test_an_order_goes_from_draft_to_paper(terminal: Terminal) -> None:
    assert "2026-0011 drafted by dispatcher-1: 2 steps" in terminal.type(
        "order", "draft", str(terminal.order), "--key", "dispatcher-1"
    )
    assert "only a checked order is approved" in terminal.type(
        "order", "approve", "2026-0011", "--key", "dispatcher-2", code=1
    )
    assert "2026-0011 checked: 2 steps may be done" in terminal.type("order", "check", "2026-0011", "--normal")
    assert "another person must approve it" in terminal.type(
        "order", "approve", "2026-0011", "--key", "dispatcher-1", code=1
    )
    assert "engineer-1 has ENGINEER; to approve takes OPERATOR" in terminal.type(
        "order", "approve", "2026-0011", "--key", "engineer-1", code=1
    )
    assert "2026-0011 approved by dispatcher-2" in terminal.type(
        "order", "approve", "2026-0011", "--key", "dispatcher-2"
    )
    assert "approved" in terminal.type("order", "list")
    told = terminal.type("order", "run", "2026-0011", "--key", "dispatcher-1", "--second", "dispatcher-2", code=1)
    assert "the control desk is lost: scada run is not running" in told
    assert "stopped: step 1" in terminal.type("order", "show", "2026-0011")
    paper = terminal.folder / "order.pdf"
    terminal.type("order", "print", "2026-0011", "--to", str(paper))
    assert paper.read_bytes().startswith(b"%PDF-")


def test_a_check_that_fails_says_which_step_and_why(terminal: Terminal) -> None:
    terminal.order.write_text(ORDER.replace('device = "TN01/171"\n', 'device = "TN01/171-1"\n'), encoding="utf-8")
    terminal.type("order", "draft", str(terminal.order), "--key", "dispatcher-1")

    told = terminal.type("order", "check", "2026-0011", "--normal", code=1)

    assert "refused: blocked by interlocking (the circuit of TN01/171-1 is not interrupted: TN01/171 is closed)" in told
    assert "scada run is not running" in terminal.type("order", "check", "2026-0011", code=1)


def test_a_withdrawn_order_and_a_faulty_file(terminal: Terminal) -> None:
    terminal.type("order", "draft", str(terminal.order), "--key", "dispatcher-1")
    assert "2026-0011 stopped: not needed" in terminal.type("order", "stop", "2026-0011", "--reason", "not needed")
    assert "it cannot pass now" in terminal.type("order", "check", "2026-0011", "--normal", code=1)
    assert "there is no order 2026-0012" in terminal.type("order", "show", "2026-0012", code=1)

    terminal.order.write_text(ORDER.replace("171-7", "171-8"), encoding="utf-8")
    assert "step[2].device: TN01 has no device '171-8'" in terminal.type(
        "order", "draft", str(terminal.order), "--key", "dispatcher-1", code=2
    )


def test_the_report_counts_what_was_noted_and_refuses_what_is_no_month(terminal: Terminal) -> None:
    assert "noted as number 1" in terminal.type("report", "attended", "TN01/471", "--reason", "drive stuck")
    assert "no station 'TN99'" in terminal.type("report", "attended", "TN99", "--reason", "x", code=1)
    assert "'2026-13' is no month" in terminal.type("report", "bm20c", "--month", "2026-13", code=1)

    figures = json.loads(terminal.type("report", "bm20c", "--month", "2020-01", "--json"))
    assert figures["since_commissioning"] == {
        "operations": 0,
        "successes": 0,
        "rate_percent": None,
        "failures": {},
        "refused_before": {},
        "attended": 0,
    }
    assert terminal.type("report", "bm20c", "--month", "2020-01", "--csv").splitlines()[-1] == "total,0,0,,0,,"
    assert "báo cáo thao tác xa (BM20c), tháng 2020-01" in terminal.type("report", "bm20c", "--month", "2020-01")
