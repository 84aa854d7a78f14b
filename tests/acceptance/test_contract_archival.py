"""PDF/A-2b of the contract, empty, signed by both and renewed, as far as poppler and the file's own objects can tell.

No validator of PDF/A is to be had from the distribution or the package registries. These are the rules of ISO 19005-2
that a signing program can break, each looked at by itself: 6.1.2 to 6.1.4 file structure, 6.2.3 output intent, 6.2.11.4
fonts, 6.3 annotations, 6.4 forms, 6.5 actions, 6.6.4 identification, Annex B signatures.
"""

import asyncio
import io
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.reader import PdfFileReader

from tests import fakes_contract_files as files
from tests.fakes_contract_files import Bench
from tests.fakes_contracts import world

pytestmark = [pytest.mark.integration, pytest.mark.acceptance]

PRINT, HIDDEN_FLAGS = 0b100, 0b100011
"""Annotation flags, ISO 32000-1 table 165: print; invisible, hidden, no view."""


@pytest.fixture(scope="module")
def made() -> Iterator[Bench]:
    with world() as around:
        yield files.bench(around)


@pytest.fixture(scope="module", params=["prepared", "signed by both", "renewed"])
def content(made: Bench, request: pytest.FixtureRequest) -> bytes:
    make = {"prepared": files.unsigned, "signed by both": files.complete, "renewed": files.complete_renewed}
    made.world.reset()
    return asyncio.run(make[request.param](made))


@pytest.fixture
def path(content: bytes, tmp_path: Path) -> Path:
    where = tmp_path / "contract.pdf"
    where.write_bytes(content)
    return where


def poppler(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_it_names_itself_pdf_a_2b_and_hides_nothing(path: Path) -> None:
    assert 'pdfaid:part="2" pdfaid:conformance="B"' in poppler("pdfinfo", "-meta", str(path))
    told = dict(re.findall(r"^(\w[\w ]*):\s+(.*)$", poppler("pdfinfo", str(path)), re.MULTILINE))
    assert (told["Encrypted"], told["JavaScript"], told["PDF version"]) == ("no", "no", "1.7")
    assert poppler("pdfdetach", "-list", str(path)).strip() == "0 embedded files"


def test_every_font_is_embedded(path: Path) -> None:
    lines = poppler("pdffonts", str(path)).splitlines()[2:]
    assert lines
    assert all(re.search(r" yes (yes|no)\s+(yes|no)\s+\d+\s+\d+$", line) for line in lines), lines


def test_the_file_begins_and_ends_as_it_must_and_keeps_its_identifier(content: bytes, made: Bench) -> None:
    assert re.match(rb"%PDF-1\.7\r?\n%[\x80-\xff]{4,}", content)
    assert content.rstrip(b"\r\n").endswith(b"%%EOF")
    trailer, original = (PdfFileReader(io.BytesIO(each)).trailer for each in (content, made.prepared))
    assert "/Encrypt" not in trailer
    assert len(trailer["/ID"]) == 2
    assert trailer["/ID"][0] == original["/ID"][0]


def test_colours_of_pages_and_marks_are_those_of_the_output_intent(content: bytes) -> None:
    (intent,) = PdfFileReader(io.BytesIO(content)).root["/OutputIntents"]
    intent = intent.get_object()
    assert intent["/S"] == "/GTS_PDFA1"
    profile = intent["/DestOutputProfile"]
    assert profile.data[36:40] == b"acsp"
    assert (profile.data[16:20], int(profile["/N"])) == (b"RGB ", 3)


def test_nothing_acts_and_every_mark_is_printed_as_it_is_drawn(content: bytes) -> None:
    reader = PdfFileReader(io.BytesIO(content))
    form = reader.root["/AcroForm"]
    assert "/XFA" not in form
    assert not form.get("/NeedAppearances", False)
    assert not {"/AA", "/OpenAction", "/OCProperties"} & set(reader.root)
    widgets = [annotation for page in _pages(reader) for annotation in _all(page, "/Annots")]
    assert len(widgets) >= 2
    for widget in widgets:
        name = widget.get("/T", widget["/Subtype"])
        assert not {"/A", "/AA"} & set(widget), name
        assert (int(widget["/F"]) & PRINT, int(widget["/F"]) & HIDDEN_FLAGS) == (PRINT, 0), name
        edges = [float(edge) for edge in widget["/Rect"]]
        assert edges[0] == edges[2] or set(widget["/AP"]) == {"/N"}, f"{name}: without an appearance"


def test_no_stream_is_packed_with_a_method_that_is_not_allowed(content: bytes) -> None:
    assert not re.search(rb"/(LZWDecode|Crypt|JPXDecode)\b", content)


def test_each_signature_covers_the_file_up_to_itself(content: bytes) -> None:
    for signature in PdfFileReader(io.BytesIO(content)).embedded_signatures:
        first, before, after, length = (int(each) for each in signature.byte_range)
        assert first == 0
        gap = content[before:after]
        assert (gap[:1], gap[-1:]) == (b"<", b">")
        assert content[: after + length].rstrip(b"\r\n").endswith(b"%%EOF")


def _pages(reader: PdfFileReader) -> Iterator[generic.DictionaryObject]:
    for number in range(int(reader.root["/Pages"]["/Count"])):
        yield reader.find_page_for_modification(number)[0].get_object()


def _all(dictionary: generic.DictionaryObject, key: str) -> list[Any]:
    return [each.get_object() for each in dictionary[key]] if key in dictionary else []
