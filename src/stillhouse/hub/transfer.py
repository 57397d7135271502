"""Reports the progress of a transfer of many files: a line with files, bytes and time at most every ten seconds."""

import time
from collections.abc import Callable

SECONDS_BETWEEN_LINES = 10.0


class TransferProgress:
    """Counts transferred files and reports their number and bytes.

    Args:
        what: The beginning of each line.
        files: All files with their bytes.
        report: Called with each line.
    """

    def __init__(self, what: str, files: dict[str, int], report: Callable[[str], None]) -> None:
        self._what, self._files, self._report = what, files, report
        self._done: set[str] = set()
        self._started = time.monotonic()
        self._last_line = self._started

    def done(self, *names: str) -> None:
        """Count files as done. The end of the transfer is always reported."""
        self._done.update(names)
        now = time.monotonic()
        if len(self._done) < len(self._files) and now - self._last_line < SECONDS_BETWEEN_LINES:
            return
        self._last_line = now
        size = sum(self._files[name] for name in self._done)
        self._report(
            f"{self._what} {len(self._done)} of {len(self._files)} files, {size_text(size)} of "
            f"{size_text(sum(self._files.values()))}, {now - self._started:.0f} s"
        )


def size_text(size: int) -> str:
    """Return a number of bytes as text, in kB, MB or GB."""
    if size >= 1_000_000_000:
        return f"{size / 1e9:,.2f} GB"
    return f"{size / 1e3:,.1f} kB" if size < 1_000_000 else f"{size / 1e6:,.1f} MB"
