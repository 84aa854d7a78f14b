"""What the contract office says when it cannot be opened."""

from pathlib import Path

import pytest

from scada.contract_office.office import OfficeError, seller_certificate


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_a_seller_without_a_certificate_is_told_with_the_file(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "seller.cer"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(OfficeError, match=r"certificate of the seller's token cannot be had from .*seller\.cer"):
        seller_certificate(path)
