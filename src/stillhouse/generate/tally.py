"""What a run amounts to, counted walk by walk, in memory that does not grow with the number of queries."""

from collections import Counter
from typing import Any

from stillhouse.generate.loop import LoopAttempt, Walk
from stillhouse.params.teacher import Price
from stillhouse.verify.trouble import Ungradable

LATENCY_DIGITS = 2  # significant digits of a latency that are kept
QUANTILES = (0.5, 0.9, 0.99)


class WalkTally:
    """Counts walks. All its figures but `latency` depend on the answers alone, in whatever order they came."""

    def __init__(self, price: Price | None = None) -> None:
        """Count; `price` turns tokens into cost."""
        self.queries = self.accepted = 0
        self.ungradable = Ungradable()
        self.made_on: dict[str, dict[str, Any]] = {}
        self._price = price
        self._tokens: Counter[str] = Counter(prompt_tokens=0, completion_tokens=0)
        self._walks: dict[str, Counter[str]] = {}  # by category
        self._by_attempt: dict[str, dict[int, Counter[str]]] = {}  # by category, then by attempt
        self._lengths: Counter[int] = Counter()
        self._stops: Counter[str] = Counter()
        self._finishes: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._latencies: Counter[float] = Counter()

    def add(self, walk: Walk) -> None:
        """Count one finished walk."""
        category = walk.query.category
        self.queries += 1
        self.accepted += walk.accepted
        self._lengths[len(walk.attempts)] += 1
        self._stops[walk.stop] += 1
        if walk.error is not None:
            self._errors[walk.error.kind] += 1
        for reason in walk.ungradable:
            self.ungradable.add(reason, walk.query.id, walk.trouble)
        self._walks.setdefault(category, Counter()).update(queries=1, accepted=int(walk.accepted))
        by_attempt = self._by_attempt.setdefault(category, {})
        for number, attempt in enumerate(walk.attempts):
            last = number == len(walk.attempts) - 1
            by_attempt.setdefault(number, Counter()).update(
                asked=1,
                accepted=int(last and walk.accepted),
                truncated=int(attempt.response.finish_reason == "length"),
                stray_marks=int(attempt.stray_mark),
            )
            self._count(attempt)

    def _count(self, attempt: LoopAttempt) -> None:
        completion = attempt.completion
        self._finishes[completion.finish_reason] += 1
        self._tokens.update(
            prompt_tokens=completion.prompt_tokens, completion_tokens=completion.completion_tokens
        )
        if completion.latency_seconds is not None:
            self._latencies[float(f"{completion.latency_seconds:.{LATENCY_DIGITS}g}")] += 1
        if completion.made_on:
            self.made_on.setdefault(attempt.response.fingerprint, completion.made_on)

    def of_category(self, category: str) -> tuple[int, int]:
        """Return how many queries of a category were walked, and how many of them have an accepted answer."""
        counts = self._walks.get(category, Counter())
        return counts["queries"], counts["accepted"]

    @property
    def errors(self) -> int:
        """The number of queries that were refused or failed."""
        return self._errors.total()

    def incomplete(self) -> dict[str, int]:
        """Return the attempts that neither are complete nor were cut, by their finish reasons."""
        return {name: n for name, n in self._finishes.items() if name not in ("stop", "length")}

    def metrics(self) -> dict[str, Any]:
        """Return the metrics of the stage: counts, tokens and cost, by attempt and by category."""
        in_all: dict[int, Counter[str]] = {}
        for by_attempt in self._by_attempt.values():
            for number, counts in by_attempt.items():
                in_all.setdefault(number, Counter()).update(counts)
        attempts = sum(counts["asked"] for counts in in_all.values())
        truncated = sum(counts["truncated"] for counts in in_all.values())
        stray_marks = sum(counts["stray_marks"] for counts in in_all.values())
        return {
            "queries": self.queries,
            "attempts": attempts,
            "accepted": self.accepted,
            "unanswered": self._lengths[0],
            "truncated": truncated,
            "truncation_rate": _share(truncated, attempts),
            "attempts_by_finish": dict(sorted(self._finishes.items())),
            "errors_by_reason": dict(sorted(self._errors.items())),
            "stray_marks": stray_marks,
            **self._tokens,
            "cost": self._price and round(self._price.cost(**self._tokens), 6),
            "queries_by_attempts": {str(n): self._lengths[n] for n in sorted(self._lengths)},
            "ungradable": self.ungradable.total,
            "ungradable_by_kind": self.ungradable.by_kind(),
            "queries_by_stop": dict(sorted(self._stops.items())),
            "accepted_by_attempt": {
                str(n): counts["accepted"] for n, counts in in_all.items() if counts["accepted"]
            },
            "by_attempt": _rates(in_all),
            "by_category": {
                category: {
                    "queries": walks["queries"],
                    "attempts": sum(c["asked"] for c in self._by_attempt[category].values()),
                    "accepted": walks["accepted"],
                    "by_attempt": _rates(self._by_attempt[category]),
                }
                for category, walks in self._walks.items()
            },
        }

    def latency(self) -> dict[str, float] | None:
        """Return the quantiles of the seconds from asking to the last token, or null if no engine reported any."""
        total = self._latencies.total()
        if not total:
            return None
        found: dict[str, float] = {}
        seen = 0
        for seconds in sorted(self._latencies):
            seen += self._latencies[seconds]
            for quantile in QUANTILES:
                if seen >= quantile * total:
                    found.setdefault(f"p{quantile * 100:g}", seconds)
        return found


def _rates(by_attempt: dict[int, Counter[str]]) -> dict[str, dict[str, float | int | None]]:
    return {
        str(number): {
            "asked": counts["asked"],
            "accepted": counts["accepted"],
            "truncated": counts["truncated"],
            "pass_rate": _share(counts["accepted"], counts["asked"]),
        }
        for number, counts in sorted(by_attempt.items())
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
