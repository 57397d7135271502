"""At most one accepted response per query of one teacher, and a reason for every response that is not it."""

from collections import Counter
from pathlib import Path

import click

from stillhouse.params import TEACHERS_FOLDER, Filter, load_stage
from stillhouse.quality.select import select
from stillhouse.records import (
    Decision,
    Example,
    Perplexity,
    Query,
    Response,
    Verdict,
    example_id,
)
from stillhouse.stage import stage_command, write_metrics
from stillhouse.tables import read_table, write_table


@stage_command
@click.argument("teacher")
def main(teacher: str) -> None:
    """Write data/filtered/TEACHER: the accepted examples and every decision."""
    params = load_stage()
    spec = params.teacher(teacher)
    cut = params.value("perplexity_cut", TEACHERS_FOLDER / f"{teacher}.yaml")
    queries = {query.id: query for query in read_table(Path("data/queries/curated"), Query)}
    attempts = Path("data/responses") / teacher / "attempts"
    responses = {r.id: r for r in read_table(attempts, Response)}
    verdicts = {v.response_id: v for v in read_table(Path("data/verdicts") / teacher, Verdict)}
    perplexities = {
        p.response_id: p for p in read_table(Path("data/perplexity") / teacher, Perplexity)
    }
    decisions = select(
        queries, responses.values(), verdicts, perplexities, params.section(Filter, "filter"), cut
    )
    examples = [
        example(
            queries[d.query_id],
            responses[d.response_id],
            verdicts[d.response_id],
            perplexities[d.response_id],
            spec.model,
            spec.revision,
        )
        for d in decisions
        if d.kept
    ]
    out = Path("data/filtered") / teacher
    write_table(out / "accepted", Example, examples)
    write_table(out / "decisions", Decision, decisions)
    write_metrics(
        Path("metrics/filter") / f"{teacher}.json", metrics(queries, responses, verdicts, decisions)
    )


def example(
    query: Query,
    response: Response,
    verdict: Verdict,
    perplexity: Perplexity,
    model: str,
    revision: str,
) -> Example:
    """Join all that is known of one accepted response into the row that is released."""
    return Example(
        id=example_id(query.id, response.id),
        query_id=query.id,
        category=query.category,
        source=query.source,
        source_license=query.license,
        messages=query.messages,
        ground_truth=query.ground_truth,
        language=query.language,
        tests=query.tests,
        constraints=query.constraints,
        teacher=response.teacher,
        model=model,
        model_revision=revision,
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


def metrics(
    queries: dict[str, Query],
    responses: dict[str, Response],
    verdicts: dict[str, Verdict],
    decisions: list[Decision],
) -> dict[str, object]:
    """Return the funnel in queries, and the dropped responses by reason."""
    answered = {r.query_id for r in responses.values()}
    passed = {v.query_id for v in verdicts.values() if v.state == "pass"}
    kept = {d.query_id for d in decisions if d.kept}
    funnel = {"queries": set(queries), "answered": answered, "passed": passed, "kept": kept}
    categories = sorted({query.category for query in queries.values()})
    return {
        **{step: len(ids) for step, ids in funnel.items()},
        "dropped": dict(Counter(d.reason for d in decisions if d.reason)),
        "by_category": {
            category: {
                step: sum(queries[i].category == category for i in ids)
                for step, ids in funnel.items()
            }
            for category in categories
        },
    }


if __name__ == "__main__":
    main()
