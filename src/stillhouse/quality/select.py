"""From all attempts of one teacher to at most one accepted response per query, each dropped one with its reason."""

from collections.abc import Callable, Iterable, Iterator

from stillhouse.attempts import Attempt
from stillhouse.params import Filter
from stillhouse.quality.ngrams import repeated
from stillhouse.quality.structure import structure_fault
from stillhouse.records import Decision, assistant_text

# Gives the attempts at each query; called anew for each pass over them.
Groups = Callable[[], Iterable[list[Attempt]]]


def select(
    groups: Groups, params: Filter, perplexity_cut: float | None
) -> Iterator[tuple[Attempt, Decision]]:
    """Yield each attempt with the decision on it, query by query, in bounded memory.

    Reasons in the order they are tried: `not_verified` (the verdict is no pass), `truncated`, those of
    `structure_fault`, `too_long`, `perplexity`, `repetition`, `surplus` (an earlier attempt was kept).
    """

    def passed() -> Iterator[tuple[str, str]]:
        for attempts in groups():
            for attempt in attempts:
                if _row_fault(attempt, params, perplexity_cut) is None:
                    response = attempt.response
                    yield response.id, assistant_text(response.think, response.answer)

    looping: set[str] = set()
    if params.ngram.action == "sample":
        found = repeated(passed, n=params.ngram.n, max_count=params.ngram.max_count)
        looping = {name for name, _ in found}
    for attempts in groups():
        kept = False
        for attempt in sorted(attempts, key=lambda attempt: attempt.response.attempt):
            response = attempt.response
            reason = _row_fault(attempt, params, perplexity_cut)
            if reason is None and response.id in looping:
                reason = "repetition"
            if reason is None and kept:
                reason = "surplus"
            kept = kept or reason is None
            decision = Decision(
                response_id=response.id,
                query_id=response.query_id,
                kept=reason is None,
                reason=reason,
            )
            yield attempt, decision


def _row_fault(attempt: Attempt, params: Filter, perplexity_cut: float | None) -> str | None:
    response = attempt.response
    if attempt.verdict is None or attempt.verdict.state != "pass":
        return "not_verified"
    if response.finish_reason == "length":
        return "truncated"
    fault = structure_fault(attempt.query, response, require_think=params.require_think)
    if fault is not None:
        return fault
    if response.completion_tokens > params.max_tokens:
        return "too_long"
    perplexity = attempt.perplexity
    if perplexity_cut is not None and perplexity and perplexity.perplexity > perplexity_cut:
        return "perplexity"
    return None
