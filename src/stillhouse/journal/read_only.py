"""A journal in a folder that this process cannot write: it answers look-ups, and stores nothing."""

import sqlite3
from pathlib import Path

from stillhouse.journal.files import LIVE_NAME, AnswerFile, JournalError, JournalRow, open_finished
from stillhouse.journal.stores import BrokenError, FinishedFiles

GRADED_AGAIN = frozenset({"verdict"})  # purposes whose answers cost no request


class ReadOnlyStore:
    """All files of a folder that this process cannot write. It has the answers that exist, and takes no new one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._finished = FinishedFiles(folder)
        live = folder / LIVE_NAME
        if live.is_file():
            try:
                self._finished.files.insert(0, open_finished(live))
            except sqlite3.OperationalError as error:
                raise JournalError(
                    f"{live}: was left with a log, which cannot be read in a read-only folder ({error}); run "
                    "`stillhouse journal compact` where the folder can be written"
                ) from None

    def find(self, key: bytes) -> bytes | None:
        """Return an answer of any file."""
        return self._finished.find(key)

    def find_many(self, keys: list[bytes]) -> dict[bytes, bytes]:
        """Return the answers of any file."""
        return self._finished.find_many(keys)

    def keep(self, rows: list[JournalRow]) -> None:
        """Leave out verdicts, which are made again by grading; refuse any other row."""
        if any(row.purpose not in GRADED_AGAIN for row in rows):
            raise self._refusal()

    def repair(self, broken: BrokenError) -> None:
        """Do nothing: `find` raises no BrokenError."""

    def acquire(self, key: bytes, purpose: str, model: str) -> bool:
        """Refuse, before an answer is paid that could not be stored."""
        raise self._refusal()

    def release(self, key: bytes) -> None:
        """Do nothing: no key is ever acquired."""

    def files(self) -> list[AnswerFile]:
        """Return all files."""
        return self._finished.files

    def close(self) -> None:
        """Close all files."""
        self._finished.close()

    def _refusal(self) -> JournalError:
        return JournalError(
            f"{self._folder}: the journal is read-only and lacks an answer that this command needs; make the folder "
            "writable, or set STILLHOUSE_JOURNAL to a writable copy"
        )
