"""JobMirror: the files of one job in a bucket, so that any server can run it or show it.

A server works on local copies. It puts files that changed into the bucket as whole objects, and
files that are only appended to as pages. A server that takes the job over fetches all of them.
"""

import shutil
import uuid
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from prefixes.disk import disk, make_folder
from prefixes.errors import StoreUnavailable

if TYPE_CHECKING:
    from prefixes.s3.bucket import Bucket, ObjectInfo

_PAGE_BYTES: Final = 2**20
"""The last page is written again at each checkpoint, so a smaller page is fewer bytes."""
_SMALL_BYTES: Final = 4 * 2**20
_LOCAL_NAMES: Final = frozenset({"lock"})
_PARTIAL: Final = ".partial"


class JobMirror:
    """Every method raises StoreUnavailable when the bucket or the disk fails."""

    def __init__(self, bucket: "Bucket", prefix: str, paged: AbstractSet[str]) -> None:
        """Name the prefix of the job's keys, which ends with a slash, and the files with pages."""
        self._bucket = bucket
        self._prefix = prefix
        self._paged = paged
        self._saved: dict[str, tuple[int, int]] = {}
        self._e_tags: dict[str, str | None] = {}

    def save(self, folder: Path, *, last: str | None = None) -> None:
        """Put the files that changed since the last call, one of them after all others."""
        for path in sorted(self._files(folder), key=lambda path: path.name == last):
            name, state = _name(path, folder), _state(path)
            if state is not None and self._saved.get(name) != state:
                with suppress(FileNotFoundError):  # its worker has just removed it
                    small = path.read_bytes() if state[1] <= _SMALL_BYTES else path
                    self._bucket.put(self._prefix + name, small)
                    self._saved[name] = state

    def save_pages(self, path: Path, start: int, end: int) -> None:
        """Put the pages that have the bytes from `start` on of a file that is appended to."""
        with disk("read", path), path.open("rb") as file:
            for number in range(start // _PAGE_BYTES, -(-end // _PAGE_BYTES)):
                first = number * _PAGE_BYTES
                file.seek(first)
                data = file.read(min(_PAGE_BYTES, end - first))
                self._bucket.put(self._page(path.name, number), data)

    def fetch(self, folder: Path) -> None:
        """Replace a local folder by the files of the bucket."""
        shutil.rmtree(folder, ignore_errors=True)
        with disk("create the folder", folder):
            make_folder(folder)
        for one in self._objects():
            name = one.key.removeprefix(self._prefix)
            paged = name.rpartition("/")[0]
            if paged in self._paged:
                self._append(one, folder / paged)
                continue
            path = folder / name
            self._download(one, path)
            self._saved[name] = _state(path) or (0, 0)

    def refresh(self, folder: Path, names: AbstractSet[str]) -> None:
        """Fetch those of the named files that changed since the last call."""
        for one in self._objects():
            name = one.key.removeprefix(self._prefix)
            if name not in names:
                continue
            is_here = name in self._e_tags and (folder / name).is_file()
            if not is_here or self._e_tags[name] != one.e_tag:
                self._download(one, folder / name)
                self._e_tags[name] = one.e_tag

    def refresh_pages(self, path: Path, num_bytes: int) -> None:
        """Fetch what is missing of the first bytes of a file that is appended to."""
        with disk("write", path):
            make_folder(path.parent)
            path.touch(mode=0o600)
        start = path.stat().st_size // _PAGE_BYTES
        with disk("write", path), path.open("r+b") as file:
            for number in range(start, -(-num_bytes // _PAGE_BYTES)):
                first = number * _PAGE_BYTES
                wanted = min(_PAGE_BYTES, num_bytes - first)
                data = self._bucket.get(self._page(path.name, number))[:wanted]
                if len(data) < wanted:
                    key = self._page(path.name, number)
                    raise StoreUnavailable(
                        f"{self._bucket.url(key)} has {len(data)} bytes, expected {wanted}: "
                        "restore the object from a backup, or run the job again"
                    )
                file.seek(first)
                file.write(data)

    def discard(self, is_chosen: Callable[[str], bool]) -> None:
        """Delete the files whose names are chosen."""
        for one in list(self._objects()):
            if is_chosen(one.key.removeprefix(self._prefix)):
                self._bucket.delete(one.key)

    def remove(self) -> None:
        """Delete all files."""
        self.discard(lambda _name: True)

    def _objects(self) -> Iterator["ObjectInfo"]:
        return self._bucket.list(self._prefix)

    def _files(self, folder: Path) -> Iterator[Path]:
        for path in folder.rglob("*"):
            is_local = path.name in _LOCAL_NAMES or path.name.endswith(_PARTIAL)
            if not is_local and path.name not in self._paged and path.is_file():
                yield path

    def _append(self, page: "ObjectInfo", path: Path) -> None:
        with disk("write", path):
            path.touch(mode=0o600)
            with path.open("ab") as file:
                file.write(self._bucket.get(page.key))

    def _download(self, one: "ObjectInfo", path: Path) -> None:
        partial = path.with_name(f"{uuid.uuid4().hex}{_PARTIAL}")
        with disk("write", path):
            make_folder(path.parent)
            self._bucket.download(one.key, partial)
            partial.replace(path)

    def _page(self, name: str, number: int) -> str:
        return f"{self._prefix}{name}/{number:08d}"


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _state(path: Path) -> tuple[int, int] | None:
    """Return what differs after a file was changed; None if it is gone."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size
