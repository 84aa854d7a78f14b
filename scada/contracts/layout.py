"""Where the two signature fields stand on the last page: one table, read by the typst template and by the signer.

Points (1/72 inch), page A4, origin at the top left as typst counts; ``pdf_box`` turns it over for PDF.
"""

from dataclasses import dataclass

PAGE_HEIGHT = 841.89
BUYER_FIELD = "BenMua"
SELLER_FIELD = "BenBan"
"""Neither is the beginning of the other, and neither has a dot: validators compare field names by prefix."""


@dataclass(frozen=True, slots=True)
class SignatureBox:
    """One field: its name, its title in both languages, and its frame."""

    field: str
    title_vi: str
    title_en: str
    left: float
    top: float
    width: float
    height: float

    def pdf_box(self) -> tuple[int, int, int, int]:
        """Lower left and upper right corner, origin at the bottom left."""
        bottom = PAGE_HEIGHT - self.top - self.height
        return round(self.left), round(bottom), round(self.left + self.width), round(bottom + self.height)


BUYER = SignatureBox(BUYER_FIELD, "BÊN MUA ĐIỆN", "THE BUYER", 72, 330, 210, 84)
SELLER = SignatureBox(SELLER_FIELD, "BÊN BÁN ĐIỆN", "THE SELLER", 313, 330, 210, 84)
BOXES = (BUYER, SELLER)
