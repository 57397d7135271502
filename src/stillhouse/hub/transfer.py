"""How far a transfer of many files has come: a line with files, bytes and time, at most one in ten seconds."""

import time
from collections.abc import Callable

SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Tells how many of `files` (name to bytes) are done.

    Args:
        what: The beginning of each line.
        files: All files with their bytes.
        told: Called with each line.
    """

    def __init__(self, what: str, files: dict[str, int], told: Callable[[str], None]) -> None:
        self._what, self._files, self._told = what, files, told
        self._done: set[str] = set()
        self._started = time.monotonic()
        self._spoke = self._started

    def done(self, *names: str) -> None:
        """Count files as done; the last ones are always told."""
        self._done.update(names)
        now = time.monotonic()
        if len(self._done) < len(self._files) and now - self._spoke < SECONDS_BETWEEN_LINES:
            return
        self._spoke = now
        size = sum(self._files[name] for name in self._done)
        self._told(
            f"{self._what} {len(self._done)} of {len(self._files)} files, {size_text(size)} of "
            f"{size_text(sum(self._files.values()))}, {now - self._started:.0f} s"
        )


def size_text(size: int) -> str:
    """Return a number of bytes as text, in kB, MB or GB."""
    if size >= 1_000_000_000:
        return f"{size / 1e9:,.2f} GB"
    return f"{size / 1e3:,.1f} kB" if size < 1_000_000 else f"{size / 1e6:,.1f} MB"
