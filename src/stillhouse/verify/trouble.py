"""Counts ungradable verdicts, and fails a stage if grading again may change some of them.

An ungradable verdict of the kind `content` is a property of query and answer, and does not change. One of the kind
`machine` comes from a failure of the machine or the judge. It is not stored, and its stage must not count as complete.
"""

from collections import Counter

from stillhouse.errors import StillhouseError
from stillhouse.records import Verdict
from stillhouse.verify.checks import kind_of

KINDS = ("content", "machine")


class UngradedError(StillhouseError):
    """Some answers could not be graded because of this machine or the judge; all other verdicts are stored."""


class Ungradable:
    """Counts ungradable verdicts by reason, and keeps the first of the kind `machine` for the message."""

    def __init__(self) -> None:
        self._reasons: Counter[str] = Counter()
        self._first = ""

    def add(self, reason: str, query_id: str, said: str = "") -> None:
        """Count one.

        Args:
            reason: the reason of the verdict.
            query_id: the query of the graded answer.
            said: what the verifier, or the judge's endpoint, said of the failure.
        """
        self._reasons[reason] += 1
        if not self._first and kind_of(reason) == "machine":
            self._first = f"query {query_id}: {reason}" + (f": {said}" if said else "")

    @property
    def total(self) -> int:
        """The number of ungradable verdicts."""
        return self._reasons.total()

    def by_kind(self) -> dict[str, dict[str, int]]:
        """Return the counts by kind and reason. Both kinds are always present."""
        return {
            kind: {
                reason: count
                for reason, count in sorted(self._reasons.items())
                if kind_of(reason) == kind
            }
            for kind in KINDS
        }

    def line(self) -> str:
        """Return a text for a progress line, such as "ungradable 3 content, 1 machine"; empty if there are none."""
        sums = {kind: sum(counts.values()) for kind, counts in self.by_kind().items()}
        counted = ", ".join(f"{count:,} {kind}" for kind, count in sums.items() if count)
        return f"ungradable {counted}" if counted else ""

    def require_none_of_machine(self, stage: str) -> None:
        """Raise an error if grading again may change a verdict.

        Raises:
            UngradedError: there are verdicts of the kind `machine`; the message counts them by reason, and has the
                first one's query and words.
        """
        counts = self.by_kind()["machine"]
        if not counts:
            return
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in counts.items())
        raise UngradedError(
            f"{stage}: {sum(counts.values()):,} answers could not be graded, also without other load ({reasons}). The "
            f"first one: {self._first}. judge_unavailable: check that the judge can be reached; any other: this "
            "machine lacks memory, processes or time. All answers and all other verdicts are in the journal: run the "
            "same command again, and only these are graded"
        )


def words(verdict: Verdict) -> str:
    """Return what the check that a verdict rests on says of its failure; empty if it says nothing."""
    found = (check.evidence for check in verdict.checks if check.reason == verdict.reason)
    return next(found, None) or ""
