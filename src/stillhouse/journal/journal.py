"""Stores every answer of a model outside the outs of the pipeline.

DVC deletes a stage's outs before the stage runs again, so each answer is first stored in the journal. The journal is
only a cache: its loss costs the price of the answers, but no result changes. It is a folder of append-only SQLite files
(a stored answer is never overwritten). Several processes may use it, in a network folder too. It is durable: `put`
returns after the answer is synced to the disk. One writer thread commits the answers of many tasks together, so that
there is one sync per group of answers and not one per answer.

A key is the sha256 of everything that determines an answer: engine fingerprint, rendered prompt, sampling, seed. A task
claims a key before it requests the answer, so that no other task or process requests the same answer meanwhile.

Verdicts are stored in the same way, under the purpose `verdict` (verify/stored.py).
"""

import asyncio
import contextlib
import errno
import hashlib
import json
import os
import queue
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from stillhouse.journal.files import DamagedError, JournalError, JournalRow
from stillhouse.journal.locks import Locks, is_network_folder
from stillhouse.journal.read_only import ReadOnlyStore
from stillhouse.journal.stores import (
    BrokenError,
    LocalStore,
    NetworkStore,
    Store,
)
from stillhouse.kept import kept_folder

__all__ = ["FOLDER_VARIABLE", "Journal", "JournalError", "journal_folder", "journal_key"]

FOLDER_VARIABLE = "STILLHOUSE_JOURNAL"
GROUP_LIMIT = 512  # answers per commit; more would only add latency
READ_ONLY_ERRORS = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
CLAIM_SECONDS = 0.1  # interval of the tries to claim a key that another process has claimed


class _Write(NamedTuple):
    answer: tuple[bytes, str, str, bytes]
    loop: asyncio.AbstractEventLoop
    done: "asyncio.Future[None]"


class _Order(NamedTuple):
    """A function that the writer thread runs between two commits."""

    work: Callable[[], None]
    done: "Future[None]"


def journal_folder() -> Path:
    """Return the journal's folder: `STILLHOUSE_JOURNAL`, or `.stillhouse/journal` of the project."""
    return Path(os.environ.get(FOLDER_VARIABLE) or kept_folder() / "journal")


def journal_key(facts: dict[str, Any]) -> bytes:
    """Return the key of a request: sha256 over its facts as canonical JSON."""
    canonical = json.dumps(facts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).digest()


class Journal:
    """An open journal; a context manager. Only one thread may use it, and a process may open a folder only once."""

    _open_folders: ClassVar[set[Path]] = set()

    def __init__(self, folder: Path) -> None:
        """Open or create the journal in a folder. One that cannot be written is opened for look-ups alone.

        Raises:
            JournalError: the journal cannot be opened, or this process has it open already.
        """
        self.folder = folder
        self._resolved = folder.resolve()
        if self._resolved in self._open_folders:  # closing one would release the locks of the other
            raise JournalError(
                f"{folder}: this process has the journal open already; close it first"
            )
        try:
            self._locks = _locks(folder)
            try:
                self._store = self._open_store()
            except BaseException:
                self._close_locks()
                raise
        except (OSError, sqlite3.Error) as error:
            raise JournalError(
                f"{folder}: cannot open the journal: {error}; check the disk and {FOLDER_VARIABLE}"
            ) from None
        self._open_folders.add(self._resolved)
        self._claimed: dict[bytes, asyncio.Event] = {}
        self._inbox: queue.SimpleQueue[_Write | _Order | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="journal", daemon=True)
        self._writer.start()

    @classmethod
    def open(cls, folder: Path | None = None) -> "Journal":
        """Open the journal in a folder, by default the project's."""
        return cls(folder or journal_folder())

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, key: bytes) -> bytes | None:
        """Return the answer stored under a key, or None.

        A damaged answer is set aside and reported on stderr, and None is returned, so that the caller requests it
        again.

        Raises:
            JournalError: the journal cannot be read.
        """
        try:
            try:
                return self._store.find(key)
            except BrokenError as broken:
                self._in_writer(partial(self._store.repair, broken))
                return self._store.find(key)
        except (OSError, sqlite3.Error, BrokenError) as error:
            raise JournalError(
                f"{self.folder}: cannot read the journal: {error}; run `stillhouse journal verify`"
            ) from None

    def get_many(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """Return the answers stored under many keys, by key; this is much faster than many calls of `get`.

        Raises:
            JournalError: the journal cannot be read.
        """
        wanted = list(dict.fromkeys(keys))
        try:
            return self._store.find_many(wanted)
        except (OSError, sqlite3.Error, BrokenError):
            # `get` sets damaged answers aside, and raises an error if the journal cannot be read.
            found = ((key, self.get(key)) for key in wanted)
            return {key: answer for key, answer in found if answer is not None}

    async def put(self, key: bytes, answer: bytes, *, purpose: str, model: str) -> None:
        """Store an answer, and return when it is synced to the disk. An answer that exists already stays.

        Args:
            key: The key of the request, from `journal_key`.
            answer: The answer.
            purpose: The kind of answer, such as `teacher`, `judge` or `verdict`.
            model: The id of the model that gave the answer.

        Raises:
            JournalError: the answer could not be written, for example on a full disk.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._inbox.put(_Write((key, purpose, model, answer), loop, done))
        await done

    @contextlib.asynccontextmanager
    async def claim(self, key: bytes, *, purpose: str, model: str) -> AsyncIterator[None]:
        """Reserve a key while its answer is requested. Inside, call `get` again: the answer may exist by now.

        The call waits while another task, or another process of this machine, has claimed the key. A claim ends with
        its process.

        Args:
            key: The key of the request.
            purpose: The kind of answer.
            model: The id of the model.

        Raises:
            JournalError: the journal is read-only; or another process asks this model in a network folder, where single
                answers cannot be locked.
        """
        while (other := self._claimed.get(key)) is not None:
            await other.wait()
        mine = self._claimed[key] = asyncio.Event()
        try:
            while not self._store.acquire(key, purpose, model):
                await asyncio.sleep(CLAIM_SECONDS)
            try:
                yield
            finally:
                self._store.release(key)
        finally:
            del self._claimed[key]
            mine.set()

    def stats(self) -> dict[str, Any]:
        """Return answers and compressed bytes, in total and by purpose and model, and the bytes of the files.

        Raises:
            JournalError: a file is damaged.
        """
        groups: dict[tuple[str, str], dict[str, Any]] = {}
        files = self._store.files()
        for file in files:
            try:
                found = file.groups()
            except DamagedError as error:
                raise JournalError(f"{error}; run `stillhouse journal verify`") from None
            for group in found:
                known = groups.setdefault(
                    (group["purpose"], group["model"]), {**group, "answers": 0, "bytes": 0}
                )
                known["answers"] += group["answers"]
                known["bytes"] += group["bytes"]
        return {
            "path": str(self.folder),
            "files": len(files),
            "answers": sum(g["answers"] for g in groups.values()),
            "bytes": sum(g["bytes"] for g in groups.values()),
            "file_bytes": sum(
                path.stat().st_size for path in self.folder.iterdir() if path.is_file()
            ),
            "groups": [groups[name] for name in sorted(groups)],
        }

    def close(self) -> None:
        """Complete the pending writes and close all files."""
        self._inbox.put(None)
        self._writer.join()
        try:
            self._store.close()
        finally:
            self._close_locks()
            self._open_folders.discard(self._resolved)

    def _close_locks(self) -> None:
        if self._locks is not None:
            self._locks.close()

    def _open_store(self) -> Store:
        if self._locks is None:
            return ReadOnlyStore(self.folder)
        if is_network_folder(self.folder) or not self._locks.enter():
            return NetworkStore(self.folder)
        return LocalStore(self.folder, self._locks)

    def _in_writer(self, work: Callable[[], None]) -> None:
        done: Future[None] = Future()
        self._inbox.put(_Order(work, done))
        done.result()

    def _write(self) -> None:
        item: _Write | _Order | None
        group: list[_Write] = []
        while (item := self._inbox.get()) is not None:
            if isinstance(item, _Write):
                group.append(item)
                if len(group) < GROUP_LIMIT and not self._inbox.empty():
                    continue
            if group:
                self._commit(group)
                group = []
            if isinstance(item, _Order):
                try:
                    item.work()
                    item.done.set_result(None)
                except Exception as error:
                    item.done.set_exception(error)
        if group:
            self._commit(group)

    def _commit(self, group: list[_Write]) -> None:
        failure: JournalError | None = None
        try:
            self._store.keep([JournalRow.pack(*write.answer) for write in group])
        except JournalError as error:
            failure = error
        except (OSError, sqlite3.Error, DamagedError) as error:
            failure = JournalError(
                f"{self.folder}: cannot store {len(group)} answers: {error}; free disk space, then run the same "
                "command again; all answers that were stored before are kept"
            )
        loops = {write.loop for write in group}
        for loop in loops:
            waiting = [write.done for write in group if write.loop is loop]
            # A failed stage has closed its loop, so that no task waits for the result. The answer is stored anyway.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_resolve, waiting, failure)


def _locks(folder: Path) -> Locks | None:
    """Return the locks of a folder, which is created if there is none; None if it exists and cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return Locks(folder)
    except OSError as error:
        if error.errno in READ_ONLY_ERRORS and folder.is_dir():
            return None
        raise


def _resolve(waiting: "list[asyncio.Future[None]]", failure: JournalError | None) -> None:
    for done in waiting:
        if done.cancelled():
            continue
        if failure is None:
            done.set_result(None)
        else:
            done.set_exception(failure)
