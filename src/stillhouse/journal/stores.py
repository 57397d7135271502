"""How answers are stored and keys reserved: one way for a folder of this machine, one for a network folder.

`LocalStore`: all processes write one file at once, and reserve answer by answer. `NetworkStore`: each process writes a
file of its own, which the others read when it is finished, and leases a teacher as a whole.
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
    Row,
    finish,
    finished_files,
    open_finished,
    set_aside,
)
from stillhouse.journal.locks import Leases, Locks, Process, machine_lock

# Asked by one process at a time in a network folder. A judge is shared by all teachers' stages, which rarely show it
# the same answer.
LEASED_PURPOSES = frozenset({"teacher", "student"})


class Store(Protocol):
    """Where answers lie. `find`, `take` and `give` are called in one thread, `keep` and `mend` in another."""

    def find(self, key: bytes) -> bytes | None:
        """Return an answer; raises `BrokenError` where `mend` has to be called before it is known."""
        ...

    def find_many(self, keys: list[bytes]) -> dict[bytes, bytes]:
        """Return the answers that are there, by key; raises `BrokenError` as `find` does."""
        ...

    def keep(self, rows: list[Row]) -> None:
        """Store rows durably."""
        ...

    def mend(self, broken: "BrokenError") -> None:
        """Set what is broken aside."""
        ...

    def take(self, key: bytes, purpose: str, model: str) -> bool:
        """Reserve a key; False while another process has it."""
        ...

    def give(self, key: bytes) -> None:
        """Give a key back."""
        ...

    def files(self) -> list[AnswerFile]:
        """Return all files that `find` reads."""
        ...

    def close(self) -> None:
        """Close all files and give everything back."""
        ...


class BrokenError(Exception):
    """A look-up met a broken page (`key` is None) or a damaged row of the file that is being written."""

    def __init__(self, file: AnswerFile, key: bytes | None, check_sum: int = 0) -> None:
        self.file = file
        self.key = key
        self.check_sum = check_sum


class _Finished:
    """The files of a folder that are only read. What cannot be read there counts as not there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._told: set[Path] = set()
        self.files: list[AnswerFile] = []
        self.refresh()

    def refresh(self) -> None:
        """Open the files that are new."""
        known = {file.path for file in self.files} | self._told
        for path in finished_files(self._folder):
            if path not in known:
                try:
                    self.files.append(open_finished(path))
                except (DamagedError, sqlite3.Error):
                    self._tell(path)

    def find(self, key: bytes) -> bytes | None:
        for file in self.files:
            try:
                found = file.find(key)
            except DamagedError:
                self._tell(file.path)
                continue
            if found is not None:
                answer = found.unpack(key)
                if answer is not None:
                    return answer
                self._tell(file.path)
        return None

    def find_many(self, keys: list[bytes]) -> dict[bytes, bytes]:
        answers: dict[bytes, bytes] = {}
        for file in self.files:
            missing = [key for key in keys if key not in answers]
            if not missing:
                break
            try:
                found = file.find_many(missing)
            except DamagedError:  # what can be read of it still counts
                found = {}
                answers.update((k, a) for k in missing if (a := self.find(k)) is not None)
            for key, row in found.items():
                answer = row.unpack(key)
                if answer is None:
                    self._tell(file.path)
                else:
                    answers[key] = answer
        return answers

    def close(self) -> None:
        for file in self.files:
            file.close()

    def _tell(self, path: Path) -> None:
        if path not in self._told:
            self._told.add(path)
            say(f"{path}: is damaged; answers that cannot be read there are asked for again")


class LocalStore:
    """One file that all processes of this machine write, beside finished ones."""

    def __init__(self, folder: Path, locks: Locks) -> None:
        self._path = folder / LIVE_NAME
        self._locks = locks
        self._open_live()
        self._finished = _Finished(folder)

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

    def keep(self, rows: list[Row]) -> None:
        """Append rows to the shared file; one that is broken is set aside first."""
        try:
            self._writer.insert(rows)
        except DamagedError:
            self._replace_live()
            self._writer.insert(rows)

    def mend(self, broken: BrokenError) -> None:
        """Remove a damaged row, or set the whole file aside."""
        if broken.file is not self._reader:
            return  # the writing thread met it too, and was faster
        if broken.key is None:
            self._replace_live()
            return
        say(f"{self._path}: a damaged answer was removed; it is asked for again")
        try:
            self._writer.remove(broken.key, broken.check_sum)
        except DamagedError:
            self._replace_live()

    def take(self, key: bytes, purpose: str, model: str) -> bool:
        """Lock the key's byte."""
        return self._locks.take(key)

    def give(self, key: bytes) -> None:
        """Unlock the key's byte."""
        self._locks.give(key)

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
        # Read-only, so that closing it cannot tidy up the log of a file that has taken this one's place.
        self._reader = AnswerFile(self._path, "read")

    def _replace_live(self) -> None:
        self._writer.close()
        self._set_aside()
        self._open_live()
        self._finished.refresh()

    def _set_aside(self) -> None:
        if not self._locks.enter_alone():
            raise JournalError(
                f"{self._path}: is damaged, and other processes have it open; end them, then run the same command again"
            )
        try:
            target = set_aside(self._path)
        finally:
            self._locks.share()
        say(
            f"{self._path}: is damaged and was set aside as {target.name}; "
            "answers that cannot be read there are asked for again"
        )


class NetworkStore:
    """A file of this process's own, beside the finished ones of others. No locks but lease files."""

    def __init__(self, folder: Path) -> None:
        process = Process.here()
        self._folder = folder
        self._leases = Leases(folder, process)
        self._path = folder / f"answers-{process}-{time.time_ns()}{WRITING_SUFFIX}"
        self._own: AnswerFile | None = None
        # Reading while another thread writes needs shared memory, which a network folder may not have: so this
        # process reads its own answers from a copy on a local disk.
        self._local = tempfile.TemporaryDirectory(prefix="stillhouse-journal-")
        self._copy_writer = AnswerFile(Path(self._local.name) / LIVE_NAME, "scratch")
        self._copy = AnswerFile(Path(self._local.name) / LIVE_NAME, "read")
        adopt(folder)
        self._finished = _Finished(folder)

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

    def keep(self, rows: list[Row]) -> None:
        """Append rows to this process's own file, then to the copy that it reads."""
        try:
            self._open_own().insert(rows)
        except DamagedError:
            self._open_own().close()
            self._own = None
            say(f"{self._path}: is damaged and was set aside as {set_aside(self._path).name}")
            self._open_own().insert(rows)
        self._copy_writer.insert(rows)

    def mend(self, broken: BrokenError) -> None:
        """Nothing: `find` reads no file that is being written."""

    def take(self, key: bytes, purpose: str, model: str) -> bool:
        """Lease the model."""
        if purpose in LEASED_PURPOSES and self._leases.take(purpose, model):
            self._finished.refresh()  # of the process that had the lease before
        return True

    def give(self, key: bytes) -> None:
        """Nothing: the lease lasts until the end."""

    def files(self) -> list[AnswerFile]:
        """Return this process's answers and the finished files."""
        return [self._copy, *self._finished.files]

    def close(self) -> None:
        """Finish this process's own file and give its leases back."""
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
    """Finish the files of this machine's processes that ended without doing so; return those that others still write.

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
                AnswerFile(path, "write alone").close()  # rolls an unfinished commit back
            except DamagedError:
                set_aside(path)
            else:
                finish(path, path.with_suffix(".sqlite"))
    return unfinished


def writer_of(path: Path) -> Process | None:
    """Return the process that a file's name says is writing it."""
    return Process.named(path.stem.removeprefix("answers-").rpartition("-")[0])


def say(line: str) -> None:
    """Tell the user what cannot wait for a report."""
    print(line, file=sys.stderr, flush=True)
