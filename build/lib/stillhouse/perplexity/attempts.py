"""Scores the verified attempts of one teacher, and writes the table of perplexities.

A cut can then change without a forward pass. Attempts that failed verification are never released, so that scoring
them would only cost money.
"""

import statistics
from collections.abc import Iterator

from stillhouse import layout
from stillhouse.models.scorer import Scorer
from stillhouse.progress import Progress
from stillhouse.records import Message, Perplexity, assistant_text
from stillhouse.tables.attempts import read_attempts
from stillhouse.tables.read import column_counts
from stillhouse.tables.write import TableWriter


def verified(teacher: str) -> Iterator[tuple[str, list[Message], str]]:
    """Yield id, prompt and text of each verified attempt."""
    for query, attempts in read_attempts(teacher, verdicts=True):
        for attempt in attempts:
            response = attempt.response
            if attempt.verdict is not None and attempt.verdict.state == "pass":
                yield response.id, query.messages, assistant_text(response.think, response.answer)


async def score_all(teacher: str, scorer: Scorer) -> tuple[list[float], int]:
    """Score all verified attempts; return their perplexities and the number of their tokens."""
    values: list[float] = []
    tokens = 0
    total = column_counts(layout.verdicts(teacher), "state")["pass"]
    with (
        TableWriter(layout.perplexities(teacher), Perplexity) as table,
        Progress(f"perplexity {teacher}", total) as progress,
    ):
        async for scored in scorer.score(verified(teacher)):
            table.write(
                Perplexity(
                    response_id=scored.name, perplexity=scored.perplexity, tokens=scored.tokens
                )
            )
            values.append(scored.perplexity)
            tokens += scored.tokens
            progress.advance(f"from the journal {scorer.hits}")
        table.finish()
    return values, tokens


def metrics(values: list[float], tokens: int) -> dict[str, object]:
    """Return mean, median and 95th percentile, before any filter."""
    ordered = sorted(values)
    return {
        "responses": len(ordered),
        "tokens": tokens,
        "mean": round(statistics.fmean(ordered), 4) if ordered else None,
        "median": round(statistics.median(ordered), 4) if ordered else None,
        "p95": ordered[int(0.95 * (len(ordered) - 1))] if ordered else None,
    }
