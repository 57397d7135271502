"""Stores answers and reserves keys, in a local folder (`LocalStore`) or in a network folder (`NetworkStore`).

With `LocalStore` all processes write one file at the same time, and each answer is reserved separately. With
`NetworkStore` each process writes its own file, which other processes read when it is finished, and leases a whole
teacher.
"""

import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from typing import Protocol

from stillhouse.journal.files import (
    LIVE_NAME,
    WRITING_SUFFIX,
    AnswerFile,
    DamagedError,
    JournalError,
    JournalRow,
    finish,
    finished_files,
    open_finished,
    set_aside,
)
from stillhouse.journal.locks import Leases, Locks, Process, machine_lock

# In a network folder only one process at a time asks such a model. A judge is not leased: the stages of all teachers
# use it at the same time, and they rarely ask it about the same answer.
LEASED_PURPOSES = frozenset({"teacher", "student"})


class Store(Protocol):
    """A store of answers. One thread calls `find`, `acquire` and `release`; another calls `keep` and `repair`."""

    def find(self, key: bytes) -> bytes | None:
        """Return an answer or None; raise `BrokenError` if the caller must call `repair` first."""
        ...

    def find_many(self, keys: list[bytes]) -> dict[bytes, bytes]:
        """Return the answers that exist, by key; raise `BrokenError` as `find` does."""
        ...

    def keep(self, rows: list[JournalRow]) -> None:
        """Store rows durably."""
        ...

    def repair(self, broken: "BrokenError") -> None:
        """Remove a damaged row, or set a broken file aside."""
        ...

    def acquire(self, key: bytes, purpose: str, model: str) -> bool:
        """Reserve a key; return False while another process has it."""
        ...

    def release(self, key: bytes) -> None:
        """Release a key."""
        ...

    def files(self) -> list[AnswerFile]:
        """Return all files that `find` reads."""
        ...

    def close(self) -> None:
        """Close all files and release all keys and leases."""
        ...


class BrokenError(Exception):
    """A look-up found a broken page (`key` is None) or a damaged row in the file that is being written."""

    def __init__(self, file: AnswerFile, key: bytes | None, check_sum: int = 0) -> None:
        self.file = file
        self.key = key
        self.check_sum = check_sum


class FinishedFiles:
    """The files of a folder that are only read. An answer that cannot be read counts as absent."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._reported: set[Path] = set()
        self.files: list[AnswerFile] = []
        self.refresh()

    def refresh(self) -> None:
        """Open files that appeared since the last call."""
        known = {file.path for file in self.files} | self._reported
        for path in finished_files(self._folder):
            if path not in known:
                try:
                    self.files.append(open_finished(path))
                except (DamagedError, sqlite3.Error):
                    self._report(path)

    def find(self, key: bytes) -> bytes | None:
        """Return an answer of any file."""
        for file in self.files:
            try:
                found = file.find(key)
            except DamagedError:
                self._report(file.path)
                continue
            if found is not None:
                answer = found.unpack(key)
                if answer is not None:
                    return answer
                self._report(file.path)
        return None

    def find_many(self, keys: list[bytes]) -> dict[bytes, bytes]:
        """Return the answers of any file, by key."""
        answers: dict[bytes, bytes] = {}
        for file in self.files:
            missing = [key for key in keys if key not in answers]
            if not missing:
                break
            try:
                found = file.find_many(missing)
            except DamagedError:  # the readable answers are still used
                found = {}
                answers.update((k, a) for k in missing if (a := self.find(k)) is not None)
            for key, row in found.items():
                answer = row.unpack(key)
                if answer is None:
                    self._report(file.path)
                else:
                    answers[key] = answer
        return answers

    def close(self) -> None:
        """Close all files."""
        for file in self.files:
            file.close()

    def _report(self, path: Path) -> None:
        if path not in self._reported:
            self._reported.add(path)
            warn(f"{path}: is damaged; answers that cannot be read there are asked for again")


class LocalStore:
    """One file that all processes of this machine write, and the finished files."""

    def __init__(self, folder: Path, locks: Locks) -> None:
        self._path = folder / LIVE_NAME
        self._locks = locks
        self._open_live()
        self._finished = FinishedFiles(folder)

    def find(self, key: bytes) -> bytes | None:
        """Return an answer from the shared file, or else from a finished one."""
        try:
            found = self._reader.find(key)
        except DamagedError:
            raise BrokenError(self._reader, None) from None
        if found is None:
            return self._finished.find(key)
        answer = found.unpack(key)
        if answer is None:
            raise BrokenError(self._reader, key, found.check_sum)
        return answer

    def find_many(self, keys: list[bytes]) -> dict[bytes, bytes]:
        """Return the answers that are in the shared file or in a finished one."""
        try:
            found = self._reader.find_many(keys)
        except DamagedError:
            raise BrokenError(self._reader, None) from None
        answers: dict[bytes, bytes] = {}
        for key, row in found.items():
            answer = row.unpack(key)
            if answer is None:
                raise BrokenError(self._reader, key, row.check_sum)
            answers[key] = answer
        missing = [key for key in keys if key not in answers]
        return answers | self._finished.find_many(missing)

    def keep(self, rows: list[JournalRow]) -> None:
        """Append rows to the shared file. A broken file is first set aside."""
        try:
            self._writer.insert(rows)
        except DamagedError:
            self._replace_live()
            self._writer.insert(rows)

    def repair(self, broken: BrokenError) -> None:
        """Remove a damaged row, or set the whole file aside."""
        if broken.file is not self._reader:
            return  # the writer thread has already set it aside
        if broken.key is None:
            self._replace_live()
            return
        warn(f"{self._path}: a damaged answer was removed; it is asked for again")
        try:
            self._writer.remove(broken.key, broken.check_sum)
        except DamagedError:
            self._replace_live()

    def acquire(self, key: bytes, purpose: str, model: str) -> bool:
        """Lock the key's byte."""
        return self._locks.acquire(key)

    def release(self, key: bytes) -> None:
        """Unlock the key's byte."""
        self._locks.release(key)

    def files(self) -> list[AnswerFile]:
        """Return the shared file and the finished ones."""
        return [self._reader, *self._finished.files]

    def close(self) -> None:
        """Close all files."""
        self._finished.close()
        self._reader.close()
        self._writer.close()

    def _open_live(self) -> None:
        try:
            self._writer = AnswerFile(self._path, "write")
        except DamagedError:
            self._set_aside()
            self._writer = AnswerFile(self._path, "write")
        # Read-only: closing it must not delete the log of a file that has replaced this one.
        self._reader = AnswerFile(self._path, "read")

    def _replace_live(self) -> None:
        self._writer.close()
        self._set_aside()
        self._open_live()
        self._finished.refresh()

    def _set_aside(self) -> None:
        if not self._locks.enter_alone():
            raise JournalError(
                f"{self._path}: is damaged, and other processes have it open; stop them, then run the command again"
            )
        try:
            target = set_aside(self._path)
        finally:
            self._locks.share()
        warn(
            f"{self._path}: is damaged and was set aside as {target.name}; "
            "answers that cannot be read there are asked for again"
        )


class NetworkStore:
    """A file that only this process writes, and the finished files of others. It uses lease files instead of locks."""

    def __init__(self, folder: Path) -> None:
        process = Process.here()
        self._folder = folder
        self._leases = Leases(folder, process)
        self._path = folder / f"answers-{process}-{time.time_ns()}{WRITING_SUFFIX}"
        self._own: AnswerFile | None = None
        # A read while another thread writes needs shared memory, which a network folder may not have. This process
        # therefore reads its own answers from a copy on a local disk.
        self._local = tempfile.TemporaryDirectory(prefix="stillhouse-journal-")
        self._copy_writer = AnswerFile(Path(self._local.name) / LIVE_NAME, "scratch")
        self._copy = AnswerFile(Path(self._local.name) / LIVE_NAME, "read")
        adopt(folder)
        self._finished = FinishedFiles(folder)

    def find(self, key: bytes) -> bytes | None:
        """Return an answer of this process, or else from a finished file."""
        found = self._copy.find(key)
        return self._finished.find(key) if found is None else found.unpack(key)

    def find_many(self, keys: list[bytes]) -> dict[bytes, bytes]:
        """Return the answers of this process and of finished files."""
        answers = {
            key: answer
            for key, row in self._copy.find_many(keys).items()
            if (answer := row.unpack(key)) is not None
        }
        return answers | self._finished.find_many([key for key in keys if key not in answers])

    def keep(self, rows: list[JournalRow]) -> None:
        """Append rows to the file of this process, then to its local copy."""
        try:
            self._open_own().insert(rows)
        except DamagedError:
            self._open_own().close()
            self._own = None
            warn(f"{self._path}: is damaged and was set aside as {set_aside(self._path).name}")
            self._open_own().insert(rows)
        self._copy_writer.insert(rows)

    def repair(self, broken: BrokenError) -> None:
        """Do nothing: `find` does not read a file that is being written."""

    def acquire(self, key: bytes, purpose: str, model: str) -> bool:
        """Lease the model."""
        if purpose in LEASED_PURPOSES and self._leases.acquire(purpose, model):
            self._finished.refresh()  # the process that had the lease before may have finished a file
        return True

    def release(self, key: bytes) -> None:
        """Do nothing: the lease lasts until `close`."""

    def files(self) -> list[AnswerFile]:
        """Return this process's answers and the finished files."""
        return [self._copy, *self._finished.files]

    def close(self) -> None:
        """Finish the file of this process and release its leases."""
        self._finished.close()
        self._copy.close()
        self._copy_writer.close()
        self._local.cleanup()
        if self._own is not None:
            self._own.close()
            finish(self._path, self._path.with_suffix(".sqlite"))
        self._leases.close()

    def _open_own(self) -> AnswerFile:
        if self._own is None:
            self._own = AnswerFile(self._path, "write alone")
        return self._own


def adopt(folder: Path) -> list[Path]:
    """Finish the files that ended processes of this machine left unfinished; return those that are still being written.

    Raises:
        OSError, sqlite3.Error: a file cannot be read or renamed.
    """
    unfinished = []
    with machine_lock(folder):
        for path in sorted(folder.glob(f"answers-*{WRITING_SUFFIX}")):
            writer = writer_of(path)
            if writer is None or not writer.has_ended:
                unfinished.append(path)
                continue
            try:
                AnswerFile(
                    path, "write alone"
                ).close()  # opening it rolls back an incomplete commit
            except DamagedError:
                set_aside(path)
            else:
                finish(path, path.with_suffix(".sqlite"))
    return unfinished


def writer_of(path: Path) -> Process | None:
    """Return the process that writes a file, from the file's name."""
    return Process.named(path.stem.removeprefix("answers-").rpartition("-")[0])


def warn(line: str) -> None:
    """Print a warning on stderr."""
    print(line, file=sys.stderr, flush=True)
