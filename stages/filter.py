"""At most one accepted response per query of one teacher, and a reason for every response that is not it."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click

from stillhouse.files import write_json
from stillhouse.filter.rules import Rules
from stillhouse.filter.select import select
from stillhouse.params.files import TEACHERS_FOLDER
from stillhouse.params.filter import Filter
from stillhouse.params.stage import load_stage
from stillhouse.params.teacher import Teacher
from stillhouse.records import Decision, Example, Query, example_id
from stillhouse.stage import stage_command
from stillhouse.tables.attempts import Attempt, read_attempts
from stillhouse.tables.table import TableWriter, read_table

STEPS = ("queries", "answered", "passed", "kept")


@stage_command
@click.argument("teacher")
def main(teacher: str) -> None:
    """Write data/filtered/TEACHER: the accepted examples and every decision."""
    params = load_stage()
    spec = params.teacher(teacher)
    cut = params.value("perplexity_cut", TEACHERS_FOLDER / f"{teacher}.yaml")
    out = Path("data/filtered") / teacher
    filtering = params.section(Filter, "filter")
    rules = Rules(filtering, cut)
    tally = Tally()
    for query in read_table(Path("data/queries/curated"), Query):
        tally.count("queries", query)

    def groups() -> Iterator[list[Attempt]]:
        for _, attempts in read_attempts(teacher, verdicts=True, perplexities=True):
            yield attempts

    with (
        TableWriter(out / "accepted", Example) as accepted,
        TableWriter(out / "decisions", Decision) as decisions,
    ):
        for attempt, decision in select(groups, rules, filtering.ngram):
            decisions.write(decision)
            if decision.kept:
                accepted.write(example(attempt, spec))
            tally.add(attempt, decision)
        accepted.finish()
        decisions.finish()
    metrics = {**tally.metrics(), "rules": rules.metrics()}
    write_json(Path("metrics/filter") / f"{teacher}.json", metrics)
    # Apart from the rest: times differ between two runs with the same result.
    write_json(Path("metrics/effort/filter") / f"{teacher}.json", {"seconds": rules.seconds()})


def example(attempt: Attempt, spec: Teacher) -> Example:
    """Join all that is known of one accepted response into the row that is released."""
    query, response, verdict, perplexity = attempt
    assert verdict is not None
    assert perplexity is not None
    return Example(
        id=example_id(query.id, response.id),
        query_id=query.id,
        category=query.category,
        source=query.source,
        source_license=query.license,
        messages=query.messages,
        ground_truth=query.ground_truth,
        language=query.language,
        setup=query.setup,
        entry_point=query.entry_point,
        tests=query.tests,
        constraints=query.constraints,
        teacher=response.teacher,
        model=spec.model,
        model_revision=spec.revision,
        attempt=response.attempt,
        seed=response.seed,
        finish_reason=response.finish_reason,
        prompt_tokens=response.prompt_tokens,
        completion_tokens=response.completion_tokens,
        think=response.think,
        answer=response.answer,
        verify_score=verdict.score or 0.0,
        verifier=verdict.verifier,
        perplexity=perplexity.perplexity,
        fingerprint=response.fingerprint,
    )


class Tally:
    """The funnel in queries, in all and by category, and the dropped responses by reason."""

    def __init__(self) -> None:
        self._funnel: dict[str, Counter[str]] = {step: Counter() for step in STEPS}
        self._dropped: Counter[str] = Counter()
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
            "by_category": {
                category: {step: counts[category] for step, counts in self._funnel.items()}
                for category in sorted(self._funnel["queries"])
            },
        }


if __name__ == "__main__":
    main()
