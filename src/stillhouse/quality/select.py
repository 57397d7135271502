"""From all attempts of one teacher to at most one accepted response per query, each dropped one with its reason."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from stillhouse.params import Filter
from stillhouse.quality.ngrams import repeated
from stillhouse.quality.structure import structure_fault
from stillhouse.records import Decision, Perplexity, Query, Response, Verdict, assistant_text


def select(
    queries: Mapping[str, Query],
    responses: Iterable[Response],
    verdicts: Mapping[str, Verdict],
    perplexities: Mapping[str, Perplexity],
    params: Filter,
    perplexity_cut: float | None,
) -> list[Decision]:
    """Return one decision per response.

    Reasons in the order they are tried: `not_verified` (the verdict is no pass), `truncated`, those of
    `structure_fault`, `too_long`, `perplexity`, `repetition`, `surplus` (an earlier attempt was kept).
    """
    reasons: dict[str, str | None] = {}
    passed: list[Response] = []
    everything = list(responses)
    for response in everything:
        reason = _row_fault(
            queries[response.query_id], response, verdicts, perplexities, params, perplexity_cut
        )
        reasons[response.id] = reason
        if reason is None:
            passed.append(response)
    if params.ngram.action == "sample":
        texts = [(r.id, assistant_text(r.think, r.answer)) for r in passed]
        for name, _ in repeated(lambda: texts, n=params.ngram.n, max_count=params.ngram.max_count):
            reasons[name] = "repetition"
    kept: dict[str, list[Response]] = defaultdict(list)
    for response in passed:
        if reasons[response.id] is None:
            kept[response.query_id].append(response)
    for candidates in kept.values():
        for surplus in sorted(candidates, key=lambda r: r.attempt)[1:]:
            reasons[surplus.id] = "surplus"
    return [
        Decision(
            response_id=r.id,
            query_id=r.query_id,
            kept=reasons[r.id] is None,
            reason=reasons[r.id],
        )
        for r in everything
    ]


def _row_fault(
    query: Query,
    response: Response,
    verdicts: Mapping[str, Verdict],
    perplexities: Mapping[str, Perplexity],
    params: Filter,
    perplexity_cut: float | None,
) -> str | None:
    if verdicts[response.id].state != "pass":
        return "not_verified"
    if response.finish_reason == "length":
        return "truncated"
    fault = structure_fault(query, response, require_think=params.require_think)
    if fault is not None:
        return fault
    if response.completion_tokens > params.max_tokens:
        return "too_long"
    if perplexity_cut is not None and perplexities[response.id].perplexity > perplexity_cut:
        return "perplexity"
    return None
