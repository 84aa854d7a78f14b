"""Derive a source-package entry for another Debian release from the machine's own package configuration.

Knows the two formats of apt's source lists (``.sources`` stanzas, ``.list`` lines) and which of their fields decide
where packages come from and who signs them. Does not know any archive's address: whatever mirror, proxy or mirror list
this machine is configured with is what the derived entry uses. Standard library only; it runs before anything of ours
is installed.

    python3 setup/source_entry.py RELEASE-OF-THIS-MACHINE WANTED-RELEASE > entry.sources
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ARCHIVE_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

# The fields that say where from and trusted how. Architectures, Languages, Targets … belong to binary packages.
CARRIED_FIELDS = ("uris", "signed-by", "trusted", "check-valid-until", "check-date")
FIELD_SPELLING = {
    "uris": "URIs",
    "signed-by": "Signed-By",
    "trusted": "Trusted",
    "check-valid-until": "Check-Valid-Until",
    "check-date": "Check-Date",
}

ONE_LINE = re.compile(r"^deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>[^#]+)")

Stanza = dict[str, str]


def stanzas_of_sources(text: str) -> Iterator[Stanza]:
    """Stanzas of a deb822 ``.sources`` file, field names in lower case; continuation lines (embedded keys) kept."""
    stanza: Stanza = {}
    field = ""
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        if not line.strip():
            if stanza:
                yield stanza
            stanza, field = {}, ""
        elif line[0] in " \t" and field:
            stanza[field] += "\n" + line
        else:
            name, _, value = line.partition(":")
            field = name.strip().lower()
            stanza[field] = value.strip()
    if stanza:
        yield stanza


def stanzas_of_list(text: str) -> Iterator[Stanza]:
    """The ``deb`` lines of a one-line ``.list`` file, in the same form as stanzas."""
    for line in text.splitlines():
        match = ONE_LINE.match(line.strip())
        if match is None:
            continue
        stanza = {
            "types": "deb",
            "uris": match["uri"],
            "suites": match["suite"],
            "components": match["components"].strip(),
        }
        for option in (match["options"] or "").split():
            name, _, value = option.partition("=")
            stanza[name.lower()] = value
        yield stanza


def is_main_archive(stanza: Stanza, release: str) -> bool:
    """True for the release's own pocket of the archive: not updates, not security, not a disc."""
    return (
        "deb" in stanza.get("types", "").split()
        and stanza.get("enabled", "yes").lower() not in {"no", "false", "0", "off", "disable", "without"}
        and release in stanza.get("suites", "").split()
        and "main" in stanza.get("components", "").split()
        and not stanza.get("uris", "").startswith("cdrom:")
    )


def derive(stanza: Stanza, wanted_release: str) -> str:
    """The deb822 text of a source entry for ``wanted_release`` from the same place, trusted in the same way."""
    carried = {name: stanza[name] for name in CARRIED_FIELDS if name in stanza}
    if "signed-by" not in carried and ARCHIVE_KEYRING.exists():
        carried["signed-by"] = str(ARCHIVE_KEYRING)
    lines = ["Types: deb-src", f"Suites: {wanted_release}", "Components: main"]
    lines += [f"{FIELD_SPELLING[name]}: {value}" for name, value in carried.items()]
    return "\n".join(lines) + "\n"


def configured_stanzas(etc_apt: Path) -> Iterator[Stanza]:
    """Every enabled or disabled entry under ``/etc/apt``, in the order in which apt reads them."""
    parts = sorted((etc_apt / "sources.list.d").glob("*")) if (etc_apt / "sources.list.d").is_dir() else []
    for path in [etc_apt / "sources.list", *parts]:
        if path.is_file() and path.suffix == ".sources":
            yield from stanzas_of_sources(path.read_text(encoding="utf-8"))
        elif path.is_file() and path.suffix == ".list":
            yield from stanzas_of_list(path.read_text(encoding="utf-8"))


def main(own_release: str, wanted_release: str, etc_apt: Path = Path("/etc/apt")) -> int:
    for stanza in configured_stanzas(etc_apt):
        if is_main_archive(stanza, own_release):
            sys.stdout.write(derive(stanza, wanted_release))
            return 0
    sys.stderr.write(f"no enabled entry for the main archive of {own_release} under {etc_apt}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
