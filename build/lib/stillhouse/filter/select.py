"""From all attempts of one teacher to at most one accepted response per query, each dropped one with its reason."""

import time
from collections.abc import Callable, Iterable, Iterator

from stillhouse.filter.ngrams import repeated
from stillhouse.filter.rules import Rules
from stillhouse.params.filter import NgramFilter
from stillhouse.records import Decision, assistant_text
from stillhouse.tables.attempts import Attempt

# Gives the attempts at each query; called anew for each pass over them.
Groups = Callable[[], Iterable[list[Attempt]]]


def select(groups: Groups, rules: Rules, ngram: NgramFilter) -> Iterator[tuple[Attempt, Decision]]:
    """Yield each attempt with the decision on it, query by query, in bounded memory.

    The rules on one response come first (`rules.py`), then `repetition` (n-grams that occur too often over all
    responses that pass these), then `surplus` (an earlier attempt was kept).

    Args:
        groups: gives the attempts, by query.
        rules: the rules on one response; they count what each rule does, the last two included.
        ngram: parameters of `repetition`.
    """

    def passed() -> Iterator[tuple[str, str]]:
        for attempts in groups():
            for attempt in attempts:
                if rules.reason(attempt) is None:
                    response = attempt.response
                    yield response.id, assistant_text(response.think, response.answer)

    repetition, surplus = rules.counts["repetition"], rules.counts["surplus"]
    looping: set[str] = set()
    if ngram.action == "sample":
        started, before = time.perf_counter(), rules.total_seconds
        looping = {name for name, _ in repeated(passed, n=ngram.n, max_count=ngram.max_count)}
        repetition.seconds = time.perf_counter() - started - (rules.total_seconds - before)
    for attempts in groups():
        kept = False
        for attempt in sorted(attempts, key=lambda attempt: attempt.response.attempt):
            response = attempt.response
            reason = rules.reason(attempt, count=True)
            if reason is None:
                reason = "repetition" if response.id in looping else None
                repetition.add(reason)
            if reason is None:
                reason = "surplus" if kept else None
                surplus.add(reason)
            kept = kept or reason is None
            decision = Decision(
                response_id=response.id,
                query_id=response.query_id,
                kept=reason is None,
                reason=reason,
            )
            yield attempt, decision
