"""Progress of a stage: a live view on a terminal, a plain line now and then elsewhere."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple

LINE_SECONDS = 15.0  # at least, between plain lines
REFRESHES_PER_SECOND = 2.0


class LineTimer:
    """Limits plain lines to one in `LINE_SECONDS`, and counts the seconds since the start."""

    def __init__(self) -> None:
        self._started = self._last_line = time.monotonic()

    def due(self, at_the_end: bool) -> float | None:
        """Return the seconds since the start if a line is due, as it always is at the end; else None."""
        now = time.monotonic()
        if not at_the_end and now - self._last_line < LINE_SECONDS:
            return None
        self._last_line = now
        return now - self._started


class Figures(NamedTuple):
    """What is shown beside the count: a line, and on a terminal a table below it, whose first row is its head."""

    line: str
    table: list[tuple[str, ...]] = []  # noqa: RUF012  # never changed


class Progress:
    """Counts finished items of a known total and shows figures beside them."""

    def __init__(self, name: str, total: int, figures: Callable[[], Figures] | None = None) -> None:
        """Name what is counted; `figures` is asked for whenever something is shown, from another thread too."""
        self._name = name
        self._total = total
        self._done = 0
        self._timer = LineTimer()
        self._text = ""
        self._figures = figures or (lambda: Figures(self._text))
        self._view = _View(self, name, total) if sys.stderr.isatty() else None

    def __enter__(self) -> "Progress":
        if self._view:
            self._view.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._view:
            self._view.stop()

    def advance(self, text: str = "") -> None:
        """Count one finished item; `text` is shown beside the count where no figures are."""
        self._done += 1
        self._text = text
        if self._view:
            return
        seconds = self._timer.due(self._done == self._total)
        if seconds is not None:
            line = f"{self._name}: {self._done}/{self._total} in {seconds:.0f} s  {self.figures().line}"
            print(line.rstrip(), file=sys.stderr, flush=True)

    @property
    def done(self) -> int:
        """Items finished so far."""
        return self._done

    def figures(self) -> Figures:
        """Return what is to be shown now."""
        return self._figures()


def quiet_libraries() -> None:
    """Switch off the progress bars of the Hugging Face libraries where nobody watches: in a log each step is a line."""
    if sys.stderr.isatty():
        return
    import datasets
    import transformers

    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()


class _View:
    """The live view: a bar, and the figures under it. rich is imported only on a terminal."""

    def __init__(self, progress: Progress, name: str, total: int) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        self._progress = progress
        self._bar = Bar(TextColumn(name), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._task = self._bar.add_task(name, total=total)
        self._live = Live(
            get_renderable=self._render,
            console=Console(stderr=True),
            refresh_per_second=REFRESHES_PER_SECOND,
        )

    def start(self) -> None:
        self._live.start(refresh=True)

    def stop(self) -> None:
        self._live.stop()

    def _render(self) -> Any:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        self._bar.update(self._task, completed=self._progress.done)
        figures = self._progress.figures()
        parts: list[Any] = [self._bar, Text(figures.line)]
        if figures.table:
            head, *rows = figures.table
            table = Table(*head, box=None, pad_edge=False)
            for column in table.columns[1:]:
                column.justify = "right"
            for row in rows:
                table.add_row(*row)
            parts.append(table)
        return Group(*parts)
