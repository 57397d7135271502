"""Perplexity of every verified attempt of one teacher under the scorer model.

A cut can then change without a forward pass. Attempts that failed verification are never released, so that scoring
them would only cost money.
"""

import asyncio
import statistics
from pathlib import Path

import click

from stillhouse.models.journal import Journal
from stillhouse.models.scorer import Scorer
from stillhouse.params import PerplexityScorer, load_stage
from stillhouse.progress import Progress
from stillhouse.records import Message, Perplexity, Query, Response, Verdict, assistant_text
from stillhouse.stage import stage_command, write_metrics
from stillhouse.tables import read_table, write_table


@stage_command
@click.argument("teacher")
def main(teacher: str) -> None:
    """Write data/perplexity/TEACHER."""
    scorer_params = load_stage().section(PerplexityScorer, "perplexity")
    queries = {query.id: query for query in read_table(Path("data/queries/curated"), Query)}
    verdicts = {v.response_id: v for v in read_table(Path("data/verdicts") / teacher, Verdict)}
    texts = [
        (r.id, queries[r.query_id].messages, assistant_text(r.think, r.answer))
        for r in read_table(Path("data/responses") / teacher / "attempts", Response)
        if verdicts[r.id].state == "pass"
    ]
    with Journal.open() as journal:
        scores = asyncio.run(score_all(teacher, Scorer(scorer_params, journal), texts))
    write_table(Path("data/perplexity") / teacher, Perplexity, scores)
    write_metrics(Path("metrics/perplexity") / f"{teacher}.json", metrics(scores))


async def score_all(
    teacher: str, scorer: Scorer, texts: list[tuple[str, list[Message], str]]
) -> list[Perplexity]:
    """Score all texts."""
    rows: list[Perplexity] = []
    with Progress(f"perplexity {teacher}", len(texts)) as progress:
        async for scored in scorer.score(texts):
            rows.append(
                Perplexity(
                    response_id=scored.name, perplexity=scored.perplexity, tokens=scored.tokens
                )
            )
            progress.advance(f"from the journal {scorer.hits}")
    return rows


def metrics(rows: list[Perplexity]) -> dict[str, object]:
    """Return mean, median and 95th percentile, before any filter."""
    values = sorted(row.perplexity for row in rows)
    return {
        "responses": len(rows),
        "tokens": sum(row.tokens for row in rows),
        "mean": round(statistics.fmean(values), 4) if values else None,
        "median": round(statistics.median(values), 4) if values else None,
        "p95": values[int(0.95 * (len(values) - 1))] if values else None,
    }


if __name__ == "__main__":
    main()
