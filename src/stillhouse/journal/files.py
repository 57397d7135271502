"""The SQLite files of a journal's folder: what one row is, how a file is opened, and which files there are.

A folder holds `answers.sqlite`, which the processes of one machine share, and any number of files that are only read:
`answers-<writer>.sqlite`, written by one process of a network folder and finished, and `damaged-<time>.sqlite`, set
aside because a page was broken; what can still be read of them counts. Rows are appended, so that a commit touches the
end of the table and the index of keys, and nothing is ever rewritten.
"""

import contextlib
import sqlite3
import time
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from stillhouse.errors import StillhouseError

LIVE_NAME = "answers.sqlite"
WRITING_SUFFIX = ".writing"  # of a network folder's file that its writer has not finished
FORMAT = 2  # PRAGMA user_version; raised when a file of an older version can no longer be read
BUSY_SECONDS = 60.0  # how long to wait for another process that writes
BUSY_PAUSE_SECONDS = 0.01
KEYS_AT_ONCE = 500  # of one look-up; SQLite takes no more than 999 everywhere
PROBES = 100_000  # rows of one broken page, at most: an inner page of 4 KiB has some 500 leaves of up to 100 rows
# Beside a database: write-ahead log and rollback journal belong to it, shared memory can be made again.
_COMPANIONS = ("-wal", "-journal")

Access: TypeAlias = Literal["write", "read", "write alone", "read finished", "scratch"]
"""How a file is opened.

`write` and `read`: by any process of this machine at once (WAL, which needs shared memory and locks).
`write alone`: by one process, on a file system that may have neither. `read finished`: nobody writes it any more, no
locks. `scratch`: of this process only, not durable.
"""

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS answers (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL,
    purpose TEXT NOT NULL,
    model TEXT NOT NULL,
    check_sum INTEGER NOT NULL,
    payload BLOB NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS answers_by_key ON answers (key);
PRAGMA user_version = {FORMAT};
"""
_COLUMNS = "key, purpose, model, check_sum, payload"
# The first answer stays: a row once used must stay what it was.
_INSERT = f"INSERT INTO answers ({_COLUMNS}) VALUES (?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING"
_PRAGMAS: dict[Access, tuple[str, ...]] = {
    "write": ("journal_mode = WAL", "synchronous = FULL"),
    "write alone": ("locking_mode = EXCLUSIVE", "journal_mode = TRUNCATE", "synchronous = FULL"),
    "scratch": ("journal_mode = WAL", "synchronous = OFF"),
    "read": (),
    "read finished": (),
}
_URI_OPTIONS: dict[Access, str] = {
    "write": "mode=rwc",
    "write alone": "mode=rwc&nolock=1",
    "scratch": "mode=rwc",
    "read": "mode=ro",
    "read finished": "mode=ro&immutable=1",
}


class JournalError(StillhouseError):
    """The journal cannot be opened, read or written, or another process stands in the way."""


class DamagedError(Exception):
    """A file is no SQLite database or has a broken page."""


class Row(NamedTuple):
    """One answer as it is stored: compressed, with a check sum over key and payload."""

    key: bytes
    purpose: str
    model: str
    check_sum: int
    payload: bytes

    @classmethod
    def pack(cls, key: bytes, purpose: str, model: str, answer: bytes) -> "Row":
        """Compress an answer."""
        # zlib: on answers of this length as small as zstd by way of pyarrow, and two to four times faster to read.
        payload = zlib.compress(answer)
        return cls(key, purpose, model, zlib.crc32(payload, zlib.crc32(key)), payload)

    def unpack(self) -> bytes | None:
        """Return the answer, or None if the row is damaged."""
        return Found(self.check_sum, self.payload).unpack(self.key)


class Found(NamedTuple):
    """What a look-up reads of a row."""

    check_sum: int
    payload: bytes

    def unpack(self, key: bytes) -> bytes | None:
        """Return the answer stored under `key`, or None if the row is damaged."""
        if not (isinstance(key, bytes) and isinstance(self.payload, bytes)):
            return None  # a broken page may give anything
        if zlib.crc32(self.payload, zlib.crc32(key)) != self.check_sum:
            return None
        return zlib.decompress(self.payload)


class AnswerFile:
    """One open SQLite file of answers. A connection for one thread at a time."""

    def __init__(self, path: Path, access: Access) -> None:
        """Open a file, and make it if it is to be written.

        Raises:
            DamagedError: it is no database, or broken where every look-up begins.
            JournalError: it was written by another version of stillhouse.
            OSError, sqlite3.Error: it cannot be opened.
        """
        self.path = path
        uri = f"{path.absolute().as_uri()}?{_URI_OPTIONS[access]}"
        with _damage(path):
            self._connection = sqlite3.connect(
                uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._connection.text_factory = partial(str, encoding="utf-8", errors="replace")
            try:
                for pragma in _PRAGMAS[access]:
                    self._set(pragma)
                if _PRAGMAS[access]:
                    self._prepare()
                found = self._connection.execute("PRAGMA user_version").fetchone()[0]
            except BaseException:
                self._connection.close()
                raise
        if found != FORMAT:
            self._connection.close()
            raise JournalError(
                f"{path}: has journal format {found}, this version of stillhouse reads {FORMAT}; "
                "move the file away (its answers are then asked for again)"
            )

    def _set(self, pragma: str) -> None:
        """Run a PRAGMA; the change to WAL does not wait by itself for another process that opens the file."""
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                self._connection.execute(f"PRAGMA {pragma}")
                return
            except sqlite3.OperationalError as error:
                locked = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY
                if not locked or time.monotonic() > deadline:
                    raise
            time.sleep(BUSY_PAUSE_SECONDS)

    def _prepare(self) -> None:
        (tables,) = self._connection.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()
        if tables == 0:
            self._connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")

    def find(self, key: bytes) -> Found | None:
        """Return what is stored under a key.

        Raises:
            DamagedError: the page is broken.
        """
        try:
            row = self._connection.execute(
                "SELECT check_sum, payload FROM answers WHERE key = ?", (key,)
            ).fetchone()
        except sqlite3.DatabaseError as error:  # no context manager: each look-up would pay for it
            raise _told_apart(error, self.path) from None
        return None if row is None else Found(*row)

    def find_many(self, keys: list[bytes]) -> dict[bytes, Found]:
        """Return what is stored under keys, by key.

        Raises:
            DamagedError: a page is broken.
        """
        found: dict[bytes, Found] = {}
        for start in range(0, len(keys), KEYS_AT_ONCE):
            some = keys[start : start + KEYS_AT_ONCE]
            marks = ",".join("?" * len(some))
            try:
                for key, *columns in self._connection.execute(
                    f"SELECT key, check_sum, payload FROM answers WHERE key IN ({marks})", some
                ):
                    found[key] = Found(*columns)
            except sqlite3.DatabaseError as error:
                raise _told_apart(error, self.path) from None
        return found

    def insert(self, rows: list[Row]) -> int:
        """Append rows whose keys are new, and return how many; all are synced to the disk, or none is kept.

        Raises:
            DamagedError: a page is broken.
            sqlite3.Error: they cannot be written, for example on a full disk.
        """
        with _damage(self.path):
            before = self._connection.total_changes
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.executemany(_INSERT, rows)
                self._connection.execute("COMMIT")
            except sqlite3.Error:
                if self._connection.in_transaction:  # a full disk has rolled back already
                    self._connection.execute("ROLLBACK")
                raise
            return self._connection.total_changes - before

    def remove(self, key: bytes, check_sum: int) -> None:
        """Remove a damaged row, so that its answer can be stored anew."""
        with _damage(self.path):
            self._connection.execute(
                "DELETE FROM answers WHERE key = ? AND check_sum = ?", (key, check_sum)
            )

    def rows(self) -> Iterator[Row | None]:
        """Yield all rows in the order they were written, and None for each stretch that cannot be read."""
        last = 0
        try:
            with _damage(self.path):
                for number, *columns in self._connection.execute(
                    f"SELECT id, {_COLUMNS} FROM answers WHERE id > 0 ORDER BY id"
                ):
                    last = number
                    yield Row(*columns)
        except DamagedError:
            yield from self._rows_one_by_one(last)

    def _rows_one_by_one(self, last: int) -> Iterator[Row | None]:
        """Look each row up from the root: what lies behind a broken page is found, though no scan gets there."""
        number, empty, broken = last, 0, False
        while empty < PROBES:
            number += 1
            row = None
            try:
                with _damage(self.path):
                    row = self._connection.execute(
                        f"SELECT {_COLUMNS} FROM answers WHERE id = ?", (number,)
                    ).fetchone()
            except DamagedError:
                broken = True
            if row is None:
                empty += 1
                continue
            if broken:
                yield None
            empty, broken = 0, False
            yield Row(*row)
        if broken:
            yield None

    def groups(self) -> list[dict[str, Any]]:
        """Return the number of answers and their compressed bytes by purpose and model.

        Raises:
            DamagedError: a page is broken.
        """
        with _damage(self.path):
            found = self._connection.execute(
                "SELECT purpose, model, COUNT(*), SUM(LENGTH(payload)) FROM answers"
                " GROUP BY 1, 2 ORDER BY 1, 2"
            ).fetchall()
        names = ("purpose", "model", "answers", "bytes")
        return [dict(zip(names, row, strict=True)) for row in found]

    def faults(self) -> list[str]:
        """Return what SQLite finds wrong with the file's structure."""
        try:
            with _damage(self.path):
                found = self._connection.execute("PRAGMA integrity_check").fetchall()
        except DamagedError as error:
            return [str(error)]
        return [text for (text,) in found if text != "ok"]

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


@contextlib.contextmanager
def _damage(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise _told_apart(error, path) from None


def _told_apart(error: sqlite3.DatabaseError, path: Path) -> Exception:
    """Return damage as DamagedError and any other error as it is."""
    # The low byte is the primary code, the rest says more of it.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return DamagedError(f"{path}: {error}")
    return error


def finished_files(folder: Path) -> list[Path]:
    """Return the files of a folder that are only read, by name."""
    return sorted([*folder.glob("answers-*.sqlite"), *folder.glob("damaged-*.sqlite")])


def open_finished(path: Path) -> AnswerFile:
    """Open a file that nobody writes; one that was set aside may still have its log.

    Raises:
        DamagedError, JournalError, OSError, sqlite3.Error: as for `AnswerFile`.
    """
    has_log = any(Path(f"{path}{companion}").exists() for companion in _COMPANIONS)
    return AnswerFile(path, "read" if has_log else "read finished")


def finish(path: Path, target: Path) -> Path:
    """Give a file that was written alone, and is closed, its final name; its rollback journal is empty by then."""
    Path(f"{path}-journal").unlink(missing_ok=True)
    return path.rename(target)


def set_aside(path: Path) -> Path:
    """Rename a broken file, with its log, so that it is only read from now on; return the new path."""
    stem = f"damaged-{time.strftime('%Y%m%d-%H%M%S')}"
    target = path.with_name(f"{stem}.sqlite")
    number = 1
    while target.exists():
        number += 1
        target = path.with_name(f"{stem}-{number}.sqlite")
    for companion in _COMPANIONS:
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{companion}").rename(f"{target}{companion}")
    Path(f"{path}-shm").unlink(missing_ok=True)
    path.rename(target)
    return target


def delete(path: Path) -> None:
    """Delete a file of answers and what lies beside it."""
    path.unlink(missing_ok=True)
    for companion in (*_COMPANIONS, "-shm"):
        Path(f"{path}{companion}").unlink(missing_ok=True)
