"""The set-up's pure parts: the derived package source, the lock file, the scripts."""

import importlib.util
import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]


def load_source_entry() -> ModuleType:
    spec = importlib.util.spec_from_file_location("source_entry", ROOT / "setup/source_entry.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


source_entry = load_source_entry()

DEB822 = """\
# a comment
Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main

Types: deb deb-src
# another
URIs: https://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Architectures: amd64
Signed-By: /usr/share/keyrings/some.gpg
"""

EMBEDDED_KEY = """\
Types: deb
URIs: mirror+file:/etc/apt/mirrors/debian.list
Suites: bookworm
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mDMEY
 -----END PGP PUBLIC KEY BLOCK-----
"""


def derived(tmp_path: Path, name: str, text: str, capsys: pytest.CaptureFixture[str]) -> str:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    assert source_entry.main("bookworm", "trixie", tmp_path) == 0
    return capsys.readouterr().out


def test_a_stanza_becomes_a_source_entry_from_the_same_place_with_the_same_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert derived(tmp_path, "sources.list.d/debian.sources", DEB822, capsys) == (
        "Types: deb-src\nSuites: trixie\nComponents: main\n"
        "URIs: https://mirror.example/debian\nSigned-By: /usr/share/keyrings/some.gpg\n"
    )


def test_a_one_line_entry_becomes_a_source_entry_with_its_options(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        "deb cdrom:[Debian 12]/ bookworm main\n"
        "# deb http://old.example/debian bookworm main\n"
        "deb-src http://mirror.example/debian bookworm main\n"
        "deb [arch=amd64 signed-by=/usr/share/keyrings/some.gpg check-valid-until=no] http://mirror.example/debian "
        "bookworm main contrib # tail\n"
    )
    assert derived(tmp_path, "sources.list", text, capsys) == (
        "Types: deb-src\nSuites: trixie\nComponents: main\nURIs: http://mirror.example/debian\n"
        "Signed-By: /usr/share/keyrings/some.gpg\nCheck-Valid-Until: no\n"
    )


def test_an_embedded_key_travels_with_the_entry(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entry = derived(tmp_path, "sources.list.d/debian.sources", EMBEDDED_KEY, capsys)
    assert entry.endswith(
        "Signed-By: \n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mDMEY\n -----END PGP PUBLIC KEY BLOCK-----\n"
    )


def test_an_entry_without_a_key_is_signed_by_the_installed_archive_keyring(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    keyring = tmp_path / "archive.gpg"
    keyring.touch()
    monkeypatch.setattr(source_entry, "ARCHIVE_KEYRING", keyring)
    entry = derived(tmp_path, "sources.list", "deb http://mirror.example/debian bookworm main\n", capsys)
    assert entry.endswith(f"Signed-By: {keyring}\n")


@pytest.mark.parametrize(
    "text",
    [
        "",
        DEB822.replace("Suites: bookworm bookworm-updates", "Suites: bookworm-updates"),
        DEB822.replace("Architectures: amd64", "Enabled: no"),
        DEB822.replace("Components: main contrib", "Components: contrib"),
        DEB822.replace("Types: deb deb-src", "Types: deb-src"),
    ],
)
def test_without_an_enabled_main_archive_nothing_is_derived(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d/debian.sources").write_text(text, encoding="utf-8")
    assert source_entry.main("bookworm", "trixie", tmp_path) == 1
    assert "no enabled entry for the main archive of bookworm" in capsys.readouterr().err


def test_files_of_another_ending_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d/debian.sources.off").write_text(DEB822, encoding="utf-8")
    assert source_entry.main("bookworm", "trixie", tmp_path) == 1


def locked_versions() -> dict[str, str]:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    return {canonicalize_name(name): version for name, version in re.findall(r"^([\w.-]+)==([^\s;\\]+)", lock, re.M)}


def test_the_lock_holds_a_fitting_version_of_everything_the_project_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    named = [
        *project["build-system"]["requires"],
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["dev"],
    ]
    locked = locked_versions()
    unfit = []
    for requirement in map(Requirement, named):
        version = locked.get(canonicalize_name(requirement.name))
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            unfit.append(f"{requirement} (locked: {version}); run: make lock")
    assert unfit == []


def test_the_lock_has_a_hash_for_everything_and_an_address_for_nothing() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    entries = re.split(r"^(?=[\w.-]+==)", lock, flags=re.M)[1:]
    assert [entry.split("\n", 1)[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert re.findall(r"\S*(?:://|@ |--index|--find-links)\S*", lock) == []


def test_the_judge_s_lock_has_a_hash_for_everything_and_an_address_for_nothing() -> None:
    text = (ROOT / "tests/opcua_judge/package-lock.json").read_text(encoding="utf-8")
    packages = {name: entry for name, entry in json.loads(text)["packages"].items() if name}
    assert "node_modules/node-opcua-server" in packages
    assert [name for name, entry in packages.items() if not entry.get("integrity", "").startswith("sha512-")] == []
    assert re.findall(r'"resolved"|\S*://\S*', text) == []


def test_the_lock_has_one_version_of_everything_so_that_every_python_checks_the_same() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    names = [canonicalize_name(name) for name in re.findall(r"^([\w.-]+)==", lock, re.M)]
    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_no_script_of_the_set_up_names_a_host() -> None:
    for script in (path for path in (ROOT / "setup").iterdir() if path.is_file()):
        assert re.findall(r"\w+://[\w.]+", script.read_text(encoding="utf-8")) == [], script.name


def test_every_failure_of_the_set_up_has_an_exit_code_of_its_own() -> None:
    text = (ROOT / "setup/messages.sh").read_text(encoding="utf-8")
    codes = re.findall(r"^readonly (EXIT_\w+)=(\d+)$", text, re.M)
    assert len({code for _, code in codes}) == len(codes) == 10
    manual = (ROOT / "docs/setup.md").read_text(encoding="utf-8")
    assert [code for _, code in codes if f"| {code} |" not in manual] == []


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_the_scripts_pass_shellcheck() -> None:
    scripts = [*sorted((ROOT / "setup").glob("*.sh")), ROOT / ".ci/run"]
    done = subprocess.run(["shellcheck", "-x", *scripts], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
