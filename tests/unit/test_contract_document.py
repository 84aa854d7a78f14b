"""The prepared document: its text, fonts, fields and hashes, judged by poppler and by the PDF library."""

import io
import re
import subprocess
from dataclasses import fields, replace
from pathlib import Path

import pytest
from pyhanko.pdf_utils.reader import PdfFileReader

from scada.contracts.document import Prepared, render
from scada.contracts.layout import BOXES, PAGE_HEIGHT
from scada.contracts.pdfreading import read_bounded
from scada.contracts.reasons import WAITS, Reason
from scada.contracts.request import SupplyRequest, fold
from scada.contracts.settings import load_settings
from scada.model.contract import RequestKind
from scada.model.errors import ConfigurationError
from tests.fakes_contracts import BUYER, NOW, SELLER, application

VERIFY_URL = "http://127.0.0.1:8080/verify"
LETTERS = "ăâđêôơư ĂÂĐÊÔƠƯ áàảãạ ấầẩẫậ ắằẳẵặ éèẻẽẹ ếềểễệ íìỉĩị óòỏõọ ốồổỗộ ớờởỡợ úùủũụ ứừửữự ýỳỷỹỵ"


def _request(**changes: object) -> SupplyRequest:
    return replace(fold([application()]), **changes)  # type: ignore[arg-type]  # fields by name


def _prepared(request: SupplyRequest, effective_from: int | None = None) -> Prepared:
    return render(request, SELLER, VERIFY_URL, NOW, effective_from)


def _text(pdf: bytes, path: Path) -> str:
    path.write_bytes(pdf)
    done = subprocess.run(["pdftotext", "-layout", str(path), "-"], capture_output=True, text=True, check=True)
    return done.stdout


def test_the_document_says_everything_in_both_languages_with_all_diacritics(tmp_path: Path) -> None:
    customer = replace(BUYER, address=LETTERS)
    made = _prepared(_request(customer=customer))
    text = " ".join(_text(made.pdf, tmp_path / "c.pdf").split())
    for words in (BUYER.name, BUYER.identity, SELLER.name, "TEST-0001", "HD-2026-000001", made.data_sha256):
        assert words in text, words
    for word in LETTERS.split():
        assert word in text, word
    assert "LOW-VOLTAGE ELECTRICITY SUPPLY CONTRACT" in text
    assert "Mẫu tham khảo, không phải mẫu do cơ quan nhà nước ban hành" in text


def test_it_is_marked_pdf_a_and_every_font_is_embedded(tmp_path: Path) -> None:
    path = tmp_path / "c.pdf"
    path.write_bytes(_prepared(_request()).pdf)
    metadata = subprocess.run(["pdfinfo", "-meta", str(path)], capture_output=True, text=True, check=True).stdout
    assert 'pdfaid:part="2" pdfaid:conformance="B"' in metadata
    fonts = subprocess.run(["pdffonts", str(path)], capture_output=True, text=True, check=True).stdout.splitlines()[2:]
    assert fonts
    assert all(re.search(r" yes (yes|no)\s+(yes|no)\s+\d+\s+0$", line) for line in fonts), fonts


def test_both_fields_are_there_empty_and_where_the_frames_are() -> None:
    reader = PdfFileReader(io.BytesIO(_prepared(_request()).pdf))
    fields = {str(field["/T"]): field for field in (ref.get_object() for ref in reader.root["/AcroForm"]["/Fields"])}
    assert set(fields) == {"BenMua", "BenBan"}
    for box in BOXES:
        found = [float(edge) for edge in fields[box.field]["/Rect"]]
        assert found == [float(edge) for edge in box.pdf_box()]
        assert 0 < box.top < PAGE_HEIGHT - box.height
        assert "/V" not in fields[box.field]
    assert reader.root["/AcroForm"]["/SigFlags"] is not None
    names = [box.field for box in BOXES]
    assert not any(one != other and other.startswith(one) for one in names for other in names)
    assert not any("." in name for name in names)


def test_the_printed_hash_changes_with_any_fact() -> None:
    plain = _prepared(_request()).data_sha256
    assert _prepared(_request()).data_sha256 == plain
    assert _prepared(_request(customer=replace(BUYER, phone="1"))).data_sha256 != plain
    assert _prepared(_request(), NOW).data_sha256 != plain


@pytest.mark.parametrize(
    ("kind", "title"),
    [(RequestKind.AMENDMENT, "PHỤ LỤC SỬA ĐỔI"), (RequestKind.TERMINATION, "BIÊN BẢN CHẤM DỨT")],
)
def test_amendment_and_termination_name_the_contract_they_change(kind: RequestKind, title: str, tmp_path: Path) -> None:
    made = _prepared(_request(kind=kind, predecessor="HD-2026-000007"), NOW)
    text = _text(made.pdf, tmp_path / "c.pdf")
    assert title in text
    assert "HD-2026-000007" in text
    assert "21/09/2026" in text


def test_every_reason_has_words_in_both_languages() -> None:
    for reason in Reason:
        assert reason.vi
        assert reason.en
        assert reason.vi != reason.en
    assert len({reason.vi for reason in Reason}) == len(Reason)
    assert all(isinstance(reason, Reason) for reason in WAITS)


def test_settings_refuse_what_they_do_not_know(tmp_path: Path) -> None:
    path = tmp_path / "contracts.toml"
    path.write_text('[trust]\nroot = ["a.cer"]\n[rules]\nworking_days = 0\n', encoding="utf-8")
    with pytest.raises(ConfigurationError) as refused:
        load_settings(path)
    assert [fault.key for fault in refused.value.faults] == ["rules.working_days", "trust.root"]
    path.write_text('[trust]\nroots = ["a.cer"]\n', encoding="utf-8")
    settings = load_settings(path)
    assert settings.trust.roots == (tmp_path / "a.cer",)
    assert settings.rules.holidays is None
    path.write_text('[rules]\nholidays = "days.toml"\n', encoding="utf-8")
    assert load_settings(path).rules.holidays == tmp_path / "days.toml"


def test_the_documented_settings_load_and_name_every_key(tmp_path: Path) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "contracts.md"
    block = page.read_text(encoding="utf-8").split("```toml\n")[1].split("```")[0]
    path = tmp_path / "contracts.toml"
    path.write_text(block, encoding="utf-8")
    settings = load_settings(path)
    assert settings.trust.roots == (tmp_path / "trust/root.cer",)
    for section in (settings.trust, settings.rules):
        for field in fields(section):
            assert f"{field.name} = " in block, field.name


def test_of_a_huge_file_no_more_is_read_than_shows_that_it_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "huge.pdf"
    with path.open("wb") as file:
        file.truncate(200 * 2**20)
    assert len(read_bounded(path, 1000)) == 1001
    path.write_bytes(b"%PDF-1.7")
    assert read_bounded(path, 1000) == b"%PDF-1.7"
