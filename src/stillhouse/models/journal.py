"""The journal: every answer a model ever gave us, kept outside the pipeline's outs.

DVC wipes a stage's outs before it runs again, so an answer is kept here first. The journal is only a cache: deleting it
loses money, never a result. It is a SQLite file in WAL mode, append-only (a key is never overwritten), safe for several
processes, and durable: `put` returns after the answer is synced to disk. Writes of many tasks are committed together by
one writer thread, so durability costs one sync per group and not one per answer.

A key is the sha256 of everything that decides an answer: engine fingerprint, rendered prompt, sampling, seed.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import queue
import sqlite3
import threading
import zlib
from pathlib import Path
from typing import Any, NamedTuple

from stillhouse.errors import StillhouseError

FOLDER_VARIABLE = "STILLHOUSE_JOURNAL"
GROUP_LIMIT = 512  # answers per commit; more would only add latency
BUSY_SECONDS = 60.0  # how long to wait for another process that writes

_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    key BLOB PRIMARY KEY,
    purpose TEXT NOT NULL,
    model TEXT NOT NULL,
    payload BLOB NOT NULL,
    check_sum INTEGER NOT NULL
) WITHOUT ROWID
"""
# First answer wins: two processes may ask for the same thing, and a row once used must stay what it was.
_INSERT = "INSERT INTO answers VALUES (?, ?, ?, ?, ?) ON CONFLICT(key) DO NOTHING"


class JournalError(StillhouseError):
    """The journal cannot be opened or written: wrong folder, full disk, corrupt file."""


class _Write(NamedTuple):
    row: tuple[bytes, str, str, bytes, int]
    loop: asyncio.AbstractEventLoop
    done: "asyncio.Future[None]"


def journal_folder() -> Path:
    """Return the journal's folder: `STILLHOUSE_JOURNAL`, or `.stillhouse/journal` of the project."""
    return Path(os.environ.get(FOLDER_VARIABLE, ".stillhouse/journal"))


def journal_key(facts: dict[str, Any]) -> bytes:
    """Return the key of a request: sha256 over its facts as canonical JSON."""
    canonical = json.dumps(facts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).digest()


class Journal:
    """An open journal. Use as a context manager; one per process and thread that reads."""

    def __init__(self, path: Path) -> None:
        """Open or create the journal file.

        Raises:
            JournalError: it cannot be opened or is not a journal.
        """
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._reader = self._connect()
            self._reader.execute(_SCHEMA)
            self._connection = self._connect()  # the writer thread's
        except (OSError, sqlite3.Error) as error:
            raise JournalError(
                f"{path}: cannot open the journal: {error}; check the disk and {FOLDER_VARIABLE}, "
                "or move the file away "
                "(its answers are then asked for again)"
            ) from None
        self._writes: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write_groups, name="journal", daemon=True)
        self._writer.start()

    @classmethod
    def open(cls, folder: Path | None = None) -> "Journal":
        """Open the journal in a folder, by default the project's."""
        return cls((folder or journal_folder()) / "journal.sqlite")

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, key: bytes) -> bytes | None:
        """Return the answer kept under a key, or None. A damaged entry is removed, so that it is asked for again.

        Raises:
            JournalError: the file itself is damaged.
        """
        try:
            row = self._reader.execute(
                "SELECT payload, check_sum FROM answers WHERE key = ?", (key,)
            ).fetchone()
            if row is None:
                return None
            payload, check_sum = row
            if zlib.crc32(payload) != check_sum:
                self._reader.execute(
                    "DELETE FROM answers WHERE key = ? AND check_sum = ?", (key, check_sum)
                )
                return None
        except sqlite3.Error as error:
            raise JournalError(
                f"{self.path}: cannot read the journal: {error}; move the file away "
                "(its answers are then asked for again)"
            ) from None
        return zlib.decompress(payload)

    async def put(self, key: bytes, answer: bytes, *, purpose: str, model: str) -> None:
        """Keep an answer; returns once it is safe on disk. An answer already there stays.

        Raises:
            JournalError: it could not be written (a full disk).
        """
        payload = zlib.compress(answer)
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._writes.put(_Write((key, purpose, model, payload, zlib.crc32(payload)), loop, done))
        await done

    def stats(self) -> dict[str, Any]:
        """Return entries and compressed bytes in all, and by purpose and model."""
        rows = self._reader.execute(
            "SELECT purpose, model, COUNT(*), SUM(LENGTH(payload)) FROM answers GROUP BY 1, 2 ORDER BY 1, 2"
        ).fetchall()
        groups = [{"purpose": p, "model": m, "answers": n, "bytes": b} for p, m, n, b in rows]
        return {
            "path": str(self.path),
            "answers": sum(g["answers"] for g in groups),
            "bytes": sum(g["bytes"] for g in groups),
            "file_bytes": self.path.stat().st_size,
            "groups": groups,
        }

    def close(self) -> None:
        """Finish the pending writes and close the file."""
        self._writes.put(None)
        self._writer.join()
        self._reader.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        return connection

    def _write_groups(self) -> None:
        finished = False
        while not finished:
            group: list[_Write] = []
            item = self._writes.get()
            while True:
                if item is None:
                    finished = True
                    break
                group.append(item)
                if len(group) == GROUP_LIMIT or self._writes.empty():
                    break
                item = self._writes.get()
            if group:
                self._commit(group)
        self._connection.close()

    def _commit(self, group: list[_Write]) -> None:
        connection = self._connection
        failure: JournalError | None = None
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(_INSERT, [write.row for write in group])
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            failure = JournalError(
                f"{self.path}: cannot keep {len(group)} answers: {error}; free disk space, then go on"
            )
        for write in group:
            # A stage that failed has closed its loop: nobody waits any more, but the answer was worth keeping.
            with contextlib.suppress(RuntimeError):
                write.loop.call_soon_threadsafe(_settle, write.done, failure)


def _settle(done: "asyncio.Future[None]", failure: JournalError | None) -> None:
    if done.cancelled():
        return
    if failure is None:
        done.set_result(None)
    else:
        done.set_exception(failure)
