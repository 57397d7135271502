"""Reports the progress of a transfer of many files: now and then a line with files, bytes and time."""

import sys
from collections.abc import Callable

from stillhouse.progress import LineTimer


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
        self._timer = LineTimer()

    def done(self, *names: str) -> None:
        """Count files as done. The end of the transfer is always reported."""
        self._done.update(names)
        seconds = self._timer.due(len(self._done) == len(self._files))
        if seconds is None:
            return
        size = sum(self._files[name] for name in self._done)
        self._report(
            f"{self._what} {len(self._done)} of {len(self._files)} files, {size_text(size)} of "
            f"{size_text(sum(self._files.values()))}, {seconds:.0f} s"
        )


def bars_in_terminals_only() -> None:
    """Switch the progress bars of the Hub's client off where stderr is no terminal: a log gets a line per redraw."""
    from huggingface_hub.utils import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()


def size_text(size: int) -> str:
    """Return a number of bytes as text, in kB, MB or GB."""
    if size >= 1_000_000_000:
        return f"{size / 1e9:,.2f} GB"
    return f"{size / 1e3:,.1f} kB" if size < 1_000_000 else f"{size / 1e6:,.1f} MB"
