"""Filters all attempts of one teacher, and writes the tables of decisions and of accepted examples."""

from collections.abc import Iterator

from stillhouse import layout
from stillhouse.filter.rules import Rules
from stillhouse.filter.select import find_repetition, select
from stillhouse.filter.tally import DecisionTally
from stillhouse.params.filter import NgramFilter
from stillhouse.params.teacher import Teacher
from stillhouse.records import Decision, Example, Query, example_id
from stillhouse.tables.attempts import Attempt, read_attempts
from stillhouse.tables.read import read_table
from stillhouse.tables.write import TableWriter


def filter_all(
    teacher: str, spec: Teacher, rules: Rules, ngram: NgramFilter, memory_mb: int
) -> DecisionTally:
    """Decide on all attempts of a teacher, write what was decided, and return the counts.

    Args:
        teacher: the teacher's id.
        spec: its parameters, which the accepted examples name.
        rules: the rules in their order; they count what they dropped.
        ngram: parameters of `repetition`, as in `find_repetition`.
        memory_mb: megabytes of memory for `repetition`.
    """
    tally = DecisionTally()
    for query in read_table(layout.CURATED_QUERIES, Query):
        tally.count("queries", query)

    def groups() -> Iterator[list[Attempt]]:
        for _, attempts in read_attempts(teacher, verdicts=True, perplexities=True):
            yield attempts

    found = find_repetition(groups, rules, ngram, layout.accepted(teacher).parent, memory_mb)
    if found is not None:
        tally.repetition = {
            "responses": len(found.looping),
            "limit": found.limit,
            "looping": int(found.looping.sum()),
            "copies": int(found.copies.sum()),
        }
    with (
        TableWriter(layout.accepted(teacher), Example) as accepted,
        TableWriter(layout.decisions(teacher), Decision) as decisions,
    ):
        for attempt, decision in select(groups, rules, found):
            decisions.write(decision)
            if decision.kept:
                accepted.write(example(attempt, spec))
            tally.add(attempt, decision)
        accepted.finish()
        decisions.finish()
    return tally


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
