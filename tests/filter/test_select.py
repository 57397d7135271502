from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillhouse.filter.rules import Rules
from stillhouse.filter.select import find_repetition, select
from stillhouse.params.filter import Filter, NgramFilter
from stillhouse.records import Decision, Query, Response, State
from stillhouse.tables.attempts import Attempt
from tests.filter.graded import perplexity, query, response, verdict

FILTER = Filter(
    require_think=False,
    max_tokens=100,
    ngram=NgramFilter(n=5, max_count=3, action="sample"),
)
ASKED = query()


def decide(
    responses: list[Response],
    *,
    queries: list[Query] | None = None,
    states: dict[str, State] | None = None,
    perplexities: dict[str, float] | None = None,
    params: Filter = FILTER,
    cut: float | None = 20.0,
) -> list[Decision]:
    asked = {q.id: q for q in queries or [ASKED]}
    attempts: dict[str, list[Attempt]] = {}
    for made in responses:
        scored = perplexity(made, (perplexities or {}).get(made.id, 2.0)) if made.answer else None
        judged = verdict(made, (states or {}).get(made.id, "pass"))
        attempt = Attempt(asked[made.query_id], made, judged, scored)
        attempts.setdefault(made.query_id, []).append(attempt)
    rules = Rules(params, cut)
    repetition = find_repetition(attempts.values, rules, params.ngram, Path("nowhere"))
    found = select(attempts.values, rules, repetition)
    decided = {d.response_id: d for _, d in found}
    return [decided[made.id] for made in responses]


def reason(made: Response, **settings) -> str | None:
    (decision,) = decide([made], **settings)
    assert decision.kept == (decision.reason is None)
    assert (decision.response_id, decision.query_id) == (made.id, made.query_id)
    return decision.reason


def test_a_good_response_is_kept():
    assert reason(response()) is None


@pytest.mark.parametrize("state", ["fail", "ungradable"])
def test_not_verified(state: State):
    made = response()
    assert reason(made, states={made.id: state}) == "not_verified"


def test_truncated():
    assert reason(response(finish_reason="length")) == "truncated"


def test_faults_of_structure_keep_their_reason():
    thoughtful = FILTER.model_copy(update={"require_think": True})
    assert reason(response(answer="")) == "no_answer"
    assert reason(response(answer="4 <think>")) == "stray_mark"
    assert reason(response(), params=thoughtful) == "no_think"
    malformed = query(["user", "user"])
    assert reason(response(malformed), queries=[malformed]) == "turns"


@pytest.mark.parametrize(("tokens", "expected"), [(100, None), (101, "too_long")])
def test_too_long(tokens: int, expected: str | None):
    assert reason(response(tokens=tokens)) == expected


@pytest.mark.parametrize(
    ("value", "cut", "expected"),
    [(20.0, 20.0, None), (20.01, 20.0, "perplexity"), (1e9, None, None)],
)
def test_perplexity(value: float, cut: float | None, expected: str | None):
    made = response()
    assert reason(made, perplexities={made.id: value}, cut=cut) == expected


def test_repetition_within_and_across_responses():
    looping = response(answer="I add one and one again. " * 10)
    assert reason(looping) == "repetition"
    queries = [query(name=f"question {i}") for i in range(5)]
    stock = [response(q, answer=f"As an honest still, I say {q.prompt}") for q in queries]
    decided = [d.reason for d in decide(stock, queries=queries)]
    assert decided == [None, "repetition", "repetition", "repetition", "repetition"]
    assert {d.reason for d in decide(stock[:3], queries=queries)} == {None}


def test_repetition_can_be_switched_off():
    off = FILTER.model_copy(update={"ngram": NgramFilter(n=5, max_count=3, action="off")})
    assert reason(response(answer="I add one and one again. " * 10), params=off) is None


def test_repetition_is_counted_over_what_passed_the_other_rules():
    queries = [query(name=f"question {i}") for i in range(5)]
    stock = [response(q, answer=f"As an honest still, I say {q.prompt}") for q in queries]
    states: dict[str, State] = {r.id: "fail" for r in stock[:2]}
    decisions = decide(stock, queries=queries, states=states)
    assert [d.reason for d in decisions] == ["not_verified", "not_verified", None, None, None]


def test_surplus_keeps_the_earliest_good_attempt():
    attempts = [response(attempt=n, answer=f"It is {n}.") for n in range(4)]
    decisions = decide(attempts[::-1], states={attempts[0].id: "fail"})
    assert [d.reason for d in decisions] == ["surplus", "surplus", None, "not_verified"]


def test_the_first_reason_that_applies_is_told():
    looping = response(
        answer="I add one and one again <think> " * 10, finish_reason="length", tokens=1000
    )
    high = {looping.id: 1e9}
    assert reason(looping, states={looping.id: "fail"}, perplexities=high) == "not_verified"
    assert reason(looping, perplexities=high) == "truncated"


@given(st.data())
def test_every_response_gets_one_decision_and_every_query_at_most_one_response(data: st.DataObject):
    queries = [query(name=f"question {i}") for i in range(3)]
    responses = [
        response(q, attempt=attempt, answer=f"It is {q.id} {attempt}.")
        for q in queries
        for attempt in range(data.draw(st.integers(0, 3)))
    ]
    states = {r.id: data.draw(st.sampled_from(["pass", "fail", "ungradable"])) for r in responses}
    off = FILTER.model_copy(update={"ngram": NgramFilter(n=5, max_count=3, action="off")})
    decisions = decide(responses, queries=queries, states=states, params=off)
    assert [d.response_id for d in decisions] == [r.id for r in responses]
    kept = [d.query_id for d in decisions if d.kept]
    assert len(kept) == len(set(kept))
    assert set(kept) == {r.query_id for r in responses if states[r.id] == "pass"}
    shuffled = data.draw(st.permutations(responses))
    again = decide(shuffled, queries=queries, states=states, params=off)
    assert {d.response_id: d for d in again} == {d.response_id: d for d in decisions}
