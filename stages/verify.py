"""The authoritative verdict on every attempt of one teacher."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import click

from stillhouse.files import write_json
from stillhouse.journal.journal import Journal
from stillhouse.models.build import ModelRoom
from stillhouse.params.load import load_teacher
from stillhouse.params.stage import StageParams, load_stage
from stillhouse.params.verify import CodeLimits, Verify
from stillhouse.progress import Figures, Progress
from stillhouse.records import Verdict
from stillhouse.stage import stage_command
from stillhouse.tables.attempts import Attempt, read_attempts
from stillhouse.tables.table import TableWriter, column_counts
from stillhouse.verify.checks import by_judge_alone
from stillhouse.verify.facts import Facts, versions
from stillhouse.verify.grade import Grader
from stillhouse.verify.stored import Stored
from stillhouse.verify.trouble import Ungradable

AT_ONCE = 64  # responses graded at once: enough to keep the worker pool and a judge busy
LOOKED_UP_AT_ONCE = 500
DISAGREEMENTS = 5  # shown in the report
JUDGE_ONLY = "judge_only"  # counts the passes that rest on the judge's word alone


@stage_command
@click.argument("teacher")
def main(teacher: str) -> None:
    """Write data/verdicts/TEACHER."""
    params = load_stage()
    tally = Tally(params.section(Verify, "verify").code)
    with Journal.open() as journal:
        asyncio.run(grade_all(teacher, params, journal, tally))
    write_json(Path("metrics/verify") / f"{teacher}.json", tally.metrics())


async def grade_all(teacher: str, params: StageParams, journal: Journal, tally: "Tally") -> None:
    """Grade all responses; what the loop or an earlier run has graded comes from the journal.

    Raises:
        UngradedError: some could not be graded for trouble of the machine or the judge; all others are stored.
    """
    verify = params.section(Verify, "verify")
    room = ModelRoom(journal)
    judge_id = verify.judge.model
    judge_spec = params.teacher(judge_id)
    grader = Grader(
        verify,
        room.model(judge_id, judge_spec, load_teacher(judge_id).runtime, "judge"),
        room.reward(verify.reward),
        price=judge_spec.price,
        stored=Stored(journal, Facts(verify, judge_spec)),
    )
    total = column_counts(Path("data/responses") / teacher / "attempts", "teacher").total()
    try:
        with (
            TableWriter(Path("data/verdicts") / teacher, Verdict) as table,
            Progress(f"verify {teacher}", total, tally.figures) as progress,
        ):

            def done(attempt: Attempt, verdict: Verdict) -> None:
                table.write(verdict)
                tally.add(attempt, verdict)
                progress.advance()

            attempts = (
                attempt
                for _, found in read_attempts(teacher, answers_only=True)
                for attempt in found
            )
            ungraded = not_stored(attempts, grader, done)

            async def worker() -> None:
                for attempt in ungraded:
                    done(attempt, await grader.grade(attempt.query, attempt.response))

            await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
            tally.ungradable.require_none_of_machine(f"verify {teacher}")
            table.finish()
    finally:
        await grader.close()
        await room.close()


def not_stored(
    attempts: Iterator[Attempt], grader: Grader, done: Callable[[Attempt, Verdict], None]
) -> Iterator[Attempt]:
    """Yield the attempts that have to be graded; `done` gets the others with their verdicts."""
    while some := list(islice(attempts, LOOKED_UP_AT_ONCE)):
        verdicts = grader.known([(attempt.query, attempt.response) for attempt in some])
        for attempt, verdict in zip(some, verdicts, strict=True):
            if verdict is None:
                yield attempt
            else:
                done(attempt, verdict)


class Tally:
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
                self.ungradable.add(verdict.reason)
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


if __name__ == "__main__":
    main()
