"""Requests of operators as files: written by a command, taken by ``scada run``, answered in a file.

Knows the folder, durability and whose a file is. Does not know what is asked for.

    var/operator/requests/ID.json    written by a person's command; its owner, as the kernel tells it, is the originator
    var/operator/answers/ID.json     what became of it
    var/operator/overrides.json      what is substituted and blocked; on the disk (fsync) before it is shown

Whoever may write into the folder may substitute values, nobody else, and under nobody else's name. That is the
security of the machine's accounts, not of signatures; no device can be operated through it.
"""

import os
import pwd
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from scada.model.errors import GridScadaError

LARGEST_REQUEST = 64 * 1024


class OperatorFolderError(GridScadaError):
    """The folder of operators' requests cannot be used."""


@dataclass(frozen=True, slots=True)
class OperatorFile:
    """One request as found: its name, whose it is, its bytes."""

    name: str
    owner: str
    content: bytes


class OperatorFolder:
    """The folder; every method raises OperatorFolderError when the disk refuses."""

    def __init__(self, var: Path) -> None:
        self._root = var / "operator"
        self._requests = self._root / "requests"
        self._answers = self._root / "answers"

    def prepare(self) -> None:
        """Make the folders. ``requests`` is closed to everybody but its owner and group."""
        with _disk(self._root):
            self._requests.mkdir(parents=True, exist_ok=True, mode=0o770)
            self._answers.mkdir(parents=True, exist_ok=True)

    def ask(self, name: str, content: bytes) -> None:
        """Leave a request."""
        if not self._requests.is_dir():
            raise OperatorFolderError(f"{self._requests} does not exist: `scada run` has never been started here")
        self._write(self._requests / f"{name}.json", content)

    def withdraw(self, name: str) -> bool:
        """Take a request back; False when it was taken already."""
        with _disk(self._requests):
            try:
                (self._requests / f"{name}.json").unlink()
            except FileNotFoundError:
                return False
            return True

    def requests(self) -> Iterator[OperatorFile]:
        """All requests, oldest first; each is taken away as it is given. What is no plain file is removed unread."""
        with _disk(self._requests):
            paths = sorted(self._requests.glob("*.json"), key=lambda path: path.lstat().st_mtime_ns)
        for path in paths:
            with _disk(path):
                if path.is_symlink():
                    path.unlink()
                    continue
                # Owner and bytes come from the same open file: nobody can put another one in its place between.
                descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
                try:
                    owner = _account(os.fstat(descriptor).st_uid)
                    content = os.read(descriptor, LARGEST_REQUEST)
                finally:
                    os.close(descriptor)
                path.unlink()
            yield OperatorFile(path.stem, owner, content)

    def answer(self, name: str, content: bytes) -> None:
        """Tell what became of a request."""
        self._write(self._answers / f"{name}.json", content)

    def take_answer(self, name: str) -> bytes | None:
        """The answer to a request, taken away; None while there is none."""
        path = self._answers / f"{name}.json"
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        with suppress(OSError):  # in a folder of another account it stays; ids are never used again
            path.unlink()
        return content

    def keep(self, content: bytes) -> None:
        """Put what holds on the disk; it is there on return."""
        self._write(self._root / "overrides.json", content)

    def kept(self) -> bytes | None:
        """What was kept, or None when nothing ever was."""
        with _disk(self._root):
            path = self._root / "overrides.json"
            return path.read_bytes() if path.exists() else None

    def _write(self, path: Path, content: bytes) -> None:
        with _disk(path):
            scratch = path.with_suffix(".new")
            with scratch.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(path)
            folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


class _disk:  # noqa: N801  # reads as a statement
    """Turns OSError into OperatorFolderError about one path."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, OSError):
            raise OperatorFolderError(f"{self._path}: {error.strerror or error}") from error


def _account(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"uid {number}"
