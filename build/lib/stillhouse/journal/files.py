"""Reads and writes the SQLite files of a journal's folder.

The processes of one machine share `answers.sqlite`. All other files of the folder are only read.
`answers-<writer>.sqlite` was written by one process in a network folder and is finished. `damaged-<time>.sqlite` was
set aside because a page is broken; its readable rows are still used. Rows are only appended. A commit therefore writes
the end of the table and the index of keys, and no row is ever rewritten.
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
WRITING_SUFFIX = ".writing"  # suffix of a file in a network folder that its writer has not finished
FORMAT = 2  # PRAGMA user_version; raised when a file of an older version can no longer be read
BUSY_SECONDS = 60.0  # how long to wait for another process that writes
BUSY_PAUSE_SECONDS = 0.01
KEYS_AT_ONCE = 500  # keys per look-up; some builds of SQLite allow only 999 parameters
# Upper bound of the rows behind one broken page: an inner page of 4 KiB has about 500 leaves of up to 100 rows.
PROBES = 100_000
# The write-ahead log and the rollback journal are part of a database. The shared-memory file can be recreated.
_COMPANIONS = ("-wal", "-journal")

Access: TypeAlias = Literal["write", "read", "write alone", "read finished", "scratch"]
"""How a file is opened.

`write` and `read`: several processes of this machine may open it (WAL, which needs shared memory and locks).
`write alone`: one process, on a file system that may lack shared memory and locks. `read finished`: no process writes
the file any more, so no locks are used. `scratch`: only this process uses the file, and it is not durable.
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
# The first answer stays: a row that was used must not change.
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
    """The journal cannot be opened, read or written, or another process prevents it."""


class DamagedError(Exception):
    """A file is not an SQLite database or has a broken page."""


class JournalRow(NamedTuple):
    """One stored answer: compressed, with a check sum over key and payload."""

    key: bytes
    purpose: str
    model: str
    check_sum: int
    payload: bytes

    @classmethod
    def pack(cls, key: bytes, purpose: str, model: str, answer: bytes) -> "JournalRow":
        """Compress an answer.

        Args:
            key: The key of the request.
            purpose: The kind of answer.
            model: The id of the model.
            answer: The answer.
        """
        # At these lengths zlib output is as small as zstd's (through pyarrow), and two to four times faster to read.
        payload = zlib.compress(answer)
        return cls(key, purpose, model, zlib.crc32(payload, zlib.crc32(key)), payload)

    def unpack(self) -> bytes | None:
        """Return the answer, or None if the row is damaged."""
        return StoredPayload(self.check_sum, self.payload).unpack(self.key)


class StoredPayload(NamedTuple):
    """The columns of a row that a look-up reads."""

    check_sum: int
    payload: bytes

    def unpack(self, key: bytes) -> bytes | None:
        """Return the answer stored under `key`, or None if the row is damaged."""
        if not (isinstance(key, bytes) and isinstance(self.payload, bytes)):
            return None  # a broken page may return any type
        if zlib.crc32(self.payload, zlib.crc32(key)) != self.check_sum:
            return None
        return zlib.decompress(self.payload)


class AnswerFile:
    """One open SQLite file of answers. Only one thread may use it at a time."""

    def __init__(self, path: Path, access: Access) -> None:
        """Open a file, and create it if `access` allows writing.

        Raises:
            DamagedError: the file is not a database, or its first pages are broken.
            JournalError: another version of stillhouse wrote the file.
            OSError, sqlite3.Error: the file cannot be opened.
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
        """Run a PRAGMA, and retry while another process opens the file: SQLite does not wait in a change to WAL."""
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

    def find(self, key: bytes) -> StoredPayload | None:
        """Return the payload that is stored under a key, or None.

        Raises:
            DamagedError: the page is broken.
        """
        try:
            row = self._connection.execute(
                "SELECT check_sum, payload FROM answers WHERE key = ?", (key,)
            ).fetchone()
        except sqlite3.DatabaseError as error:  # a context manager would slow each look-up down
            raise _classified(error, self.path) from None
        return None if row is None else StoredPayload(*row)

    def find_many(self, keys: list[bytes]) -> dict[bytes, StoredPayload]:
        """Return the stored payloads of several keys, by key.

        Raises:
            DamagedError: a page is broken.
        """
        found: dict[bytes, StoredPayload] = {}
        for start in range(0, len(keys), KEYS_AT_ONCE):
            some = keys[start : start + KEYS_AT_ONCE]
            marks = ",".join("?" * len(some))
            try:
                for key, *columns in self._connection.execute(
                    f"SELECT key, check_sum, payload FROM answers WHERE key IN ({marks})", some
                ):
                    found[key] = StoredPayload(*columns)
            except sqlite3.DatabaseError as error:
                raise _classified(error, self.path) from None
        return found

    def insert(self, rows: list[JournalRow]) -> int:
        """Append the rows with new keys in one transaction, sync it to the disk, and return the number of these rows.

        Raises:
            DamagedError: a page is broken.
            sqlite3.Error: the rows cannot be written, for example on a full disk; none of them is stored.
        """
        with _damage(self.path):
            before = self._connection.total_changes
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.executemany(_INSERT, rows)
                self._connection.execute("COMMIT")
            except sqlite3.Error:
                if (
                    self._connection.in_transaction
                ):  # SQLite rolls back on its own if the disk is full
                    self._connection.execute("ROLLBACK")
                raise
            return self._connection.total_changes - before

    def remove(self, key: bytes, check_sum: int) -> None:
        """Remove a damaged row, so that its answer can be stored again."""
        with _damage(self.path):
            self._connection.execute(
                "DELETE FROM answers WHERE key = ? AND check_sum = ?", (key, check_sum)
            )

    def rows(self) -> Iterator[JournalRow | None]:
        """Yield all rows in the order of writing, and None for each range of rows that cannot be read."""
        last = 0
        try:
            with _damage(self.path):
                for number, *columns in self._connection.execute(
                    f"SELECT id, {_COLUMNS} FROM answers WHERE id > 0 ORDER BY id"
                ):
                    last = number
                    yield JournalRow(*columns)
        except DamagedError:
            yield from self._rows_one_by_one(last)

    def _rows_one_by_one(self, last: int) -> Iterator[JournalRow | None]:
        """Look each row up by number, which finds the rows after a broken page that a scan cannot reach."""
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
            yield JournalRow(*row)
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
        """Return the faults that SQLite's integrity check finds in the file."""
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
        raise _classified(error, path) from None


def _classified(error: sqlite3.DatabaseError, path: Path) -> Exception:
    """Return a DamagedError if the error means damage, and the error itself otherwise."""
    # The low byte is the primary error code; the other bytes extend it.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return DamagedError(f"{path}: {error}")
    return error


def finished_files(folder: Path) -> list[Path]:
    """Return the files of a folder that are only read, sorted by name."""
    return sorted([*folder.glob("answers-*.sqlite"), *folder.glob("damaged-*.sqlite")])


def open_finished(path: Path) -> AnswerFile:
    """Open a file that no process writes. A file that was set aside may still have a log.

    Raises:
        DamagedError, JournalError, OSError, sqlite3.Error: as for `AnswerFile`.
    """
    has_log = any(Path(f"{path}{companion}").exists() for companion in _COMPANIONS)
    return AnswerFile(path, "read" if has_log else "read finished")


def finish(path: Path, target: Path) -> Path:
    """Rename a closed file of `write alone` to its final name, and delete its empty rollback journal."""
    Path(f"{path}-journal").unlink(missing_ok=True)
    return path.rename(target)


def set_aside(path: Path) -> Path:
    """Rename a broken file and its log, so that the file is only read from now on; return the new path."""
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
    """Delete a file of answers with its log, rollback journal and shared-memory file."""
    path.unlink(missing_ok=True)
    for companion in (*_COMPANIONS, "-shm"):
        Path(f"{path}{companion}").unlink(missing_ok=True)
