"""What is shown while stages run side by side: each line with its stage's name, and on a terminal all that run now."""

import sys
import time
from typing import Any

from stillhouse.progress import REFRESHES_PER_SECOND


class StageView:
    """Prints the lines of stages; on a terminal a table under them shows each running stage and its last line."""

    def __init__(self) -> None:
        self._running: dict[str, tuple[float, str]] = {}
        self._live = _live_table(self._render) if sys.stderr.isatty() else None

    def __enter__(self) -> "StageView":
        if self._live:
            self._live.start(refresh=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def started(self, stage: str) -> None:
        """Show a stage as running."""
        self._running[stage] = (time.monotonic(), "")
        self.line(stage, "started")

    def line(self, stage: str, text: str) -> None:
        """Print one line of a stage."""
        started, _ = self._running.get(stage, (time.monotonic(), ""))
        self._running[stage] = (started, text)
        line = f"[{stage}] {text}"
        if self._live:
            self._live.console.print(line, markup=False, highlight=False)
        else:
            print(line, file=sys.stderr, flush=True)

    def ended(self, stage: str, code: int) -> None:
        """Show a stage no more, and say how it ended."""
        started, _ = self._running[stage]
        how = "done" if code == 0 else f"failed with code {code}"
        self.line(stage, f"{how} in {time.monotonic() - started:.0f} s")
        del self._running[stage]

    def _render(self) -> Any:
        from rich.table import Table

        table = Table("running", "seconds", "last line", box=None, pad_edge=False)
        for stage, (started, text) in self._running.items():
            table.add_row(stage, f"{time.monotonic() - started:.0f}", text)
        return table


def _live_table(render: Any) -> Any:
    from rich.console import Console
    from rich.live import Live

    return Live(
        get_renderable=render,
        console=Console(stderr=True),
        refresh_per_second=REFRESHES_PER_SECOND,
        transient=True,
    )
