"""What is shown of a running loop: how far, how good, how fast, how dear, and when it will be done."""

import time
from collections import Counter, deque
from collections.abc import Iterator
from typing import NamedTuple

from stillhouse.generate.loop import Loop
from stillhouse.generate.tally import WalkTally
from stillhouse.models.client import Model
from stillhouse.models.openai_engine import OpenAIEngine
from stillhouse.progress import Figures

# Rates are those of the last minute: after a restart the first thousands of answers come from the journal in a second,
# and say nothing about the rest.
WINDOW_SECONDS = 60.0
UNKNOWN = "-"


class _Sample(NamedTuple):
    seconds: float
    tokens: int
    walked: dict[str, int]


class View:
    """Figures of a loop for `stillhouse.progress.Progress`."""

    def __init__(self, loop: Loop, tally: WalkTally, model: Model, totals: Counter[str]) -> None:
        """Take what is to be watched; `totals` counts the queries of each category."""
        self._loop, self._tally, self._model, self._totals = loop, tally, model, totals
        self._samples: deque[_Sample] = deque([self._sample()])

    def figures(self) -> Figures:
        """Return the line and the table by category as they are now."""
        now = self._sample()
        self._samples.append(now)
        while len(self._samples) > 2 and now.seconds - self._samples[1].seconds >= WINDOW_SECONDS:
            self._samples.popleft()
        since = self._samples[0]
        return Figures(", ".join(self._line(since, now)), list(self._table(since, now)))

    def _sample(self) -> _Sample:
        walked = {category: self._tally.of_category(category)[0] for category in self._totals}
        return _Sample(time.monotonic(), self._loop.tokens, walked)

    def _line(self, since: _Sample, now: _Sample) -> Iterator[str]:
        yield f"accepted {_share(self._tally.accepted, self._tally.queries)}"
        if line := self._tally.ungradable.line():
            yield line
        if self._tally.errors:
            yield f"{self._tally.errors:,} unanswered"
        for name, count in sorted(self._tally.incomplete().items()):
            yield f"{count:,} {name}"
        if isinstance(self._model.engine, OpenAIEngine) and (trouble := self._model.engine.trouble):
            yield trouble
        seconds = now.seconds - since.seconds
        if seconds > 0:
            yield f"{(now.tokens - since.tokens) / seconds:,.0f} tok/s"
        yield f"{self._loop.in_flight} in flight"
        yield f"asked {self._model.asked:,}"
        yield f"from the journal {self._model.hits:,}"
        yield f"{self._loop.tokens:,} tokens"
        if self._loop.cost is not None:
            yield f"${self._loop.cost:,.2f}"
        yield f"to go {self._to_go(list(self._totals), since, now)}"

    def _table(self, since: _Sample, now: _Sample) -> Iterator[tuple[str, ...]]:
        yield "category", "queries", "walked", "accepted", "to go"
        for category, total in sorted(self._totals.items()):
            walked, accepted = self._tally.of_category(category)
            share, to_go = _share(accepted, walked), self._to_go([category], since, now)
            yield category, f"{total:,}", f"{walked:,}", share, to_go

    def _to_go(self, categories: list[str], since: _Sample, now: _Sample) -> str:
        """Return the time that is left at the rate of the last minute."""
        left = sum(self._totals[category] - now.walked[category] for category in categories)
        walked = sum(now.walked[category] - since.walked[category] for category in categories)
        if left <= 0:
            return "done"
        return _duration(left * (now.seconds - since.seconds) / walked) if walked else UNKNOWN


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else UNKNOWN


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
