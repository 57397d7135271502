"""Progress of a stage: a live bar on a terminal, a plain line now and then elsewhere."""

import sys
import time
from types import TracebackType

LINE_SECONDS = 15.0  # between plain lines


class Progress:
    """Counts finished items of a known total and shows a few figures beside them."""

    def __init__(self, name: str, total: int) -> None:
        self._name = name
        self._total = total
        self._done = 0
        self._started = self._told = time.monotonic()
        self._bar = _bar(name, total) if sys.stderr.isatty() else None

    def __enter__(self) -> "Progress":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()

    def advance(self, figures: str = "") -> None:
        """Count one finished item; `figures` replaces the text beside the count."""
        self._done += 1
        if self._bar:
            self._bar.update(self._bar.task_ids[0], advance=1, figures=figures)
            return
        now = time.monotonic()
        if now - self._told >= LINE_SECONDS or self._done == self._total:
            self._told = now
            seconds = now - self._started
            print(
                f"{self._name}: {self._done}/{self._total} in {seconds:.0f} s  {figures}",
                flush=True,
            )


def quiet_libraries() -> None:
    """Switch off the progress bars of the Hugging Face libraries where nobody watches: in a log each step is a line."""
    if sys.stderr.isatty():
        return
    import datasets
    import transformers

    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()


def _bar(name: str, total: int):  # type: ignore[no-untyped-def]  # rich is imported only on a terminal
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as RichProgress

    bar = RichProgress(
        TextColumn(name),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
        console=Console(stderr=True),
    )
    bar.add_task(name, total=total, figures="")
    return bar
