"""Counts of verdicts that are neither a pass nor a fail, and the error with which a stage ends if some can change.

Of the two kinds, `content` is a property of query and answer and stays as it is. `machine` is trouble of our own: such
verdicts are not stored, and the stage that met them must not be taken for complete.
"""

from collections import Counter

from stillhouse.errors import StillhouseError
from stillhouse.verify.checks import kind_of

KINDS = ("content", "machine")


class UngradedError(StillhouseError):
    """Some answers could not be graded for trouble of this machine or of the judge; the rest is kept."""


class Ungradable:
    """Counts ungradable verdicts by reason."""

    def __init__(self) -> None:
        self._reasons: Counter[str] = Counter()

    def add(self, reason: str) -> None:
        """Count one."""
        self._reasons[reason] += 1

    @property
    def total(self) -> int:
        """How many there are."""
        return self._reasons.total()

    def by_kind(self) -> dict[str, dict[str, int]]:
        """Return the counts by kind and reason; both kinds are there."""
        return {
            kind: {
                reason: count
                for reason, count in sorted(self._reasons.items())
                if kind_of(reason) == kind
            }
            for kind in KINDS
        }

    def line(self) -> str:
        """Return what a progress line says of them: "ungradable 3 content, 1 machine"; empty where there are none."""
        sums = {kind: sum(counts.values()) for kind, counts in self.by_kind().items()}
        told = ", ".join(f"{count:,} {kind}" for kind, count in sums.items() if count)
        return f"ungradable {told}" if told else ""

    def require_none_of_machine(self, stage: str) -> None:
        """Raise where grading again may change something.

        Raises:
            UngradedError: there are verdicts of the kind `machine`; the message counts them by reason.
        """
        counts = self.by_kind()["machine"]
        if not counts:
            return
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in counts.items())
        raise UngradedError(
            f"{stage}: {sum(counts.values()):,} answers could not be graded, alone neither ({reasons}). "
            "judge_unavailable: see that the judge can be reached; any other: this machine lacks memory, processes or "
            "time. All answers and all other verdicts are in the journal: run the same command again, and only these "
            "are graded"
        )
