"""What the decisions on a teacher's responses amount to, counted one by one."""

from collections import Counter

from stillhouse.records import Decision, Query
from stillhouse.tables.attempts import Attempt

STEPS = ("queries", "answered", "passed", "kept")


class DecisionTally:
    """The funnel in queries, in all and by category, and the dropped responses by reason.

    `repetition` is null, or what the n-gram filter compared, its limit, and what it drops as looping and as copies.
    """

    def __init__(self) -> None:
        self._funnel: dict[str, Counter[str]] = {step: Counter() for step in STEPS}
        self._dropped: Counter[str] = Counter()
        self.repetition: dict[str, int] | None = None
        self._at: dict[str, str] = {}  # the last query that was counted at each step

    def count(self, step: str, query: Query) -> None:
        """Count a query at a step, once: its attempts come together."""
        if self._at.get(step) != query.id:
            self._at[step] = query.id
            self._funnel[step][query.category] += 1

    def add(self, attempt: Attempt, decision: Decision) -> None:
        """Count the decision on one attempt."""
        self.count("answered", attempt.query)
        if attempt.verdict is not None and attempt.verdict.state == "pass":
            self.count("passed", attempt.query)
        if decision.kept:
            self.count("kept", attempt.query)
        if decision.reason:
            self._dropped[decision.reason] += 1

    def metrics(self) -> dict[str, object]:
        """Return the counts."""
        return {
            **{step: counts.total() for step, counts in self._funnel.items()},
            "dropped": dict(self._dropped),
            "repetition": self.repetition,
            "by_category": {
                category: {step: counts[category] for step, counts in self._funnel.items()}
                for category in sorted(self._funnel["queries"])
            },
        }
