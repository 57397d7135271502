"""What the verdicts on a teacher's responses amount to, counted one by one."""

from collections import Counter
from typing import Any

from stillhouse.params.verify import CodeLimits
from stillhouse.progress import Figures
from stillhouse.records import Verdict
from stillhouse.tables.attempts import Attempt
from stillhouse.verify.checks import by_judge_alone
from stillhouse.verify.facts import versions
from stillhouse.verify.trouble import Ungradable, words

DISAGREEMENTS = 5  # shown in the report
JUDGE_ONLY = "judge_only"  # counts the passes that rest on the judge's word alone


class VerdictTally:
    """Counts by state, reason, verifier and category, what the judge cost, and where rule and judge disagree."""

    def __init__(self, code: CodeLimits) -> None:
        self.ungradable = Ungradable()
        self._code = code
        self._states: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._by_category: dict[str, dict[str, Counter[str]]] = {}
        self._both = self._disagree = 0
        self._cost: float | None = None
        self._examples: list[dict[str, Any]] = []

    def add(self, attempt: Attempt, verdict: Verdict) -> None:
        """Count one verdict."""
        self._states[verdict.state] += 1
        if verdict.cost is not None:
            self._cost = (self._cost or 0.0) + verdict.cost
        if verdict.reason:
            self._reasons[verdict.reason] += 1
            if verdict.state == "ungradable":
                self.ungradable.add(verdict.reason, verdict.query_id, words(verdict))
        counts = self._by_category.setdefault(
            attempt.query.category, {"states": Counter(), "verifiers": Counter()}
        )
        counts["states"][JUDGE_ONLY] += verdict.state == "pass" and by_judge_alone(verdict.verifier)
        counts["states"][verdict.state] += 1
        counts["verifiers"][verdict.verifier] += 1
        spoke = {check.state for check in verdict.checks} <= {"pass", "fail"}
        if attempt.query.category in ("math", "science") and len(verdict.checks) == 2 and spoke:
            self._both += 1
            rule, judge = verdict.checks
            if rule.state != judge.state:
                self._disagree += 1
                self._keep(
                    {
                        "response_id": verdict.response_id,
                        "reference": attempt.query.ground_truth,
                        **{c.verifier: f"{c.state}: {c.evidence}" for c in (rule, judge)},
                    }
                )

    def _keep(self, example: dict[str, Any]) -> None:
        """Keep the first disagreements by id: an id is a hash, so that this is a blind choice."""
        self._examples.append(example)
        self._examples.sort(key=lambda example: str(example["response_id"]))
        del self._examples[DISAGREEMENTS:]

    def figures(self) -> Figures:
        """Return what the progress line says beside the count."""
        return Figures(self.ungradable.line())

    def metrics(self) -> dict[str, object]:
        """Return the counts."""
        verifiers: Counter[str] = Counter()
        for counts in self._by_category.values():
            verifiers += counts["verifiers"]
        states = ("pass", "fail", "ungradable")
        return {
            "responses": self._states.total(),
            **{state: self._states[state] for state in states},
            "ungradable_by_kind": self.ungradable.by_kind(),
            "reasons": dict(self._reasons),
            "verifiers": dict(verifiers),
            "isolation": self._code.isolation,
            "packages": versions(tuple(self._code.packages)),
            "judge_cost": None if self._cost is None else round(self._cost, 6),
            "rule_judge": {"both": self._both, "disagree": self._disagree},
            "disagreements": self._examples,
            "by_category": {
                category: {
                    **{state: counts["states"][state] for state in (*states, JUDGE_ONLY)},
                    "verifiers": dict(counts["verifiers"]),
                }
                for category, counts in self._by_category.items()
            },
        }
