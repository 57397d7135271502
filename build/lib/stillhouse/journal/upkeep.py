"""Maintains a journal: checks every answer, rebuilds the files as one, removes verdicts, exports and imports answers.

The exchange format is JSON Lines with one answer per line: `key` (64 hex digits), `purpose`, `model`, `answer` (text).
"""

import asyncio
import json
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from stillhouse.journal.files import (
    LIVE_NAME,
    AnswerFile,
    DamagedError,
    JournalError,
    JournalRow,
    delete,
    finish,
    finished_files,
    open_finished,
)
from stillhouse.journal.journal import Journal
from stillhouse.journal.locks import (
    LEASE_SUFFIX,
    Locks,
    Process,
    is_network_folder,
    lease_holder,
)
from stillhouse.journal.stores import adopt, writer_of

BATCH = 1000  # rows or lines per batch
_COLUMNS = ("key", "purpose", "model", "answer")
_PARTIAL = "compact.partial"


class FileReport(NamedTuple):
    """The result of `verify` for one file: intact answers, damaged answers, and faults of the file's structure."""

    path: Path
    answers: int
    damaged: int
    faults: list[str]


class Compacted(NamedTuple):
    """The result of `compact`: files and bytes before, answers and bytes after, and the rows that were left out.

    `damaged` counts rows that cannot be read. `dropped` counts rows that `wanted` refused, by the row's `model`.
    """

    files: int
    bytes_before: int
    answers: int
    bytes_after: int
    damaged: int
    dropped: Counter[str]


def verify(folder: Path) -> Iterator[FileReport]:
    """Read every answer of every file without any change, and yield a report per file.

    Raises:
        JournalError: there is no journal, or a file cannot be opened.
    """
    for path in _all_files(folder):
        try:
            file = _open(path)
        except DamagedError as error:
            yield FileReport(path, 0, 0, [str(error)])
            continue
        whole = damaged = 0
        with closing(file):
            for row in file.rows():
                if row is None or row.unpack() is None:
                    damaged += 1
                else:
                    whole += 1
            faults = file.faults()
        yield FileReport(path, whole, damaged, faults)


def _all_wanted(row: JournalRow) -> bool:
    return True


def compact(folder: Path, wanted: Callable[[JournalRow], bool] = _all_wanted) -> Compacted:
    """Write all readable rows that `wanted` accepts into one new file, and delete the old files.

    No other process may use the journal. This is the only function that removes intact rows. The new file is complete
    and synced to the disk before an old file is changed, so that a crash or a full disk loses nothing.

    Raises:
        JournalError: there is no journal, another process uses it, or the new file cannot be written.
    """
    _all_files(folder)
    locks = Locks(folder)
    try:
        shared = is_network_folder(folder) or not locks.enter()
        if shared:
            _refuse_users(folder)
        elif not locks.enter_alone():
            raise JournalError(
                f"{folder}: other processes have the journal open; run this when they have ended"
            )
        return _rebuild(folder, shared, wanted)
    except (OSError, sqlite3.Error) as error:
        raise JournalError(
            f"{folder}: cannot rebuild the journal: {error}; nothing was lost: free disk space, then try again"
        ) from None
    finally:
        locks.close()


def export_lines(folder: Path) -> Iterator[str]:
    """Yield every readable answer once, as a line of JSON.

    Raises:
        JournalError: there is no journal.
    """
    opened: list[AnswerFile] = []
    try:
        for path in _all_files(folder):
            try:
                file = _open(path)
            except DamagedError:
                continue
            for row in file.rows():
                answer = None if row is None else row.unpack()
                if row is None or answer is None or _known(opened, row.key):
                    continue
                # Bytes that are not UTF-8 are escaped, so that an import restores the same bytes.
                text = answer.decode("utf-8", "surrogateescape")
                line = dict(
                    zip(_COLUMNS, (row.key.hex(), row.purpose, row.model, text), strict=True)
                )
                yield json.dumps(line) + "\n"
            opened.append(file)
    finally:
        for file in opened:
            file.close()


def import_lines(journal: Journal, lines: Iterable[str], source: str) -> tuple[int, int]:
    """Add exported answers; return how many were new and how many existed already (these stay as they are).

    Args:
        journal: The open journal.
        lines: The exported lines.
        source: The name of their origin, for error messages.

    Raises:
        JournalError: a line is not an exported answer; the answers before it are stored.
    """
    new = known = 0
    batch: list[tuple[bytes, str, str, bytes]] = []

    def keep() -> None:
        nonlocal new
        asyncio.run(_put_all(journal, batch))
        new += len(batch)
        batch.clear()

    waiting: set[bytes] = set()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = _parse(line)
        except ValueError as error:
            keep()
            raise JournalError(
                f"{source}: line {number}: {error}; {new} answers before it were added"
            ) from None
        if row[0] in waiting or journal.get(row[0]) is not None:
            known += 1
            continue
        batch.append(row)
        waiting.add(row[0])
        if len(batch) == BATCH:
            keep()
            waiting.clear()
    keep()
    return new, known


def _parse(line: str) -> tuple[bytes, str, str, bytes]:
    row: Any = json.loads(line)
    if not isinstance(row, dict) or any(not isinstance(row.get(name), str) for name in _COLUMNS):
        raise ValueError(f"needs the keys {', '.join(_COLUMNS)}, all text")
    key = bytes.fromhex(row["key"])
    if len(key) != 32:
        raise ValueError("`key` must have 64 hex digits")
    return key, row["purpose"], row["model"], row["answer"].encode("utf-8", "surrogateescape")


async def _put_all(journal: Journal, batch: list[tuple[bytes, str, str, bytes]]) -> None:
    puts = [
        journal.put(key, answer, purpose=purpose, model=model)
        for key, purpose, model, answer in batch
    ]
    await asyncio.gather(*puts)


def _all_files(folder: Path) -> list[Path]:
    """Return all files that can be read, in the order of a look-up."""
    found = [path for path in (folder / LIVE_NAME,) if path.is_file()] + finished_files(folder)
    if not found:
        raise JournalError(
            f"{folder}: no journal here; run the pipeline, or set STILLHOUSE_JOURNAL to the journal's folder"
        )
    return found


def _open(path: Path) -> AnswerFile:
    try:
        return AnswerFile(path, "read") if path.name == LIVE_NAME else open_finished(path)
    except (OSError, sqlite3.Error) as error:
        raise JournalError(f"{path}: cannot be read: {error}") from None


def _known(files: list[AnswerFile], key: bytes) -> bool:
    for file in files:
        try:
            if file.find(key) is not None:
                return True
        except DamagedError:
            continue
    return False


def _refuse_users(folder: Path) -> None:
    writers = [writer_of(path) for path in adopt(folder)]
    holders = [lease_holder(path) for path in folder.glob(f"*{LEASE_SUFFIX}")]
    users: list[Process] = [user for user in (*writers, *holders) if user and not user.has_ended]
    if users:
        raise JournalError(
            f"{folder}: process {users[0].pid} on {users[0].host} uses the journal; run this when that has ended"
        )


def _rebuild(folder: Path, shared: bool, wanted: Callable[[JournalRow], bool]) -> Compacted:
    old = _all_files(folder)
    bytes_before = sum(path.stat().st_size for path in old)
    partial = folder / _PARTIAL
    delete(partial)
    answers = damaged = 0
    dropped: dict[bytes, str] = {}
    try:
        with closing(AnswerFile(partial, "write alone")) as new:
            for path in old:
                try:
                    file = _open(path)
                except DamagedError:
                    damaged += 1
                    continue
                with closing(file):
                    rows: list[JournalRow] = []
                    for row in file.rows():
                        if row is None or row.unpack() is None:
                            damaged += 1
                            continue
                        if not wanted(row):
                            dropped[row.key] = row.model
                            continue
                        rows.append(row)
                        if len(rows) == BATCH:
                            answers += new.insert(rows)
                            rows.clear()
                    answers += new.insert(rows)
    except BaseException:
        delete(partial)
        raise
    # First under a name that every reader opens, and only then in place of the file that processes write.
    finished = finish(partial, folder / f"answers-{Process.here()}-{time.time_ns()}.sqlite")
    for path in old:
        delete(path)
    if not shared:
        finished = finished.rename(folder / LIVE_NAME)
    return Compacted(
        len(old),
        bytes_before,
        answers,
        finished.stat().st_size,
        damaged,
        Counter(dropped.values()),
    )
