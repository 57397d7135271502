"""From all attempts of one teacher to at most one accepted response per query, each dropped one with its reason."""

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from stillhouse.filter.ngrams import NgramError, Repetition, repeated
from stillhouse.filter.rules import Rules
from stillhouse.params.filter import NGRAM_MEMORY_MB, NgramFilter
from stillhouse.records import Decision, assistant_text
from stillhouse.tables.attempts import Attempt

# Gives the attempts at each query; called anew for each pass over them.
Groups = Callable[[], Iterable[list[Attempt]]]


def find_repetition(
    groups: Groups,
    rules: Rules,
    ngram: NgramFilter,
    folder: Path,
    memory_mb: int = NGRAM_MEMORY_MB,
) -> Repetition | None:
    """Find the responses with n-grams that occur too often, among those that pass the rules on one response.

    Args:
        groups: gives the attempts, by query, in the order of the queries' ids. These are hashes, so that the copy that
            is kept is the first in hash order, and answers the same query for all teachers where they share a template.
        rules: the rules on one response.
        ngram: length and limits.
        folder: where a temporary file is made, if one is needed.
        memory_mb: megabytes of memory, from which on it is needed.

    Returns:
        The numbers of these responses; null if the filter is off.
    """

    def passed() -> Iterator[tuple[str, str]]:
        for attempts in groups():
            for attempt in _in_order(attempts):
                if rules.reason(attempt) is None:
                    response = attempt.response
                    text = assistant_text(response.think, response.answer)
                    yield response.query_id, text

    if ngram.action == "off":
        return None
    started, before = time.perf_counter(), rules.total_seconds
    found = repeated(passed, ngram, folder, memory_mb=memory_mb)
    seconds = time.perf_counter() - started - (rules.total_seconds - before)
    rules.counts["repetition"].seconds = seconds
    return found


def select(
    groups: Groups, rules: Rules, found: Repetition | None
) -> Iterator[tuple[Attempt, Decision]]:
    """Yield each attempt with the decision on it, query by query, in bounded memory.

    The rules on one response come first (`rules.py`), then `repetition` (n-grams that occur too often over all
    responses that pass these), then `surplus` (an earlier attempt was kept).

    Args:
        groups: gives the attempts, by query.
        rules: the rules on one response; they count what each rule does, the last two included.
        found: what `find_repetition` returned for the same attempts and rules.

    Raises:
        NgramError: not as many responses pass the rules as did there.
    """
    repetition, surplus = rules.counts["repetition"], rules.counts["surplus"]
    dropped = None if found is None else found.looping | found.copies
    number = 0  # of the response, among those that pass the rules on one response
    for attempts in groups():
        kept = False
        for attempt in _in_order(attempts):
            response = attempt.response
            reason = rules.reason(attempt, count=True)
            if reason is None:
                if dropped is not None and number < len(dropped) and dropped[number]:
                    reason = "repetition"
                number += 1
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
    if dropped is not None and number != len(dropped):
        raise NgramError(
            f"{len(dropped)} responses passed the rules of the filter, and {number} when they were read again: a rule "
            "of `filter.rules` must give the same reason each time"
        )


def _in_order(attempts: list[Attempt]) -> list[Attempt]:
    return sorted(attempts, key=lambda attempt: attempt.response.attempt)
